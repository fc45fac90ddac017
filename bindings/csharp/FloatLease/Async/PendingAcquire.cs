using System;
using System.Runtime.ExceptionServices;

namespace FloatLease
{
    /// <summary>
    /// A submitted "lease_acquire". Its lease is accepted before the next event is read, so that the lease's first
    /// event finds a <see cref="Lease"/> to be raised on.
    /// </summary>
    internal sealed class PendingAcquire : PendingCall
    {
        private Lease lease;
        private ExceptionDispatchInfo failure;

        internal PendingAcquire(Client client) : base(client)
        {
        }

        internal override void Complete(CompletedEvent completed)
        {
            try
            {
                if (completed.StatusNumber == (int)Status.Ok) lease = Client.Accept(completed.Ticket);
            }
            catch (Exception exception)
            {
                failure = ExceptionDispatchInfo.Capture(exception); // the client was closed just now
            }
            base.Complete(completed);
        }

        internal Lease TakeLease()
        {
            failure?.Throw();
            return lease;
        }
    }
}
