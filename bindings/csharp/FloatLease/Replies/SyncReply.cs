using System.Collections.Generic;

namespace FloatLease
{
    /// <summary>The result of booking queued consumptions.</summary>
    public sealed class SyncReply : Reply
    {
        internal SyncReply(string json) : base(json)
        {
        }

        internal SyncReply(JsonValue members) : base(members)
        {
        }

        /// <summary>The number of consumptions that were booked.</summary>
        public long? Booked => Members["booked"].Int64;

        /// <summary>The number of consumptions that are still queued.</summary>
        public long? Waiting => Members["waiting"].Int64;

        /// <summary>A sentence that explains why consumptions are still queued; null if none is.</summary>
        public string Reason => Members["reason"].Text;

        /// <summary>The consumptions that the server refused. Each is reported once and not booked.</summary>
        public IReadOnlyList<JsonValue> Refused => Members["refused"].Items;

        /// <summary>
        /// The consumptions that may have been booked or not. Each is reported once and not sent again.
        /// </summary>
        public IReadOnlyList<JsonValue> Unknown => Members["unknown"].Items;

        /// <summary>The status that explains why consumptions are still queued; Ok if none is.</summary>
        public Status Status => (Status)(Members["status"].Int64 ?? 0);

        /// <summary>The name of that status, for example "CONNECT".</summary>
        public string StatusName => Members["name"].Text ?? StatusNames.Of((int)Status);
    }
}
