using System.Collections.Generic;

namespace FloatLease
{
    /// <summary>What became of consumptions that waited.</summary>
    public sealed class SyncReply : Reply
    {
        internal SyncReply(string json) : base(json)
        {
        }

        internal SyncReply(JsonValue members) : base(members)
        {
        }

        /// <summary>How many were booked.</summary>
        public long? Booked => Members["booked"].Int64;

        /// <summary>How many still wait,</summary>
        public long? Waiting => Members["waiting"].Int64;

        /// <summary>and why.</summary>
        public string Reason => Members["reason"].Text;

        /// <summary>Those that the server refused: told once, and not booked.</summary>
        public IReadOnlyList<JsonValue> Refused => Members["refused"].Items;

        /// <summary>Those of which nobody can tell.</summary>
        public IReadOnlyList<JsonValue> Unknown => Members["unknown"].Items;

        /// <summary>Why it stands so: the last failure, or Ok.</summary>
        public Status Status => (Status)(Members["status"].Int64 ?? 0);

        /// <summary>The same as its name, for example "CONNECT".</summary>
        public string StatusName => Members["name"].Text ?? StatusNames.Of((int)Status);
    }
}
