namespace FloatLease
{
    /// <summary>
    /// How a lease stands. Work goes on in Active, Degraded, Grace and Borrowed: see <see cref="Lease.IsLicensed"/>.
    /// </summary>
    public enum LeaseState
    {
        /// <summary>This is no open lease: it was disposed.</summary>
        None = 0,

        /// <summary>Confirmed by the server within its timeout: work.</summary>
        Active = 1,

        /// <summary>The last renewal failed, the slot is still yours: work; perhaps a quiet notice.</summary>
        Degraded = 2,

        /// <summary>The slot is no longer surely yours, your own grace counts down: work, and save.</summary>
        Grace = 3,

        /// <summary>Yours until a date, network or not: work.</summary>
        Borrowed = 4,

        /// <summary>Over: stop licensed work; the document is still the user's.</summary>
        Lost = 5,

        /// <summary>Given back.</summary>
        Released = 6,
    }

    /// <summary>The states as the library spells them.</summary>
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
