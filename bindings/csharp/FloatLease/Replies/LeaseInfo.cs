using System.Collections.Generic;
using System;

namespace FloatLease
{
    /// <summary>Everything that the library knows about a lease.</summary>
    public sealed class LeaseInfo : Reply
    {
        internal LeaseInfo(string json) : base(json)
        {
        }

        /// <summary>The number that names the lease in events.</summary>
        public long? Number => Members["lease"].Int64;

        /// <summary>The features of the lease; an empty list for the license's own slot.</summary>
        public IReadOnlyList<string> Features => Members["features"].Texts;

        /// <summary>The text of <see cref="LeaseRequest.Tag"/>; null if there was none.</summary>
        public string Tag => Members["tag"].Text;

        /// <summary>The name of the lease's state, as the library spells it, for example "ACTIVE".</summary>
        public string StateName => Members["state"].Text;

        /// <summary>The time until licensed work must stop.</summary>
        public TimeSpan? Remaining => Dates.Length(Members["remaining_ms"].Int64);

        /// <summary>The time until the next renewal; null if the lease is not going to be renewed.</summary>
        public TimeSpan? RenewsIn => Dates.Length(Members["renews_in_ms"].Int64);

        /// <summary>A sentence about the last failure; null if the last request succeeded.</summary>
        public string Reason => Members["reason"].Text;

        /// <summary>The date until which the lease is borrowed; null if it is not.</summary>
        public DateTimeOffset? BorrowedUntil => Members["borrowed_until"].Date;

        /// <summary>The part that renews the lease: "thread" for the library, "host" for your program.</summary>
        public string KeepAlive => Members["keep_alive"].Text;

        /// <summary>The state of the lease.</summary>
        public LeaseState State => LeaseStates.Named(StateName);

        /// <summary>The status of the last failure; Ok if the last request succeeded.</summary>
        public Status Status => (Status)(Members["status"].Int64 ?? 0);

        /// <summary>The name of that status, for example "CONNECT".</summary>
        public string StatusName => Members["name"].Text ?? StatusNames.Of((int)Status);

        /// <summary>The slots of the lease. Each has <c>feature</c> and the server's last <c>reply</c>.</summary>
        public IReadOnlyList<JsonValue> Slots => Members["slots"].Items;
    }
}
