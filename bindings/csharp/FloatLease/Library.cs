namespace FloatLease
{
    /// <summary>The native library.</summary>
    public static class Library
    {
        /// <summary>The version of the native library, for example "0.1.0".</summary>
        /// <exception cref="FloatLeaseLibraryException">The library can't be used; the message says why.</exception>
        public static string Version
        {
            get
            {
                AbiCheck.Ensure();
                return Utf8.Copy(Native.Version());
            }
        }
    }
}
