using System;
using System.IO;

namespace FloatLease
{
    /// <summary>
    /// Checks once that the native library is there and has the ABI that this assembly was written for.
    /// </summary>
    internal static class AbiCheck
    {
        // FLOATLEASE_ABI_VERSION of the floatlease.h that Native.cs was written after.
        private const uint Written = 1;

        private static volatile bool holds;

        /// <summary>Throws unless the library fits.</summary>
        /// <exception cref="FloatLeaseLibraryException">The message says what to do.</exception>
        internal static void Ensure()
        {
            if (holds) return;
            uint version;
            try
            {
                version = Native.AbiVersion();
            }
            catch (DllNotFoundException cause)
            {
                throw new FloatLeaseLibraryException(NotFound(cause), cause);
            }
            catch (BadImageFormatException cause)
            {
                throw new FloatLeaseLibraryException(WrongKind(), cause);
            }
            catch (EntryPointNotFoundException cause)
            {
                throw new FloatLeaseLibraryException(Foreign(), cause);
            }
            string difference = Difference(version);
            if (difference != null) throw new FloatLeaseLibraryException(difference, null);
            holds = true;
        }

        /// <summary>Returns what is wrong with a library of that ABI version, or null.</summary>
        internal static string Difference(uint version) => version == Written
            ? null
            : "The native library \"" + FileName + "\" has ABI version " + version + ", FloatLease.Managed.dll needs "
                + Written + ". Take both from the same release of floatlease.";

        private static bool IsWindows => Path.DirectorySeparatorChar == '\\';

        private static string FileName =>
            IsWindows ? Native.Library + ".dll" : "lib" + Native.Library + ".so or .dylib";

        private static string Bits => IntPtr.Size == 8 ? "64-bit" : "32-bit";

#if UNITY_5_3_OR_NEWER
        private static string NotFound(Exception cause) =>
            "The native library \"" + FileName + "\" was not found, or something that it needs. The package "
            + "com.floatlease has it in Plugins, for the platforms that its README names. The system says: "
            + cause.Message;
#else
        private static string NotFound(Exception cause) =>
            "The native library \"" + FileName + "\" was not found, or something that it needs. It was looked for in "
            + string.Join(", ", Places()) + ". Reference the package FloatLease, which brings it along, or copy it "
            + "beside your program. The system says: " + cause.Message;
#endif

        private static string WrongKind() =>
            "The native library \"" + FileName + "\" is for another kind of processor: this is a " + Bits + " process. "
            + "Build your program as the library is, for x64 or arm64; in .NET Framework not \"prefer 32-bit\".";

        private static string Foreign() =>
            "The library \"" + FileName + "\" that was found is not floatlease. Take it from the same release of "
            + "floatlease as FloatLease.Managed.dll.";

#if !UNITY_5_3_OR_NEWER
        // Left out in Unity: a player of IL2CPP has no assembly files.
        private static string[] Places()
        {
            string program = AppDomain.CurrentDomain.BaseDirectory;
#if NET5_0_OR_GREATER
            string assembly = null; // a program of a single file has no assembly files
#else
            string assembly = typeof(AbiCheck).Assembly.Location;
#endif
            string variable = IsWindows ? "the system's folders" : "LD_LIBRARY_PATH, the system's folders";
            return new[]
            {
                string.IsNullOrEmpty(assembly) ? program : Path.GetDirectoryName(assembly),
                program,
                Path.Combine(program, "runtimes", "(platform)", "native"),
                variable,
            };
        }
#endif
    }
}
