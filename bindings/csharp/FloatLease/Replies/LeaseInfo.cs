using System.Collections.Generic;
using System;

namespace FloatLease
{
    /// <summary>All that is known of a lease.</summary>
    public sealed class LeaseInfo : Reply
    {
        internal LeaseInfo(string json) : base(json)
        {
        }

        /// <summary>Its number in events.</summary>
        public long? Number => Members["lease"].Int64;

        /// <summary>How it stands, as the library spells it.</summary>
        public string StateName => Members["state"].Text;

        /// <summary>The time until licensed work must stop.</summary>
        public TimeSpan? Remaining => Dates.Length(Members["remaining_ms"].Int64);

        /// <summary>The time until its next renewal; null when it is not going to be renewed.</summary>
        public TimeSpan? RenewsIn => Dates.Length(Members["renews_in_ms"].Int64);

        /// <summary>The last failure in a sentence; null without one.</summary>
        public string Reason => Members["reason"].Text;

        /// <summary>Until when it is borrowed.</summary>
        public DateTimeOffset? BorrowedUntil => Members["borrowed_until"].Date;

        /// <summary>Who keeps it alive: "thread" or "host".</summary>
        public string KeepAlive => Members["keep_alive"].Text;

        /// <summary>How it stands.</summary>
        public LeaseState State => LeaseStates.Named(StateName);

        /// <summary>Why it stands so: the last failure, or Ok.</summary>
        public Status Status => (Status)(Members["status"].Int64 ?? 0);

        /// <summary>The same as its name, for example "CONNECT".</summary>
        public string StatusName => Members["name"].Text ?? StatusNames.Of((int)Status);

        /// <summary>Its slots, each with <c>feature</c> and the server's last <c>reply</c>.</summary>
        public IReadOnlyList<JsonValue> Slots => Members["slots"].Items;
    }
}
