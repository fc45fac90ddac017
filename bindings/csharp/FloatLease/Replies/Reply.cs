namespace FloatLease
{
    /// <summary>What a call answered. A property is null where the reply has no such member.</summary>
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

        /// <summary>The whole reply as a text.</summary>
        public string Json { get; }

        /// <summary>Its members, those that have no property here too.</summary>
        public JsonValue Members { get; }

        internal static bool Is(JsonValue value) => value.Boolean ?? false;
    }
}
