namespace FloatLease
{
    /// <summary>The progress of a failed call, which a program must know before it tries again.</summary>
    public enum Outcome
    {
        /// <summary>
        /// The server may have carried the request out. Ask for the state of things before you try again.
        /// </summary>
        Unknown,

        /// <summary>The request did not leave this machine.</summary>
        NotSent,

        /// <summary>The server refused the request and did nothing.</summary>
        Rejected,
    }
}
