using System;
using System.Runtime.InteropServices;
using System.Text;

namespace FloatLease
{
    /// <summary>Converts texts for the library and from it.</summary>
    internal static class Utf8
    {
        // Throws for half a surrogate pair, which would otherwise be sent as a question mark.
        private static readonly UTF8Encoding Strict = new UTF8Encoding(false, true);

        /// <summary>Returns a text as UTF-8 with a NUL at its end; null stays null.</summary>
        internal static byte[] ToNative(string text)
        {
            if (text == null) return null;
            if (text.IndexOf('\0') >= 0)
            {
                throw new ArgumentException("A text must not hold a NUL: what follows it would be lost.");
            }
            var bytes = new byte[Strict.GetByteCount(text) + 1];
            Strict.GetBytes(text, 0, text.Length, bytes, 0);
            return bytes;
        }

        /// <summary>Returns a copy of the library's text, which the library still owns; null stays null.</summary>
        internal static string Copy(IntPtr text)
        {
            if (text == IntPtr.Zero) return null;
            int length = 0;
            while (Marshal.ReadByte(text, length) != 0) length++;
            var bytes = new byte[length];
            Marshal.Copy(text, bytes, 0, length);
            return Encoding.UTF8.GetString(bytes);
        }
    }
}
