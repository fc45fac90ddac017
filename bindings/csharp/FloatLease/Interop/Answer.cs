using System;

namespace FloatLease
{
    /// <summary>The answer of a function of the library: a status, and a text that is freed here.</summary>
    internal static class Answer
    {
        /// <summary>Returns the text, or throws the error that it describes.</summary>
        internal static string TextOrThrow(int status, IntPtr json)
        {
            string text = Take(json);
            if (status != (int)Status.Ok) throw Failure.FromStatus(status, text);
            return text;
        }

        /// <summary>Returns the text, whatever the status was.</summary>
        internal static string Take(IntPtr json)
        {
            try
            {
                return Utf8.Copy(json);
            }
            finally
            {
                Native.StringFree(json);
            }
        }
    }
}
