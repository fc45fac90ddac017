using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace FloatLease
{
    /// <summary>
    /// Wipes what earlier calls have left on a thread's stack. The collectors of Mono and Unity take every word on a
    /// stack for a reference, so a thread that waits for long would keep what its last work used.
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

        // The compiler would leave out a variable that no method reads.
        [MethodImpl(MethodImplOptions.NoInlining)]
        private static void Keep(ref Blank blank)
        {
        }
    }
}
