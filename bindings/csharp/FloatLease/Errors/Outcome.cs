namespace FloatLease
{
    /// <summary>How far a failed call got. A program must know it before it tries again.</summary>
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
