using System;
using System.Runtime.InteropServices;

[assembly: DefaultDllImportSearchPaths(DllImportSearchPath.AssemblyDirectory | DllImportSearchPath.SafeDirectories)]

namespace FloatLease
{
    /// <summary>The functions of floatlease_sandbox.h, as the header declares them.</summary>
    internal static class SandboxNative
    {
        private const string Library = "floatlease_sandbox";

        [DllImport(Library, EntryPoint = "floatlease_sandbox_start", CallingConvention = Native.Convention)]
        internal static extern int Start(byte[] options, out IntPtr sandbox, out IntPtr json);

        [DllImport(Library, EntryPoint = "floatlease_sandbox_control", CallingConvention = Native.Convention)]
        internal static extern int Control(SandboxHandle sandbox, byte[] methodPath, byte[] request, out IntPtr json);

        [DllImport(Library, EntryPoint = "floatlease_sandbox_stop", CallingConvention = Native.Convention)]
        internal static extern void Stop(IntPtr sandbox);

        [DllImport(Library, EntryPoint = "floatlease_sandbox_string_free", CallingConvention = Native.Convention)]
        internal static extern void StringFree(IntPtr text);
    }
}
