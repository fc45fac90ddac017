using System;
using System.Threading;
using System.Threading.Tasks;

namespace FloatLease
{
    /// <content>
    /// Calls in the background, as Tasks. No thread waits for one: the client's queue completes them all.
    /// </content>
    public sealed partial class Client
    {
        /// <summary>Performs an operation by its name in the background. Request and reply are JSON objects.</summary>
        /// <remarks>
        /// It performs the operations that have no method here too. A request that is null is an empty object. The
        /// token cancels the call within 50 ms. Up to 64 calls run at the same time
        /// (<see cref="ClientConfig.MaxParallel"/>), and 1,000 may be under way. A call's deadline counts from here;
        /// what releases or renews waits for no other call.
        /// </remarks>
        /// <exception cref="FloatLeaseException">The call failed; the exception says why and what to do.</exception>
        /// <exception cref="FloatLeaseCanceledException">
        /// The token or <see cref="Dispose"/> cancelled the call; its Outcome says how far it got.
        /// </exception>
        public async Task<string> CallAsync(
            string operation, string requestJson = null, CancellationToken cancellation = default(CancellationToken))
        {
            var call = new PendingCall(this);
            CompletedEvent done = await Perform(call, operation, requestJson, cancellation).ConfigureAwait(false);
            return done.Reply.ToString();
        }

        /// <summary>
        /// Takes a slot, or the slots of several features, in the background, and keeps them: the library renews them
        /// in time.
        /// </summary>
        /// <remarks>
        /// On a machine that is new to the license it fails with <see cref="Status.DeviceNotFound"/>, unless
        /// <see cref="LeaseRequest.Activate"/> is set. A null request takes the license's own slot. The token cancels the
        /// call within 50 ms, and a cancelled acquire takes no slot.
        /// </remarks>
        /// <exception cref="FloatLeaseException">
        /// No slot was granted; the exception says why and what to do.
        /// </exception>
        /// <exception cref="FloatLeaseCanceledException">
        /// The token or <see cref="Dispose"/> cancelled the call.
        /// </exception>
        public async Task<Lease> AcquireLeaseAsync(
            LeaseRequest request = null, CancellationToken cancellation = default(CancellationToken))
        {
            var call = new PendingAcquire(this);
            await Perform(call, "lease_acquire", JsonMembers.ToJson(request), cancellation).ConfigureAwait(false);
            return call.TakeLease();
        }

        /// <summary>
        /// Releases every lease of this client at once in the background, for the end of a program, within this time:
        /// from a millisecond to an hour. Borrows are kept.
        /// </summary>
        /// <remarks>
        /// It cancels acquires that are under way. What could not be released is no exception:
        /// <see cref="ReleaseAllReply.Left"/> of the reply tells it. It waits for no other call, and the token cancels
        /// it within 50 ms.
        /// </remarks>
        /// <exception cref="FloatLeaseException">The time is out of range.</exception>
        /// <exception cref="FloatLeaseCanceledException">
        /// The token, <see cref="Cancel()"/> or <see cref="Dispose"/> cancelled the call.
        /// </exception>
        public async Task<ReleaseAllReply> ReleaseAllAsync(
            TimeSpan within, CancellationToken cancellation = default(CancellationToken))
        {
            JsonValue request = JsonValue.NewObject();
            request["timeout_ms"] = Dates.Milliseconds(within);
            string reply = await CallAsync("release_all", request.ToString(), cancellation).ConfigureAwait(false);
            return new ReleaseAllReply(reply);
        }

        private Task<string> AskAsync(string operation, Request request, CancellationToken cancellation) =>
            CallAsync(operation, JsonMembers.ToJson(request), cancellation);

        internal Lease Accept(ulong ticket)
        {
            int status = handle.Accept(ticket, out var lease, out var json);
            return AddLease(lease, Answer.TextOrThrow(status, json));
        }

        private async Task<CompletedEvent> Perform(
            PendingCall call, string operation, string requestJson, CancellationToken cancellation)
        {
            if (cancellation.IsCancellationRequested)
            {
                throw Failure.Cancelled("not_sent", "The call was cancelled before it began.", cancellation);
            }
            call.Ticket = pump.Submit(handle, Utf8.ToNative(operation), Utf8.ToNative(requestJson), call);
            CompletedEvent done;
            using (Register(cancellation, call)) done = await call.Done.ConfigureAwait(false);
            if (done == null)
            {
                throw Failure.Cancelled("unknown", "The client was disposed before the call was done.", cancellation);
            }
            if (done.StatusNumber != (int)Status.Ok)
            {
                throw Failure.FromStatus(done.StatusNumber, done.Reply.ToString(), cancellation);
            }
            return done;
        }

        // In .NET Framework a token whose source is disposed may refuse the registration. The call is under way by now,
        // and an exception would lose the lease that it may take. Such a token can't be cancelled any more, so it is
        // left out.
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

        // The completion says how far the call got. If the call is done already, the cancel does nothing.
        private static void CancelPending(object state)
        {
            var call = (PendingCall)state;
            call.Client.handle.Cancel(call.Ticket);
        }
    }
}
