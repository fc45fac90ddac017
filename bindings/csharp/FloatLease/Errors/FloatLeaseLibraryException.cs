using System;

namespace FloatLease
{
    /// <summary>
    /// The native library can't be used: it was not found, is for another processor, or of another release.
    /// </summary>
    public sealed partial class FloatLeaseLibraryException : DllNotFoundException
    {
        internal FloatLeaseLibraryException(string message, Exception cause) : base(message, cause)
        {
        }
    }
}
