using System;
using System.Collections.Generic;

namespace FloatLease
{
    /// <summary>The members of a config or a request. A property that is null is left out.</summary>
    public abstract class JsonMembers
    {
        internal JsonMembers()
        {
        }

        /// <summary>The members as a JSON object. Set a key here that has no property.</summary>
        public JsonValue Members { get; private set; } = JsonValue.NewObject();

        /// <summary>Returns the JSON text that the library gets. It may hold secrets.</summary>
        public string ToJson() => Members.ToString();

        internal static string ToJson(JsonMembers request) => request?.ToJson();

        internal void Load(string json)
        {
            JsonValue members = JsonValue.Parse(json);
            if (members.Kind != JsonKind.Object) throw new FormatException("The text is not a JSON object.");
            Members = members;
        }

        internal string Text(string key) => Members[key].Text;

        internal long? Integer(string key) => Members[key].Int64;

        internal bool? Boolean(string key) => Members[key].Boolean;

        internal TimeSpan? Length(string key) => Dates.Length(Members[key].Int64);

        internal DateTimeOffset? Date(string key) => Members[key].Date;

        internal IReadOnlyList<string> Texts(string key)
        {
            JsonValue array = Members[key];
            return array.Kind == JsonKind.Array ? array.Texts : null;
        }

        internal void Set(string key, string value) => Members[key] = value == null ? null : (JsonValue)value;

        internal void Set(string key, long? value) => Members[key] = value == null ? null : (JsonValue)value.Value;

        internal void Set(string key, bool? value) => Members[key] = value == null ? null : (JsonValue)value.Value;

        internal void Set(string key, TimeSpan? value) =>
            Set(key, value == null ? (long?)null : Dates.Milliseconds(value.Value));

        internal void Set(string key, DateTimeOffset? value) =>
            Set(key, value == null ? null : Dates.Format(value.Value));

        internal void Set(string key, IReadOnlyList<string> values) =>
            Members[key] = values == null ? null : JsonValue.NewArray(values);
    }
}
