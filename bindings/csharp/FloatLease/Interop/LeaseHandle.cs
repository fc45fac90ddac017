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

        protected override bool ReleaseHandle()
        {
            Native.LeaseFree(handle);
            return true;
        }
    }
}
