using System;
using System.Runtime.InteropServices;

namespace FloatLease
{
    /// <summary>
    /// A lease of the library. Its finalizer frees it, in whatever order: before its client or after.
    /// </summary>
    /// <remarks>
    /// What is called by the token is called here, where the handle is kept alive until the function returns: otherwise
    /// the collector may run the finalizer under it.
    /// </remarks>
    internal sealed class LeaseHandle : SafeHandle
    {
        // Stays what it was when the lease is freed: the library answers that it is.
        private readonly IntPtr token;

        internal LeaseHandle(IntPtr token) : base(IntPtr.Zero, true)
        {
            SetHandle(token);
            this.token = token;
        }

        public override bool IsInvalid => handle == IntPtr.Zero;

        internal int State()
        {
            int state = Native.LeaseState(token);
            GC.KeepAlive(this);
            return state;
        }

        internal long Remaining()
        {
            long milliseconds = Native.LeaseRemaining(token);
            GC.KeepAlive(this);
            return milliseconds;
        }

        /// <summary>
        /// Frees it under the calls that are in flight; with Dispose alone it would be held until the last of them ends.
        /// </summary>
        internal void FreeNow()
        {
            Native.LeaseFree(token);
            Dispose();
        }

        protected override bool ReleaseHandle()
        {
            Native.LeaseFree(handle); // a second time does nothing
            return true;
        }
    }
}
