using System;

namespace FloatLease
{
    /// <summary>A reply of the library or the server. A property is null where the reply has no such member.</summary>
    public abstract class Reply
    {
        internal Reply(string json) : this(json, JsonValue.ParseOrNull(json))
        {
        }

        internal Reply(JsonValue members) : this(members.ToString(), members)
        {
        }

        private Reply(string json, JsonValue members)
        {
            Json = json;
            Members = members;
        }

        /// <summary>The whole reply as a JSON text.</summary>
        public string Json { get; }

        /// <summary>The members of the reply, including those that have no property here.</summary>
        public JsonValue Members { get; }

        internal static bool Is(JsonValue value) => value.Boolean ?? false;

        // The API writes some numbers as texts in some replies, and "" for none.
        internal static long? WholeNumber(JsonValue value) => value.Int64 ?? JsonValue.Literal(value.Text).Int64;

        // The API writes the same time as a date in one reply, and as milliseconds since 1970 in another.
        internal static DateTimeOffset? Moment(JsonValue value) => value.Date ?? Dates.OfUnixMilliseconds(value.Int64);
    }
}
