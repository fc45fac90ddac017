using System;
using System.Runtime.InteropServices;

namespace FloatLease
{
    /// <summary>The handle of a sandbox. Its finalizer stops the sandbox, which takes a second at most.</summary>
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
