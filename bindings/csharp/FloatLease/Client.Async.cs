using System;
using System.Threading;
using System.Threading.Tasks;

namespace FloatLease
{
    /// <content>Calls in the background, as Tasks. No thread waits for one: all come out of the client's queue.</content>
    public sealed partial class Client
    {
        /// <summary>
        /// Performs an operation by name, with a request and a reply as JSON: each verb, and those to come.
        /// </summary>
        public async Task<string> CallAsync(
            string operation, string requestJson = null, CancellationToken cancellation = default(CancellationToken))
        {
            var call = new PendingCall(this);
            CompletedEvent done = await Perform(call, operation, requestJson, cancellation).ConfigureAwait(false);
            return done.Reply.ToString();
        }

        /// <summary>Takes a slot, or several, and keeps them; see <see cref="AcquireLease"/>.</summary>
        public async Task<Lease> AcquireLeaseAsync(
            LeaseRequest request = null, CancellationToken cancellation = default(CancellationToken))
        {
            var call = new PendingAcquire(this);
            await Perform(call, "lease_acquire", JsonBag.ToJson(request), cancellation).ConfigureAwait(false);
            return call.TakeLease();
        }

        private Task<string> AskAsync(string operation, Request request, CancellationToken cancellation) =>
            CallAsync(operation, JsonBag.ToJson(request), cancellation);

        internal Lease Accept(ulong ticket)
        {
            int status = handle.Accept(ticket, out var lease, out var json);
            return AddLease(lease, Answer.Of(status, json));
        }

        private async Task<CompletedEvent> Perform(
            PendingCall call, string operation, string requestJson, CancellationToken cancellation)
        {
            if (cancellation.IsCancellationRequested)
            {
                throw Failure.Cancelled("not_sent", "The call was cancelled before it began.", cancellation);
            }
            call.Ticket = pump.Submit(handle, Utf8.In(operation), Utf8.In(requestJson), call);
            CompletedEvent done;
            using (Register(cancellation, call)) done = await call.Done.ConfigureAwait(false);
            if (done == null)
            {
                throw Failure.Cancelled("unknown", "The client was disposed before the call was done.", cancellation);
            }
            if (done.StatusNumber != (int)Status.Ok)
            {
                throw Failure.Of(done.StatusNumber, done.Reply.ToString(), cancellation);
            }
            return done;
        }

        // In .NET Framework a token whose source is disposed may refuse to be registered with. The call is under way by now,
        // and what it takes would be lost if that were thrown. Such a token can't be cancelled any more.
        private static CancellationTokenRegistration Register(CancellationToken cancellation, PendingCall call)
        {
            try
            {
                return cancellation.Register(CancelPending, call);
            }
            catch (ObjectDisposedException)
            {
                return default(CancellationTokenRegistration);
            }
        }

        // Its completion tells how far it got; if it is done already, it stays so.
        private static void CancelPending(object state)
        {
            var call = (PendingCall)state;
            call.Client.handle.Cancel(call.Ticket);
        }
    }
}
