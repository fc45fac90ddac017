namespace FloatLease
{
    /// <summary>A call of <see cref="Client.Submit"/> is done.</summary>
    public sealed class CompletedEvent : ClientEvent
    {
        internal CompletedEvent(string json, JsonValue members) : base(json, members)
        {
        }

        /// <summary>Which call.</summary>
        public ulong Ticket => ulong.TryParse(Members["ticket"].Written, out var ticket) ? ticket : 0;

        /// <summary>What it came to.</summary>
        public Status Status => (Status)StatusNumber;

        /// <summary>The same as the number it is.</summary>
        public int StatusNumber => (int)(Members["status"].Int64 ?? (long)Status.Internal);

        /// <summary>What it answered, or its error object.</summary>
        public JsonValue Reply => Members[StatusNumber == 0 ? "reply" : "error"];
    }
}
