namespace FloatLease
{
    /// <summary>What happens to leases.</summary>
    public enum LeaseEventKind
    {
        /// <summary>Something that this version does not know.</summary>
        Other,

        /// <summary>A renewal failed; the slot is still yours.</summary>
        Degraded,

        /// <summary>It was renewed.</summary>
        Renewed,

        /// <summary>The slot is no longer surely yours: save.</summary>
        GraceStarted,

        /// <summary>Save, and stop licensed work; the library goes on asking.</summary>
        Lost,

        /// <summary>After GraceStarted or Lost, it is yours again.</summary>
        Regained,

        /// <summary>The borrow ends soon.</summary>
        BorrowEnding,

        /// <summary>The license, or a feature, expires soon.</summary>
        Expiring,

        /// <summary>An acquire queues for a slot.</summary>
        Waiting,
    }
}
