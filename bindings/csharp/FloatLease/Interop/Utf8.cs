using System;
using System.Runtime.InteropServices;
using System.Text;

namespace FloatLease
{
    /// <summary>Texts on their way into the library and out of it.</summary>
    internal static class Utf8
    {
        // Half a surrogate pair is refused here, with a sentence, rather than sent as a question mark.
        private static readonly UTF8Encoding Strict = new UTF8Encoding(false, true);

        /// <summary>With a NUL at its end; null stays null.</summary>
        internal static byte[] In(string text)
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

        /// <summary>A copy of a text that stays the library's; null stays null.</summary>
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
