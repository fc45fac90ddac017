namespace FloatLease
{
    /// <summary>Queued consumptions were booked or refused.</summary>
    public sealed class ConsumptionsSyncedEvent : ClientEvent
    {
        internal ConsumptionsSyncedEvent(string json, JsonValue members) : base(json, members)
        {
            Reply = new SyncReply(members);
        }

        /// <summary>
        /// The numbers of consumptions that were booked and are still queued, and those that were refused.
        /// </summary>
        public SyncReply Reply { get; }
    }
}
