namespace FloatLease
{
    /// <summary>The kinds of events that a lease has.</summary>
    public enum LeaseEventKind
    {
        /// <summary>An event that this version does not know.</summary>
        Other,

        /// <summary>A renewal failed; the slot is still yours.</summary>
        Degraded,

        /// <summary>The lease was renewed.</summary>
        Renewed,

        /// <summary>The slot may have gone to another device. Save the user's work.</summary>
        GraceStarted,

        /// <summary>
        /// The lease is lost. Save the user's work and stop licensed work; the library goes on asking for the slot.
        /// </summary>
        Lost,

        /// <summary>The slot is yours again, after GraceStarted or Lost.</summary>
        Regained,

        /// <summary>The borrow ends soon.</summary>
        BorrowEnding,

        /// <summary>The license, or one of the lease's features, expires soon.</summary>
        Expiring,

        /// <summary>An acquire queues for a slot.</summary>
        Waiting,
    }
}
