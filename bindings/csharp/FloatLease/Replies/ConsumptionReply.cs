namespace FloatLease
{
    /// <summary>The reply of a consumption that was booked or queued.</summary>
    public sealed class ConsumptionReply : Reply
    {
        internal ConsumptionReply(string json) : base(json)
        {
        }

        /// <summary>
        /// True if the consumption was queued, because the server could not be reached. It is on disk and booked later.
        /// </summary>
        public bool IsQueued => Is(Members["queued"]);

        /// <summary>The number of queued consumptions of this license on this device, if this one was queued.</summary>
        public long? QueuedConsumptions => Members["queued_consumptions"].Int64;

        /// <summary>
        /// The key of the queued consumption. A <see cref="SyncReply"/> names it if the consumption is refused.
        /// </summary>
        public string IdempotencyKey => Members["idempotency_key"].Text;

        /// <summary>A sentence that explains why the consumption was queued; null if it was booked.</summary>
        public string Reason => Members["reason"].Text;

        /// <summary>The consumptions that were booked so far, these included.</summary>
        public long? TotalConsumptions => Members["total_consumptions"].Int64;

        /// <summary>The consumptions that the license or the feature includes.</summary>
        public long? MaxConsumptions => Members["max_consumptions"].Int64;
    }
}
