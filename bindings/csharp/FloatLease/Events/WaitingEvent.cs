using System;

namespace FloatLease
{
    /// <summary>An acquire with <see cref="LeaseRequest.Wait"/> queues for a slot.</summary>
    public sealed class WaitingEvent : LeaseEvent
    {
        internal WaitingEvent(string json, JsonValue members) : base(json, members)
        {
        }

        /// <summary>When it asks again.</summary>
        public TimeSpan AsksAgainIn => Dates.Length(Members["asks_again_in_ms"].Int64) ?? TimeSpan.Zero;

        /// <summary>How long it goes on.</summary>
        public TimeSpan Left => Dates.Length(Members["left_ms"].Int64) ?? TimeSpan.Zero;
    }
}
