namespace FloatLease
{
    /// <summary>
    /// The states of a lease. <see cref="Lease.IsLicensed"/> says in which of them licensed work may go on.
    /// </summary>
    public enum LeaseState
    {
        /// <summary>There is no open lease: it was disposed, or it is not acquired yet.</summary>
        None = 0,

        /// <summary>The server confirmed the slot within its timeout. Your program runs.</summary>
        Active = 1,

        /// <summary>
        /// The last renewal failed, but the slot is still yours. Your program runs, perhaps with a quiet notice.
        /// </summary>
        Degraded = 2,

        /// <summary>
        /// Another device may have the slot by now. Save the user's work; licensed work may go on for the grace time.
        /// </summary>
        Grace = 3,

        /// <summary>The slot is yours until a date, with or without a network. Your program runs.</summary>
        Borrowed = 4,

        /// <summary>
        /// The lease is lost. Stop licensed work; the document is still the user's to read and to save.
        /// </summary>
        Lost = 5,

        /// <summary>The slot was given back.</summary>
        Released = 6,
    }

    /// <summary>Reads the names that the library has for states.</summary>
    internal static class LeaseStates
    {
        internal static LeaseState Named(string name)
        {
            switch (name)
            {
                case "ACTIVE": return LeaseState.Active;
                case "DEGRADED": return LeaseState.Degraded;
                case "GRACE": return LeaseState.Grace;
                case "BORROWED": return LeaseState.Borrowed;
                case "LOST": return LeaseState.Lost;
                case "RELEASED": return LeaseState.Released;
                default: return LeaseState.None;
            }
        }
    }
}
