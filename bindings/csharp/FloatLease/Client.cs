using System;
using System.Threading;

namespace FloatLease
{
    /// <summary>A client: one product, one device, one server. Any thread may use it at any time.</summary>
    /// <remarks>
    /// Each verb has two methods. The plain one waits for the server on your thread, until its deadline at most. The
    /// one with "Async" is performed in the background, and its token cancels it within 50 ms.
    /// <see cref="ClientOptions"/> says on which threads handlers run. Dispose closes the client at once: it cancels
    /// the calls in flight, and the library gives the slots of its leases back in the background.
    /// <see cref="Close"/> waits until they are given back, which the end of a program needs.
    /// </remarks>
    public sealed partial class Client : IDisposable
    {
        private readonly ClientHandle handle;
        private readonly EventPump pump;
        private readonly OpenLeases leases = new OpenLeases();
        private readonly ClientOptions options;
        private readonly SynchronizationContext handlerQueue;

        /// <summary>
        /// Opens a client with this config. It touches no network, starts no thread and writes no file.
        /// </summary>
        /// <exception cref="FloatLeaseException">The config is wrong; the message names the key.</exception>
        /// <exception cref="FloatLeaseLibraryException">The native library can't be used.</exception>
        public Client(ClientConfig config, ClientOptions options = null) : this(JsonMembers.ToJson(config), options)
        {
        }

        /// <summary>
        /// Opens a client with a config that is given as a JSON object. It touches no network, starts no thread and
        /// writes no file.
        /// </summary>
        /// <exception cref="FloatLeaseException">The config is wrong; the message names the key.</exception>
        /// <exception cref="FloatLeaseLibraryException">The native library can't be used.</exception>
        public Client(string configJson, ClientOptions options = null)
        {
            if (configJson == null) throw new ArgumentNullException(nameof(configJson));
            AbiCheck.Ensure();
            Answer.TextOrThrow(Native.ClientOpen(Utf8.ToNative(configJson), out var token, out var json), json);
            handle = new ClientHandle(token);
            this.options = options ?? new ClientOptions();
            if (!this.options.ManualPump) handlerQueue = new HandlerQueue();
            pump = new EventPump(this, token, this.options.ManualPump);
        }

        /// <summary>
        /// Cancels every call that is under way; each throws a <see cref="FloatLeaseCanceledException"/>, and so does the
        /// Task of a submitted one that has begun. Call it from another thread. Leases go on.
        /// </summary>
        public void Cancel() => handle.ThrowUnlessOk(Native.ClientCancel(handle));

        /// <summary>
        /// Checks each step from this machine to the server's signature, and returns what it found. It takes no slot,
        /// and the report holds no secret.
        /// </summary>
        public DiagnoseReport Diagnose() =>
            new DiagnoseReport(Answer.TextOrThrow(Native.ClientDiagnose(handle, out var json), json));

        /// <summary>
        /// Performs an operation by its name, and waits for the reply. Request and reply are JSON objects.
        /// </summary>
        /// <remarks>
        /// It performs the operations that have no method here too. A request that is null is an empty object.
        /// </remarks>
        /// <exception cref="FloatLeaseException">The call failed; the exception says why and what to do.</exception>
        public string Call(string operation, string requestJson = null)
        {
            byte[] request = Utf8.ToNative(requestJson);
            return Answer.TextOrThrow(Native.Call(handle, Utf8.ToNative(operation), request, out var json), json);
        }

        /// <summary>
        /// Takes a slot, or the slots of several features, and keeps them: the library renews them in time, and raises
        /// events.
        /// </summary>
        /// <remarks>
        /// On a machine that is new to the license it fails with <see cref="Status.DeviceNotFound"/>, unless
        /// <see cref="LeaseRequest.Activate"/> is set. A null request takes the license's own slot. It waits for the
        /// server, and with <see cref="LeaseRequest.Wait"/> in a queue for a slot.
        /// </remarks>
        /// <exception cref="FloatLeaseException">
        /// No slot was granted; the exception says why and what to do.
        /// </exception>
        public Lease AcquireLease(LeaseRequest request = null)
        {
            byte[] requestJson = Utf8.ToNative(JsonMembers.ToJson(request));
            int status = Native.LeaseAcquire(handle, requestJson, out var lease, out var json);
            return AddLease(lease, Answer.TextOrThrow(status, json));
        }

        /// <summary>
        /// Releases every lease of this client at once, for the end of a program, and waits for the server within this
        /// time: from a millisecond to an hour. Borrows are kept.
        /// </summary>
        /// <remarks>
        /// It cancels acquires that are under way. If the server can't be reached, it tries again as long as the time
        /// lasts. What could not be released is no exception: <see cref="ReleaseAllReply.Left"/> of the reply tells it.
        /// Slots that verbs have taken are released by verbs.
        /// </remarks>
        /// <exception cref="FloatLeaseException">The time is out of range.</exception>
        /// <exception cref="FloatLeaseCanceledException"><see cref="Cancel()"/> was called meanwhile.</exception>
        public ReleaseAllReply ReleaseAll(TimeSpan within)
        {
            int status = Native.ClientReleaseAll(handle, Dates.UInt32Milliseconds(within), out var json);
            return new ReleaseAllReply(Answer.TextOrThrow(status, json));
        }

        /// <summary>
        /// Moves the clock of this client's leases forward, as a sleep of the machine would. For tests, together with
        /// the same advance of a sandbox's clock.
        /// </summary>
        public void AdvanceClock(TimeSpan by)
        {
            if (by < TimeSpan.Zero) throw new ArgumentOutOfRangeException(nameof(by), "The clock can't be put back.");
            for (long left = Dates.Milliseconds(by); left > 0; left -= uint.MaxValue)
            {
                handle.ThrowUnlessOk(Native.ClientAdvanceClock(handle, (uint)Math.Min(left, uint.MaxValue)));
            }
        }

        /// <summary>Closes the client at once, and ends its leases. Borrowed slots stay borrowed.</summary>
        /// <remarks>
        /// It waits for nothing: the library gives the slots of its leases back in the background, if the process lives
        /// on. Calls in flight are cancelled. No handler is called after it; one that runs on another thread meanwhile
        /// is not waited for. Disposing twice is allowed.
        /// </remarks>
        public void Dispose()
        {
            handle.CloseNow();
            pump.Close();
        }

        /// <summary>
        /// Releases every lease within this time as <see cref="ReleaseAll"/> does, and then closes the client, also if
        /// the release throws. Borrowed slots stay borrowed.
        /// </summary>
        /// <remarks>
        /// What could not be released in time is released in the background, if the process lives on. Closing a client
        /// that is closed does nothing.
        /// </remarks>
        /// <exception cref="FloatLeaseException">The time is out of range.</exception>
        /// <exception cref="FloatLeaseCanceledException"><see cref="Cancel()"/> was called meanwhile.</exception>
        public void Close(TimeSpan releaseWithin)
        {
            try
            {
                if (!handle.IsClosed) ReleaseAll(releaseWithin);
            }
            finally
            {
                Dispose();
            }
        }

        internal Lease AddLease(IntPtr token, string info)
        {
            var lease = new Lease(this, new LeaseHandle(token), info);
            leases.Add(lease);
            return lease;
        }

        internal void RemoveLease(Lease lease) => leases.Remove(lease.Number);
    }
}
