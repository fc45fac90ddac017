using System;
using System.Collections.Generic;
using System.Globalization;

namespace FloatLease
{
    /// <summary>
    /// A JSON value. Numbers stay as they were written, so no id loses a digit. Unknown members are kept.
    /// </summary>
    /// <remarks>
    /// Reading never throws: a member that does not exist, or that is of another kind, reads as null. This class exists
    /// because netstandard2.0 has no JSON of its own, and a package for it would clash with the version that many
    /// programs have.
    /// </remarks>
    public sealed class JsonValue
    {
        /// <summary>The value null.</summary>
        public static readonly JsonValue Null = new JsonValue(JsonKind.Null, "null", null, null);

        private static readonly JsonValue True = new JsonValue(JsonKind.Boolean, "true", null, null);
        private static readonly JsonValue False = new JsonValue(JsonKind.Boolean, "false", null, null);

        // The content of a string; the written form of a number, a boolean and null.
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

        /// <summary>The kind of the value.</summary>
        public JsonKind Kind { get; }

        /// <summary>True if the value is null, or a member that does not exist.</summary>
        public bool IsNull => Kind == JsonKind.Null;

        /// <summary>The text of a JSON string; null for any other kind.</summary>
        public string Text => Kind == JsonKind.Text ? text : null;

        /// <summary>The value of true or false; null for any other kind.</summary>
        public bool? Boolean => Kind == JsonKind.Boolean ? ReferenceEquals(this, True) : (bool?)null;

        /// <summary>
        /// The value of an integer; null for any other kind, and for a number that is no 64-bit integer.
        /// </summary>
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

        /// <summary>The value of a number; null for any other kind.</summary>
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
        /// The moment that a text names; null if it names none. The text must begin with a day: "2026-09-27" or
        /// "2026-09-27T21:30:48Z".
        /// </summary>
        public DateTimeOffset? Date => Dates.Parse(Text);

        /// <summary>The items of an array; an empty list for any other kind.</summary>
        public IReadOnlyList<JsonValue> Items => items ?? (IReadOnlyList<JsonValue>)new JsonValue[0];

        /// <summary>The texts in an array of texts; an empty list for any other kind.</summary>
        internal IReadOnlyList<string> Texts
        {
            get
            {
                var texts = new List<string>();
                foreach (JsonValue item in Items) texts.Add(item.Text);
                return texts;
            }
        }

        /// <summary>The members of an object; an empty list for any other kind.</summary>
        public IReadOnlyList<KeyValuePair<string, JsonValue>> Members =>
            members ?? (IReadOnlyList<KeyValuePair<string, JsonValue>>)new KeyValuePair<string, JsonValue>[0];

        /// <summary>
        /// The member of that name; <see cref="Null"/> if there is none. Setting it to null removes it.
        /// </summary>
        /// <exception cref="InvalidOperationException">A member was set, but the value is no object.</exception>
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
        /// <exception cref="FormatException">
        /// The text is not valid JSON; the message says at which position.
        /// </exception>
        public static JsonValue Parse(string json) => JsonReader.Read(json);

        /// <summary>Makes an object without members: <c>var o = JsonValue.NewObject(); o["by"] = "2h";</c></summary>
        public static JsonValue NewObject() =>
            new JsonValue(JsonKind.Object, null, null, new List<KeyValuePair<string, JsonValue>>());

        /// <summary>Makes an array of these values.</summary>
        public static JsonValue NewArray(IEnumerable<JsonValue> values)
        {
            var list = new List<JsonValue>();
            foreach (JsonValue value in values) list.Add(value ?? Null);
            return new JsonValue(JsonKind.Array, null, list, null);
        }

        /// <summary>Makes an array of these texts.</summary>
        public static JsonValue NewArray(IEnumerable<string> texts)
        {
            var list = new List<JsonValue>();
            foreach (string text in texts) list.Add(text);
            return new JsonValue(JsonKind.Array, null, list, null);
        }

        /// <summary>Makes a number with a fraction.</summary>
        /// <exception cref="ArgumentOutOfRangeException">
        /// The number is infinite or NaN, which JSON can't express.
        /// </exception>
        public static JsonValue Number(double number)
        {
            if (double.IsNaN(number) || double.IsInfinity(number))
            {
                throw new ArgumentOutOfRangeException(nameof(number), "JSON has no number " + number);
            }
            return Literal(number.ToString("R", CultureInfo.InvariantCulture));
        }

        /// <summary>Makes a JSON string of a text; null becomes <see cref="Null"/>.</summary>
        public static implicit operator JsonValue(string text) =>
            text == null ? Null : new JsonValue(JsonKind.Text, text, null, null);

        /// <summary>Makes a number of an integer.</summary>
        public static implicit operator JsonValue(long number) =>
            Literal(number.ToString(CultureInfo.InvariantCulture));

        /// <summary>Makes a number with a fraction.</summary>
        /// <exception cref="ArgumentOutOfRangeException">
        /// The number is infinite or NaN, which JSON can't express.
        /// </exception>
        public static implicit operator JsonValue(double number) => Number(number);

        /// <summary>Makes a number with a fraction, with no more digits than its type has.</summary>
        /// <exception cref="ArgumentOutOfRangeException">
        /// The number is infinite or NaN, which JSON can't express.
        /// </exception>
        public static implicit operator JsonValue(float number) =>
            float.IsNaN(number) || float.IsInfinity(number)
                ? Number(number)
                : Literal(number.ToString("R", CultureInfo.InvariantCulture));

        /// <summary>Makes a number with a fraction, with all of its digits.</summary>
        public static implicit operator JsonValue(decimal number) =>
            Literal(number.ToString(CultureInfo.InvariantCulture));

        /// <summary>Makes a JSON string of one character, and not its number.</summary>
        public static implicit operator JsonValue(char character) => character.ToString();

        /// <summary>Makes the value true or false.</summary>
        public static implicit operator JsonValue(bool value) => value ? True : False;

        /// <summary>Returns the value as a JSON text without spaces.</summary>
        public override string ToString() => JsonWriter.Write(this);

        // For texts of the library, which are JSON. If one ever is not, the program can still read the text itself.
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

        // The written form of a number, a boolean or null.
        internal string Written => text;

        // Makes a number of its written form.
        internal static JsonValue Literal(string number) => new JsonValue(JsonKind.Number, number, null, null);

        // Does not look for a member of the same name: if a name is given twice, the last one counts.
        internal void Append(string name, JsonValue value) =>
            members.Add(new KeyValuePair<string, JsonValue>(name, value));

        // Removes all other members of that name. The last one counts here, but another reader of the written text
        // might take the first.
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
