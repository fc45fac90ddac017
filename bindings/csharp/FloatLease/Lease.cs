using System;
using System.Threading;
using System.Threading.Tasks;

namespace FloatLease
{
    /// <summary>
    /// A lease: a slot of a license or feature, or several, held and kept alive. Keep it as long as you work.
    /// </summary>
    /// <remarks>
    /// Dispose waits for nothing: a slot that is still held is given back in the background, if the process lives on; a
    /// borrow stays. At the end of a process call <see cref="Release"/> first. A lease that is dropped is disposed by
    /// the garbage collector; one that is held keeps its client open.
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

        /// <summary>Something happened to this lease.</summary>
        public event EventHandler<LeaseEvent> Changed
        {
            add => client.Listen(changed, value);
            remove => changed.Remove(value);
        }

        /// <summary>Its number in events.</summary>
        public long Number { get; }

        /// <summary>
        /// How it stands. Wait-free: no lock, no memory, no system call (but one on Linux before 4.14); for every frame and
        /// for an audio thread.
        /// </summary>
        public LeaseState State
        {
            get
            {
                int state = handle.State();
                GC.KeepAlive(this); // and with it the client, whose finalizer would end the lease
                return (LeaseState)state;
            }
        }

        /// <summary>Whether licensed work goes on: Active, Degraded, Grace or Borrowed.</summary>
        public bool IsLicensed
        {
            get
            {
                LeaseState state = State;
                return state >= LeaseState.Active && state <= LeaseState.Borrowed;
            }
        }

        /// <summary>
        /// The time until licensed work must stop. Wait-free. Go by the state: after a sleep this may be 0 for seconds.
        /// </summary>
        public TimeSpan Remaining
        {
            get
            {
                long milliseconds = handle.Remaining();
                GC.KeepAlive(this);
                return Dates.Length(milliseconds).Value;
            }
        }

        /// <summary>All that is known of it. Local.</summary>
        public LeaseInfo Info() => ReadInfo(Native.LeaseInfo(handle, out var json), json);

        /// <summary>Renews it now, whoever keeps it alive.</summary>
        public LeaseInfo Renew() => ReadInfo(Native.LeaseRenew(handle, out var json), json);

        /// <summary>Borrows all of its slots, or none. Needs <see cref="ClientConfig.StorageDir"/>.</summary>
        public LeaseInfo Borrow(BorrowRequest request = null)
        {
            byte[] requestJson = Utf8.In(JsonBag.ToJson(request));
            return ReadInfo(Native.LeaseBorrow(handle, requestJson, out var json), json);
        }

        /// <summary>Gives its slots back, borrowed or not.</summary>
        public LeaseInfo Release() => ReadInfo(Native.LeaseRelease(handle, out var json), json);

        /// <summary>Renews it now, in the background.</summary>
        public Task<LeaseInfo> RenewAsync(CancellationToken cancellation = default(CancellationToken)) =>
            PerformAsync("lease_renew", null, cancellation);

        /// <summary>Borrows all of its slots, or none, in the background.</summary>
        public Task<LeaseInfo> BorrowAsync(
            BorrowRequest request = null, CancellationToken cancellation = default(CancellationToken)) =>
            PerformAsync("lease_borrow", request, cancellation);

        /// <summary>Gives its slots back, borrowed or not, in the background.</summary>
        public Task<LeaseInfo> ReleaseAsync(CancellationToken cancellation = default(CancellationToken)) =>
            PerformAsync("lease_release", null, cancellation);

        /// <summary>Lets go of it. Waits for nothing.</summary>
        public void Dispose()
        {
            client.RemoveLease(this);
            handle.FreeNow();
        }

        internal bool HasListeners => changed.Any;

        internal void Raise(LeaseEvent received, Action<Exception, ClientEvent> report) =>
            changed.Raise(this, received, report);

        // Each call ends here, so that the client lives as long: the finalizer of one that was dropped together with its
        // lease would close it, and give the slot back, while a renewal is under way.
        private LeaseInfo ReadInfo(int status, IntPtr json)
        {
            var info = new LeaseInfo(Answer.Of(status, json));
            GC.KeepAlive(client);
            return info;
        }

        private async Task<LeaseInfo> PerformAsync(string operation, JsonBag request, CancellationToken cancellation)
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
