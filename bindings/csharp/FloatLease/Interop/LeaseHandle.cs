using System;
using System.Runtime.InteropServices;

namespace FloatLease
{
    /// <summary>
    /// The handle of a lease. Its finalizer frees the lease; the client may be finalized before it or after it.
    /// </summary>
    /// <remarks>
    /// Functions that take the token are called here, where the handle is kept alive until they return. Otherwise the
    /// collector could run the finalizer during the call.
    /// </remarks>
    internal sealed class LeaseHandle : SafeHandle
    {
        // Keeps its value when the lease is freed; the library then answers that the lease is not open.
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
        /// Frees the lease while calls are in flight. With Dispose alone it would be held until the last of them ends.
        /// </summary>
        internal void FreeNow()
        {
            Native.LeaseFree(token);
            Dispose();
        }

        protected override bool ReleaseHandle()
        {
            Native.LeaseFree(handle); // freeing a second time does nothing
            return true;
        }
    }
}
