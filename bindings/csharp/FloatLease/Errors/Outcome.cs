namespace FloatLease
{
    /// <summary>Where a failed request stands: the one thing a program must know before it tries again.</summary>
    public enum Outcome
    {
        /// <summary>It may have been carried out: ask first.</summary>
        Unknown,

        /// <summary>It did not leave this machine.</summary>
        NotSent,

        /// <summary>The server refused it and did nothing.</summary>
        Rejected,
    }
}
