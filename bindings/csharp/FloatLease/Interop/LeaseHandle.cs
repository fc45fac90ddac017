using System;
using System.Runtime.InteropServices;

namespace FloatLease
{
    /// <summary>
    /// A lease of the library. Its finalizer frees it, in whatever order: before its client or after.
    /// </summary>
    internal sealed class LeaseHandle : SafeHandle
    {
        internal LeaseHandle(IntPtr token) : base(IntPtr.Zero, true)
        {
            SetHandle(token);
            Token = token;
        }

        /// <summary>Stays what it was when the lease is freed: the library answers that it is.</summary>
        internal IntPtr Token { get; }

        public override bool IsInvalid => handle == IntPtr.Zero;

        /// <summary>
        /// Frees it under the calls that are in flight; with Dispose alone it would be held until the last of them ends.
        /// </summary>
        internal void FreeNow()
        {
            Native.LeaseFree(Token);
            Dispose();
        }

        protected override bool ReleaseHandle()
        {
            Native.LeaseFree(handle); // a second time does nothing
            return true;
        }
    }
}
