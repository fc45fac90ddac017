using System;

namespace FloatLease
{
    /// <summary>What every function gives: a status, and a text that is freed here.</summary>
    internal static class Answer
    {
        /// <summary>The text; what is no success is thrown.</summary>
        internal static string Of(int status, IntPtr json)
        {
            string text = Take(json);
            if (status != (int)Status.Ok) throw Failure.Of(status, text);
            return text;
        }

        /// <summary>The text alone.</summary>
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
