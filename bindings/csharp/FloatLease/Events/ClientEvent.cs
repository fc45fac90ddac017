using System;

namespace FloatLease
{
    /// <summary>An event of a client. Expect names that this version does not know.</summary>
    public class ClientEvent : EventArgs
    {
        internal ClientEvent(string json, JsonValue members)
        {
            Json = json;
            Members = members;
        }

        /// <summary>The name of the event, for example "DEGRADED".</summary>
        public string Name => Members["event"].Text ?? "";

        /// <summary>The whole event as a JSON text.</summary>
        public string Json { get; }

        /// <summary>The members of the event, including those that have no property here.</summary>
        public JsonValue Members { get; }

        /// <summary>
        /// The number of events that were dropped before this one, because your program did not read them.
        /// </summary>
        public long Missed => Members["missed"].Int64 ?? 0;

        internal static ClientEvent Parse(string json)
        {
            JsonValue members = JsonValue.ParseOrNull(json);
            switch (members["event"].Text)
            {
                case "COMPLETED": return new CompletedEvent(json, members);
                case "CONSUMPTIONS_SYNCED": return new ConsumptionsSyncedEvent(json, members);
                case "WAITING": return new WaitingEvent(json, members);
                default:
                    return members["lease"].IsNull ? new ClientEvent(json, members) : new LeaseEvent(json, members);
            }
        }
    }
}
