namespace FloatLease
{
    /// <summary>Consumptions that waited were booked, or refused.</summary>
    public sealed class ConsumptionsSyncedEvent : ClientEvent
    {
        internal ConsumptionsSyncedEvent(string json, JsonValue members) : base(json, members)
        {
            Reply = new SyncReply(members);
        }

        /// <summary>What became of them.</summary>
        public SyncReply Reply { get; }
    }
}
