using System;
using System.Collections.Generic;
using System.Globalization;
using System.Text;

namespace FloatLease
{
    /// <summary>Writes a value as a JSON text.</summary>
    internal static class JsonWriter
    {
        internal static string Write(JsonValue value)
        {
            var json = new StringBuilder();
            Append(json, value, 0);
            return json.ToString();
        }

        private static void Append(StringBuilder json, JsonValue value, int depth)
        {
            // An object that contains itself would use up the stack and end the process.
            if (depth > JsonReader.MostNested) throw new InvalidOperationException("Too many values are nested.");
            switch (value.Kind)
            {
                case JsonKind.Object:
                    json.Append('{');
                    foreach (KeyValuePair<string, JsonValue> member in value.Members)
                    {
                        if (json[json.Length - 1] != '{') json.Append(',');
                        Append(json, member.Key);
                        json.Append(':');
                        Append(json, member.Value, depth + 1);
                    }
                    json.Append('}');
                    break;
                case JsonKind.Array:
                    json.Append('[');
                    foreach (JsonValue item in value.Items)
                    {
                        if (json[json.Length - 1] != '[') json.Append(',');
                        Append(json, item, depth + 1);
                    }
                    json.Append(']');
                    break;
                case JsonKind.Text:
                    Append(json, value.Text);
                    break;
                default:
                    json.Append(value.Written);
                    break;
            }
        }

        private static void Append(StringBuilder json, string text)
        {
            json.Append('"');
            foreach (char character in text)
            {
                if (character == '"' || character == '\\') json.Append('\\').Append(character);
                else if (character >= ' ') json.Append(character);
                else json.Append("\\u").Append(((int)character).ToString("x4", CultureInfo.InvariantCulture));
            }
            json.Append('"');
        }
    }
}
