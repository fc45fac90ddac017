namespace FloatLease
{
    /// <summary>The completion of a call of <see cref="Client.Submit"/>.</summary>
    public sealed class CompletedEvent : ClientEvent
    {
        internal CompletedEvent(string json, JsonValue members) : base(json, members)
        {
        }

        /// <summary>The ticket of the call, as <see cref="Client.Submit"/> returned it.</summary>
        public ulong Ticket => ulong.TryParse(Members["ticket"].Written, out var ticket) ? ticket : 0;

        /// <summary>The status of the call: Ok, or why it failed.</summary>
        public Status Status => (Status)StatusNumber;

        /// <summary>The number of the status, as the library gave it.</summary>
        public int StatusNumber => (int)(Members["status"].Int64 ?? (long)Status.Internal);

        /// <summary>The reply of a call that succeeded, or the error object of one that failed.</summary>
        public JsonValue Reply => Members[StatusNumber == 0 ? "reply" : "error"];
    }
}
