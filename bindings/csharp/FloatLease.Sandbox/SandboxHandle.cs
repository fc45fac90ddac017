using System;
using System.Runtime.InteropServices;

namespace FloatLease
{
    /// <summary>A sandbox of the library. Its finalizer stops it, which takes a second at most.</summary>
    internal sealed class SandboxHandle : SafeHandle
    {
        internal SandboxHandle(IntPtr token) : base(IntPtr.Zero, true)
        {
            SetHandle(token);
        }

        public override bool IsInvalid => handle == IntPtr.Zero;

        protected override bool ReleaseHandle()
        {
            SandboxNative.Stop(handle);
            return true;
        }
    }
}
