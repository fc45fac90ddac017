using System;

namespace FloatLease
{
    /// <summary>An acquire with <see cref="LeaseRequest.Wait"/> queues for a slot.</summary>
    public sealed class WaitingEvent : LeaseEvent
    {
        internal WaitingEvent(string json, JsonValue members) : base(json, members)
        {
        }

        /// <summary>
        /// The ticket of the acquire, as <see cref="Client.Submit"/> returned it; null for one that a thread of your
        /// program waits for.
        /// </summary>
        public ulong? Ticket => ulong.TryParse(Members["ticket"].Written, out var ticket) ? ticket : (ulong?)null;

        /// <summary>The time until the acquire asks the server again.</summary>
        public TimeSpan AsksAgainIn => Dates.Length(Members["asks_again_in_ms"].Int64) ?? TimeSpan.Zero;

        /// <summary>The time until the acquire gives up.</summary>
        public TimeSpan Left => Dates.Length(Members["left_ms"].Int64) ?? TimeSpan.Zero;
    }
}
