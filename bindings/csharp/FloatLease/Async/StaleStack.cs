using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace FloatLease
{
    /// <summary>
    /// Mono's and Unity's collectors take whatever lies on a stack for a reference. A thread that waits for long wipes
    /// first what its last work has left there, or that would be kept for as long as it waits.
    /// </summary>
    internal static class StaleStack
    {
        [StructLayout(LayoutKind.Sequential, Size = 16384)]
        private struct Blank
        {
        }

        [MethodImpl(MethodImplOptions.NoInlining)]
        internal static void Wipe()
        {
            Blank blank = default(Blank);
            Keep(ref blank);
        }

        // Else the compiler sees that nobody reads it.
        [MethodImpl(MethodImplOptions.NoInlining)]
        private static void Keep(ref Blank blank)
        {
        }
    }
}
