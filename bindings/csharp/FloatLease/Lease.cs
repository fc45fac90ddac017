using System;
using System.Threading;
using System.Threading.Tasks;

namespace FloatLease
{
    /// <summary>
    /// One or more slots of a license or of its features, which the library keeps for your program. Keep it as long as
    /// you work.
    /// </summary>
    /// <remarks>
    /// Dispose waits for nothing: the library gives a slot that is still held back in the background, if the process
    /// lives on. Borrowed slots stay borrowed. At the end of the process call <see cref="Release"/> first. A lease
    /// without references is disposed by the garbage collector, and a referenced lease keeps its client open.
    /// </remarks>
    public sealed partial class Lease : IDisposable
    {
        private readonly Client client;
        private readonly LeaseHandle handle;
        private readonly Listeners<LeaseEvent> changed = new Listeners<LeaseEvent>();

        internal Lease(Client client, LeaseHandle handle, string info)
        {
            this.client = client;
            this.handle = handle;
            Number = new LeaseInfo(info).Number ?? 0;
        }

        /// <summary>Raised for each event of this lease, such as a failed renewal or the loss of the slot.</summary>
        public event EventHandler<LeaseEvent> Changed
        {
            add => client.Listen(changed, value);
            remove => changed.Remove(value);
        }

        /// <summary>The number that names this lease in the client's events.</summary>
        public long Number { get; }

        /// <summary>
        /// The state of the lease. Reading it never waits: read it in every frame, or in an audio thread.
        /// </summary>
        /// <remarks>It takes no lock and no memory, and makes no system call (but one on Linux before 4.14).</remarks>
        public LeaseState State
        {
            get
            {
                int state = handle.State();
                GC.KeepAlive(this); // and with it the client, whose finalizer would close the lease
                return (LeaseState)state;
            }
        }

        /// <summary>
        /// True if licensed work may go on: the state is Active, Degraded, Grace or Borrowed. Reading it never waits.
        /// </summary>
        public bool IsLicensed
        {
            get
            {
                LeaseState state = State;
                return state >= LeaseState.Active && state <= LeaseState.Borrowed;
            }
        }

        /// <summary>
        /// The time until licensed work must stop. In Grace this is the rest of the grace time. Reading it never waits.
        /// </summary>
        /// <remarks>
        /// After a sleep of the machine it may be 0 for some seconds while the server is asked, so decide by
        /// <see cref="State"/>.
        /// </remarks>
        public TimeSpan Remaining
        {
            get
            {
                long milliseconds = handle.Remaining();
                GC.KeepAlive(this);
                return Dates.Length(milliseconds).Value;
            }
        }

        /// <summary>Returns everything that the library knows about the lease, without asking the server.</summary>
        public LeaseInfo Info() => ReadInfo(Native.LeaseInfo(handle, out var json), json);

        /// <summary>
        /// Renews the lease now, and waits for the server. Needed with <see cref="LeaseRequest.KeepAlive"/> "host"
        /// only. After a failure, State says whether the slot is still yours.
        /// </summary>
        public LeaseInfo Renew() => ReadInfo(Native.LeaseRenew(handle, out var json), json);

        /// <summary>
        /// Borrows all slots of the lease, or none, and waits for the server: this machine needs no network until the
        /// date of the request. Needs <see cref="ClientConfig.StorageDir"/>.
        /// </summary>
        public LeaseInfo Borrow(BorrowRequest request = null)
        {
            byte[] requestJson = Utf8.ToNative(JsonMembers.ToJson(request));
            return ReadInfo(Native.LeaseBorrow(handle, requestJson, out var json), json);
        }

        /// <summary>
        /// Gives the slots back, borrowed or not, and waits for the server. After a failure the lease is still held.
        /// </summary>
        public LeaseInfo Release() => ReadInfo(Native.LeaseRelease(handle, out var json), json);

        /// <summary>
        /// Renews the lease now, in the background. After a failure, State says whether the slot is still yours.
        /// </summary>
        public Task<LeaseInfo> RenewAsync(CancellationToken cancellation = default(CancellationToken)) =>
            PerformAsync("lease_renew", null, cancellation);

        /// <summary>
        /// Borrows all slots of the lease, or none, in the background: this machine needs no network until the date of
        /// the request. Needs <see cref="ClientConfig.StorageDir"/>.
        /// </summary>
        public Task<LeaseInfo> BorrowAsync(
            BorrowRequest request = null, CancellationToken cancellation = default(CancellationToken)) =>
            PerformAsync("lease_borrow", request, cancellation);

        /// <summary>
        /// Gives the slots back, borrowed or not, in the background. After a failure the lease is still held.
        /// </summary>
        public Task<LeaseInfo> ReleaseAsync(CancellationToken cancellation = default(CancellationToken)) =>
            PerformAsync("lease_release", null, cancellation);

        /// <summary>
        /// Closes the lease at once, without waiting for the server. A slot that is still held is given back in the
        /// background; a borrowed one stays borrowed.
        /// </summary>
        public void Dispose()
        {
            client.RemoveLease(this);
            handle.FreeNow();
        }

        internal bool HasListeners => changed.Any;

        internal void Raise(LeaseEvent received, Action<Exception, ClientEvent> report) =>
            changed.Raise(this, received, report);

        // Each call ends here, which keeps the client alive until then. Otherwise the finalizer of a client that was
        // dropped together with its lease would give the slot back while a renewal is under way.
        private LeaseInfo ReadInfo(int status, IntPtr json)
        {
            var info = new LeaseInfo(Answer.TextOrThrow(status, json));
            GC.KeepAlive(client);
            return info;
        }

        private async Task<LeaseInfo> PerformAsync(string operation, JsonMembers request, CancellationToken cancellation)
        {
            if (handle.IsClosed) throw new ObjectDisposedException(nameof(Lease));
            JsonValue members = request == null ? JsonValue.NewObject() : JsonValue.Parse(request.ToJson());
            members["lease"] = Number;
            string info = await client.CallAsync(operation, members.ToString(), cancellation).ConfigureAwait(false);
            GC.KeepAlive(this);
            return new LeaseInfo(info);
        }
    }
}
