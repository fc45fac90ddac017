using System;

namespace FloatLease
{
    /// <summary>
    /// The native library can't be used: it was not found, is for another processor, or belongs to another release. The
    /// message says which, and what to do.
    /// </summary>
    public sealed partial class FloatLeaseLibraryException : DllNotFoundException
    {
        internal FloatLeaseLibraryException(string message, Exception cause) : base(message, cause)
        {
        }
    }
}
