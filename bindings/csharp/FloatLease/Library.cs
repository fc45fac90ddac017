namespace FloatLease
{
    /// <summary>The native library itself.</summary>
    public static class Library
    {
        /// <summary>Its version, for example "0.1.0".</summary>
        /// <exception cref="FloatLeaseLibraryException">It can't be used; the message says why.</exception>
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
