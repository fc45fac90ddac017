using System;

namespace FloatLease.Unity
{
    /// <summary>
    /// A client and the lease that it acquires. Requests to the server are submitted; their results arrive in
    /// <see cref="Pump"/>, on the thread that calls it. There is no other thread.
    /// </summary>
    internal sealed class LicenseSession : IDisposable
    {
        private readonly Client client;
        private string operation; // the operation that is under way, or null
        private ulong ticket;
        private bool isDisposed;

        internal LicenseSession(string config, string acquireRequest)
        {
            client = new Client(config, new ClientOptions { ManualPump = true });
            client.EventReceived += (sender, received) => OnEventReceived(received);
            client.HandlerFailed += (sender, failed) => UnityEngine.Debug.LogException(failed.Exception);
            Submit("lease_acquire", acquireRequest);
        }

        internal event Action<ClientEvent> EventReceived;

        internal event Action<FloatLeaseException> Refused;

        internal Client Client => client;

        internal Lease Lease { get; private set; }

        internal FloatLeaseException Failure { get; private set; }

        internal bool IsAcquiring => operation != null && Lease == null;

        internal LeaseState State => Lease == null ? LeaseState.None : Lease.State;

        internal TimeSpan Remaining => Lease == null ? TimeSpan.Zero : Lease.Remaining;

        // A handler may end this session and begin another one meanwhile.
        internal void Pump() => client.Pump();

        /// <summary>
        /// Renews the lease now if its renewal is due or the last one failed, because the library would do so within
        /// seconds. It is called after a sleep or a pause. A lease that was confirmed lately causes no request.
        /// </summary>
        internal void RenewIfDue()
        {
            if (Lease == null || operation != null) return;
            LeaseState state = Lease.State;
            bool isDue = state == LeaseState.Active && !(Lease.Info().RenewsIn > TimeSpan.Zero);
            bool isInTrouble =
                state == LeaseState.Degraded || state == LeaseState.Grace || state == LeaseState.Lost;
            if (isDue || isInTrouble) SubmitForLease("lease_renew");
        }

        /// <summary>Gives the slot back in the background.</summary>
        internal void Release() => SubmitForLease("lease_release");

        /// <summary>
        /// Gives the slot back and waits for that, at most for this many seconds. A borrow stays. An acquire that is
        /// under way is cancelled and takes no slot.
        /// </summary>
        internal void ReleaseWithin(float seconds)
        {
            if (seconds <= 0) return;
            client.ReleaseAll(TimeSpan.FromSeconds(seconds));
            // Without a lease there is nothing to tell but the acquire's end, which would look like a refusal.
            if (Lease != null) Pump();
        }

        /// <summary>
        /// Closes the client without waiting. A slot that is still held is given back in the background.
        /// </summary>
        public void Dispose()
        {
            isDisposed = true;
            Lease?.Dispose();
            client.Dispose();
        }

        private void SubmitForLease(string leaseOperation)
        {
            JsonValue request = JsonValue.NewObject();
            request["lease"] = Lease.Number;
            Submit(leaseOperation, request.ToString());
        }

        private void Submit(string submitted, string requestJson)
        {
            ticket = client.Submit(submitted, requestJson);
            operation = submitted;
        }

        private void OnEventReceived(ClientEvent received)
        {
            var completed = received as CompletedEvent;
            try
            {
                if (completed != null && completed.Ticket == ticket) OnCompleted(completed);
            }
            finally
            {
                // A handler of Refused may have ended this session and begun another one, whose tickets have the same
                // numbers.
                if (!isDisposed) SafeInvoke.All(EventReceived, received);
            }
        }

        private void OnCompleted(CompletedEvent completed)
        {
            string done = operation;
            operation = null;
            if (done == "lease_acquire" && completed.Status == Status.Ok) Lease = client.AcceptLease(ticket);
            else if (done == "lease_acquire") Refuse(completed);
            // The result of a renewal or a release shows in the lease's state.
        }

        private void Refuse(CompletedEvent completed)
        {
            Failure = new FloatLeaseException(completed.StatusNumber, completed.Reply.ToString());
            SafeInvoke.All(Refused, Failure);
        }
    }
}
