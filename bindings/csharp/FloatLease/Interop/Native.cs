using System;
using System.Runtime.InteropServices;

// The library is looked for beside this assembly, beside the program and in the system's folders. It is never looked
// for in the current folder, where any other user may have put a file of that name.
[assembly: DefaultDllImportSearchPaths(DllImportSearchPath.AssemblyDirectory | DllImportSearchPath.SafeDirectories)]

namespace FloatLease
{
    /// <summary>The functions of floatlease.h that this assembly calls, as the header declares them.</summary>
    /// <remarks>
    /// Handles are tokens that the library checks: a closed one gives a status, never a crash. So functions that are
    /// called while a handle is being closed, or in every frame, take the token itself, which only the two handle
    /// classes have. All others take the SafeHandle.
    /// </remarks>
    internal static class Native
    {
        internal const string Library = "floatlease";
        internal const CallingConvention Convention = CallingConvention.Cdecl;

        [DllImport(Library, EntryPoint = "floatlease_abi_version", CallingConvention = Convention)]
        internal static extern uint AbiVersion();

        [DllImport(Library, EntryPoint = "floatlease_version", CallingConvention = Convention)]
        internal static extern IntPtr Version();

        [DllImport(Library, EntryPoint = "floatlease_string_free", CallingConvention = Convention)]
        internal static extern void StringFree(IntPtr text);

        [DllImport(Library, EntryPoint = "floatlease_client_open", CallingConvention = Convention)]
        internal static extern int ClientOpen(byte[] config, out IntPtr client, out IntPtr json);

        [DllImport(Library, EntryPoint = "floatlease_client_cancel", CallingConvention = Convention)]
        internal static extern int ClientCancel(ClientHandle client);

        [DllImport(Library, EntryPoint = "floatlease_client_close", CallingConvention = Convention)]
        internal static extern void ClientClose(IntPtr client);

        [DllImport(Library, EntryPoint = "floatlease_client_diagnose", CallingConvention = Convention)]
        internal static extern int ClientDiagnose(ClientHandle client, out IntPtr json);

        [DllImport(Library, EntryPoint = "floatlease_client_release_all", CallingConvention = Convention)]
        internal static extern int ClientReleaseAll(ClientHandle client, uint milliseconds, out IntPtr json);

        [DllImport(Library, EntryPoint = "floatlease_client_advance_clock", CallingConvention = Convention)]
        internal static extern int ClientAdvanceClock(ClientHandle client, uint milliseconds);

        [DllImport(Library, EntryPoint = "floatlease_call", CallingConvention = Convention)]
        internal static extern int Call(ClientHandle client, byte[] operation, byte[] request, out IntPtr json);

        [DllImport(Library, EntryPoint = "floatlease_call", CallingConvention = Convention)]
        internal static extern int CallByToken(IntPtr client, byte[] operation, byte[] request, out IntPtr json);

        [DllImport(Library, EntryPoint = "floatlease_submit", CallingConvention = Convention)]
        internal static extern int Submit(ClientHandle client, byte[] operation, byte[] request, out ulong ticket);

        [DllImport(Library, EntryPoint = "floatlease_cancel", CallingConvention = Convention)]
        internal static extern int Cancel(IntPtr client, ulong ticket);

        [DllImport(Library, EntryPoint = "floatlease_next_event", CallingConvention = Convention)]
        internal static extern int NextEvent(IntPtr client, uint milliseconds, out IntPtr json);

        [DllImport(Library, EntryPoint = "floatlease_events_waiting", CallingConvention = Convention)]
        internal static extern uint EventsWaiting(IntPtr client);

        [DllImport(Library, EntryPoint = "floatlease_lease_acquire", CallingConvention = Convention)]
        internal static extern int LeaseAcquire(ClientHandle client, byte[] request, out IntPtr lease, out IntPtr json);

        [DllImport(Library, EntryPoint = "floatlease_lease_accept", CallingConvention = Convention)]
        internal static extern int LeaseAccept(IntPtr client, ulong ticket, out IntPtr lease, out IntPtr json);

        [DllImport(Library, EntryPoint = "floatlease_lease_state", CallingConvention = Convention)]
        internal static extern int LeaseState(IntPtr lease);

        [DllImport(Library, EntryPoint = "floatlease_lease_remaining", CallingConvention = Convention)]
        internal static extern long LeaseRemaining(IntPtr lease);

        [DllImport(Library, EntryPoint = "floatlease_lease_info", CallingConvention = Convention)]
        internal static extern int LeaseInfo(LeaseHandle lease, out IntPtr json);

        [DllImport(Library, EntryPoint = "floatlease_lease_renew", CallingConvention = Convention)]
        internal static extern int LeaseRenew(LeaseHandle lease, out IntPtr json);

        [DllImport(Library, EntryPoint = "floatlease_lease_borrow", CallingConvention = Convention)]
        internal static extern int LeaseBorrow(LeaseHandle lease, byte[] request, out IntPtr json);

        [DllImport(Library, EntryPoint = "floatlease_lease_release", CallingConvention = Convention)]
        internal static extern int LeaseRelease(LeaseHandle lease, out IntPtr json);

        [DllImport(Library, EntryPoint = "floatlease_lease_free", CallingConvention = Convention)]
        internal static extern void LeaseFree(IntPtr lease);
    }
}
