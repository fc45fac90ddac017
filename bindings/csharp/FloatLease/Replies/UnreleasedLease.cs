namespace FloatLease
{
    /// <summary>A lease that <see cref="Client.ReleaseAll"/> could not release in time.</summary>
    public sealed class UnreleasedLease : Reply
    {
        internal UnreleasedLease(JsonValue members) : base(members)
        {
        }

        /// <summary>The number of the lease, as <see cref="Lease.Number"/> gives it.</summary>
        public long? LeaseNumber => Members["lease"].Int64;

        /// <summary>The status that explains why the lease could not be released, for example Connect.</summary>
        public Status Status => (Status)(Members["status"].Int64 ?? 0);

        /// <summary>The name of that status, for example "CONNECT".</summary>
        public string StatusName => Members["name"].Text ?? StatusNames.Of((int)Status);

        /// <summary>A sentence that explains why the lease could not be released.</summary>
        public string Reason => Members["reason"].Text;
    }
}
