using System;
using System.Threading;

namespace FloatLease
{
    /// <summary>A client: one product, one device, one server. Any method from any thread at any time.</summary>
    /// <remarks>
    /// Each verb is there twice. The plain one waits for the server, its deadline at most, on your thread. The one with
    /// "Async" waits for nobody: it is done in the background, and its token cancels it within 50 ms; see
    /// <see cref="ClientOptions"/> for who tells. Dispose closes the client at once: calls in flight are cancelled, and
    /// what its leases held is given back in the background.
    /// </remarks>
    public sealed partial class Client : IDisposable
    {
        private readonly ClientHandle handle;
        private readonly EventPump pump;
        private readonly OpenLeases leases = new OpenLeases();
        private readonly ClientOptions options;
        private readonly SynchronizationContext handlerQueue;

        /// <summary>Opens a client. It touches no network, starts no thread and writes no file.</summary>
        /// <exception cref="FloatLeaseException">The config is wrong; the message names the key.</exception>
        /// <exception cref="FloatLeaseLibraryException">The native library can't be used.</exception>
        public Client(ClientConfig config, ClientOptions options = null) : this(JsonBag.ToJson(config), options)
        {
        }

        /// <summary>The same, of a config as a JSON object.</summary>
        /// <exception cref="FloatLeaseException">The config is wrong; the message names the key.</exception>
        /// <exception cref="FloatLeaseLibraryException">The native library can't be used.</exception>
        public Client(string configJson, ClientOptions options = null)
        {
            if (configJson == null) throw new ArgumentNullException(nameof(configJson));
            AbiCheck.Ensure();
            Answer.Of(Native.ClientOpen(Utf8.In(configJson), out var token, out var json), json);
            handle = new ClientHandle(token);
            this.options = options ?? new ClientOptions();
            if (!this.options.ManualPump) handlerQueue = new HandlerQueue();
            pump = new EventPump(this, token, this.options.ManualPump);
        }

        /// <summary>
        /// Wakes every call in flight that waits on its thread: each throws <see cref="FloatLeaseCanceledException"/>.
        /// </summary>
        public void Cancel() => Failure.ThrowUnlessOk(Native.ClientCancel(handle));

        /// <summary>Tries each step from here to the server's signature and tells how it went. Takes no slot.</summary>
        public DiagnoseReport Diagnose() =>
            new DiagnoseReport(Answer.Of(Native.ClientDiagnose(handle, out var json), json));

        /// <summary>
        /// Performs an operation by name, with a request and a reply as JSON: each verb, and those to come.
        /// </summary>
        public string Call(string operation, string requestJson = null) =>
            Answer.Of(Native.Call(handle, Utf8.In(operation), Utf8.In(requestJson), out var json), json);

        /// <summary>
        /// Takes a slot, or several, and keeps them: renews in time, tells when that fails, comes back when it can.
        /// </summary>
        /// <remarks>
        /// On a machine's first start this is <see cref="Status.DeviceNotFound"/>: activate, and acquire again.
        /// </remarks>
        public Lease AcquireLease(LeaseRequest request = null)
        {
            byte[] requestJson = Utf8.In(JsonBag.ToJson(request));
            int status = Native.LeaseAcquire(handle, requestJson, out var lease, out var json);
            return AddLease(lease, Answer.Of(status, json));
        }

        /// <summary>Puts the clock of this client's leases ahead, as a sleep of the machine would. For tests.</summary>
        public void AdvanceClock(TimeSpan by)
        {
            if (by < TimeSpan.Zero) throw new ArgumentOutOfRangeException(nameof(by), "It advances forward only.");
            for (long left = Dates.Milliseconds(by); left > 0; left -= uint.MaxValue)
            {
                Failure.ThrowUnlessOk(Native.ClientAdvanceClock(handle, (uint)Math.Min(left, uint.MaxValue)));
            }
        }

        /// <summary>Closes the client, at once. Its leases are over; what is borrowed stays borrowed.</summary>
        /// <remarks>Handlers hear of no event after it; one that runs on another thread is not waited for.</remarks>
        public void Dispose()
        {
            handle.CloseNow();
            pump.Close();
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
