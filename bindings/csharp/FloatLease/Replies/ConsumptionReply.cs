namespace FloatLease
{
    /// <summary>What was consumed, or what waits to be booked.</summary>
    public sealed class ConsumptionReply : Reply
    {
        internal ConsumptionReply(string json) : base(json)
        {
        }

        /// <summary>Whether it waits, because the server could not be reached,</summary>
        public bool IsQueued => Is(Members["queued"]);

        /// <summary>beside how much else;</summary>
        public long? QueuedConsumptions => Members["queued_consumptions"].Int64;

        /// <summary>by what it is known;</summary>
        public string IdempotencyKey => Members["idempotency_key"].Text;

        /// <summary>and why.</summary>
        public string Reason => Members["reason"].Text;

        /// <summary>How much was consumed.</summary>
        public long? TotalConsumptions => Members["total_consumptions"].Int64;

        /// <summary>How much may be.</summary>
        public long? MaxConsumptions => Members["max_consumptions"].Int64;
    }
}
