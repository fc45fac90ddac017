using System;
using System.Collections.Generic;
using System.Globalization;

namespace FloatLease
{
    /// <summary>
    /// A JSON value. Numbers stay as they were written, so no id loses a digit; members that nobody knows are kept.
    /// </summary>
    /// <remarks>
    /// To read it is never an error: what is not there, or is of another kind, is null. It is here because
    /// netstandard2.0 has no JSON of its own, and a package for it would clash with another one in many a program.
    /// </remarks>
    public sealed class JsonValue
    {
        /// <summary>null.</summary>
        public static readonly JsonValue Null = new JsonValue(JsonKind.Null, "null", null, null);

        private static readonly JsonValue True = new JsonValue(JsonKind.Boolean, "true", null, null);
        private static readonly JsonValue False = new JsonValue(JsonKind.Boolean, "false", null, null);

        // Of a text its content, of a number, a boolean and null what was written.
        private readonly string text;
        private readonly List<JsonValue> items;
        private readonly List<KeyValuePair<string, JsonValue>> members;

        private JsonValue(JsonKind kind, string text, List<JsonValue> items,
            List<KeyValuePair<string, JsonValue>> members)
        {
            Kind = kind;
            this.text = text;
            this.items = items;
            this.members = members;
        }

        /// <summary>What it is.</summary>
        public JsonKind Kind { get; }

        /// <summary>Whether it is null, or not there.</summary>
        public bool IsNull => Kind == JsonKind.Null;

        /// <summary>The text, or null if it is none.</summary>
        public string Text => Kind == JsonKind.Text ? text : null;

        /// <summary>true or false, or null if it is neither.</summary>
        public bool? Boolean => Kind == JsonKind.Boolean ? ReferenceEquals(this, True) : (bool?)null;

        /// <summary>The integer, or null if it is none, or has no room here.</summary>
        public long? Int64
        {
            get
            {
                return Kind == JsonKind.Number
                    && long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number)
                    ? number
                    : (long?)null;
            }
        }

        /// <summary>The number with its fraction, or null if it is none.</summary>
        public double? Double
        {
            get
            {
                return Kind == JsonKind.Number
                    && double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var number)
                    ? number
                    : (double?)null;
            }
        }

        /// <summary>
        /// The moment that a text names, null if it names none. It begins with a day: "2026-09-27", "2026-09-27T21:30:48Z".
        /// </summary>
        public DateTimeOffset? Date => Dates.Parse(Text);

        /// <summary>The items of an array; none if it is no array.</summary>
        public IReadOnlyList<JsonValue> Items => items ?? (IReadOnlyList<JsonValue>)new JsonValue[0];

        /// <summary>The members of an object; none if it is no object.</summary>
        public IReadOnlyList<KeyValuePair<string, JsonValue>> Members =>
            members ?? (IReadOnlyList<KeyValuePair<string, JsonValue>>)new KeyValuePair<string, JsonValue>[0];

        /// <summary>
        /// The member of that name; <see cref="Null"/> if there is none. To set it to null removes it.
        /// </summary>
        public JsonValue this[string name]
        {
            get
            {
                int at = Find(name);
                return at < 0 ? Null : members[at].Value;
            }

            set
            {
                if (members == null)
                {
                    throw new InvalidOperationException("Only an object has members that can be set; this is: " + Kind);
                }
                int at = Find(name);
                if (value == null) members.RemoveAll(one => one.Key == name);
                else if (at < 0) members.Add(new KeyValuePair<string, JsonValue>(name, value));
                else Replace(at, name, value);
            }
        }

        /// <summary>Reads a JSON text.</summary>
        /// <exception cref="FormatException">It is none; the message tells where.</exception>
        public static JsonValue Parse(string json) => JsonReader.Read(json);

        /// <summary>An object without members yet: <c>var o = JsonValue.NewObject(); o["by"] = "2h";</c></summary>
        public static JsonValue NewObject() =>
            new JsonValue(JsonKind.Object, null, null, new List<KeyValuePair<string, JsonValue>>());

        /// <summary>An array of these values.</summary>
        public static JsonValue NewArray(IEnumerable<JsonValue> values)
        {
            var list = new List<JsonValue>();
            foreach (JsonValue value in values) list.Add(value ?? Null);
            return new JsonValue(JsonKind.Array, null, list, null);
        }

        /// <summary>An array of these texts.</summary>
        public static JsonValue NewArray(IEnumerable<string> texts)
        {
            var list = new List<JsonValue>();
            foreach (string text in texts) list.Add(text);
            return new JsonValue(JsonKind.Array, null, list, null);
        }

        /// <summary>A number with a fraction.</summary>
        /// <exception cref="ArgumentOutOfRangeException">JSON has no such number: it is infinite, or none.</exception>
        public static JsonValue Number(double number)
        {
            if (double.IsNaN(number) || double.IsInfinity(number))
            {
                throw new ArgumentOutOfRangeException(nameof(number), "JSON has no number " + number);
            }
            return Literal(number.ToString("R", CultureInfo.InvariantCulture));
        }

        /// <summary>A text.</summary>
        public static implicit operator JsonValue(string text) =>
            text == null ? Null : new JsonValue(JsonKind.Text, text, null, null);

        /// <summary>An integer.</summary>
        public static implicit operator JsonValue(long number) =>
            Literal(number.ToString(CultureInfo.InvariantCulture));

        /// <summary>true or false.</summary>
        public static implicit operator JsonValue(bool value) => value ? True : False;

        /// <summary>The JSON text, without spaces.</summary>
        public override string ToString() => JsonWriter.Write(this);

        // For what came from the library, which is JSON; if ever it is not, the text is still there for the host.
        internal static JsonValue ParseOrNull(string json)
        {
            try
            {
                return json == null ? Null : Parse(json);
            }
            catch (FormatException)
            {
                return Null;
            }
        }

        // What a number, a boolean or null is written as.
        internal string Written => text;

        // A number as it was written.
        internal static JsonValue Literal(string number) => new JsonValue(JsonKind.Number, number, null, null);

        // Without a look at those there are: of a name given twice the last one counts.
        internal void Append(string name, JsonValue value) =>
            members.Add(new KeyValuePair<string, JsonValue>(name, value));

        // Of a name given twice the last one counts here. Others who read what is written of it may take the first, so none
        // of the others stays.
        private void Replace(int last, string name, JsonValue value)
        {
            members[last] = new KeyValuePair<string, JsonValue>(name, value);
            for (int at = last - 1; at >= 0; at--)
            {
                if (members[at].Key == name) members.RemoveAt(at);
            }
        }

        private int Find(string name) =>
            members == null ? -1 : members.FindLastIndex(member => member.Key == name);
    }
}
