using System;
using System.Collections.Generic;
using System.Text;

namespace FloatLease
{
    /// <summary>Reads a JSON text strictly, without reflection and with a bounded use of the stack.</summary>
    internal struct JsonReader
    {
        // The deepest nesting that is read. The library accepts replies of depth 128, and wraps them a few times.
        internal const int MostNested = 256;

        private readonly string json;
        private int at;
        private int depth;

        private JsonReader(string json)
        {
            this.json = json;
            at = 0;
            depth = 0;
        }

        internal static JsonValue Read(string json)
        {
            if (json == null) throw new ArgumentNullException(nameof(json));
            var reader = new JsonReader(json);
            reader.SkipSpace();
            JsonValue value = reader.Value();
            reader.SkipSpace();
            if (reader.at < json.Length) throw reader.Wrong("the end");
            return value;
        }

        private JsonValue Value()
        {
            switch (Peek())
            {
                case '{': return Object();
                case '[': return Array();
                case '"': return Text();
                case 't': return Word("true", true);
                case 'f': return Word("false", false);
                case 'n': return Word("null", JsonValue.Null);
                default: return Number();
            }
        }

        private JsonValue Object()
        {
            JsonValue value = JsonValue.NewObject();
            Open();
            while (More('}', value.Members.Count == 0))
            {
                if (Peek() != '"') throw Wrong("a member's name");
                string name = Text();
                SkipSpace();
                if (Peek() != ':') throw Wrong("':'");
                at++;
                SkipSpace();
                value.Append(name, Value());
            }
            return value;
        }

        private JsonValue Array()
        {
            var values = new List<JsonValue>();
            Open();
            while (More(']', values.Count == 0)) values.Add(Value());
            return JsonValue.NewArray(values);
        }

        private void Open()
        {
            if (++depth > MostNested) throw Wrong("no more than " + MostNested + " nested values");
            at++;
        }

        // Returns whether another item comes before the end of the array or object.
        private bool More(char end, bool isFirst)
        {
            SkipSpace();
            if (Peek() == end)
            {
                at++;
                depth--;
                return false;
            }
            if (!isFirst)
            {
                if (Peek() != ',') throw Wrong("',' or '" + end + "'");
                at++;
                SkipSpace();
            }
            return true;
        }

        private JsonValue Word(string word, JsonValue value)
        {
            if (string.CompareOrdinal(json, at, word, 0, word.Length) != 0) throw Wrong(word);
            at += word.Length;
            return value;
        }

        private JsonValue Number()
        {
            int from = at;
            if (Peek() == '-') at++;
            int first = at;
            Digits();
            if (at - first > 1 && json[first] == '0')
            {
                at = first + 1;
                throw Wrong("no digit after a leading zero");
            }
            if (Peek() == '.')
            {
                at++;
                Digits();
            }
            if (Peek() == 'e' || Peek() == 'E')
            {
                at++;
                if (Peek() == '+' || Peek() == '-') at++;
                Digits();
            }
            return JsonValue.Literal(json.Substring(from, at - from));
        }

        private void Digits()
        {
            int from = at;
            while (Peek() >= '0' && Peek() <= '9') at++;
            if (at == from) throw Wrong(from > 0 && "+-.eE".IndexOf(json[from - 1]) >= 0 ? "a digit" : "a value");
        }

        private string Text()
        {
            int from = ++at;
            while (at < json.Length && json[at] != '"' && json[at] != '\\' && json[at] >= ' ') at++;
            string plain = json.Substring(from, at - from);
            if (Peek() == '"')
            {
                at++;
                return plain;
            }
            var text = new StringBuilder(plain);
            while (Peek() != '"') text.Append(Character());
            at++;
            return text.ToString();
        }

        private char Character()
        {
            char character = Peek();
            if (character < ' ') throw Wrong(at < json.Length ? "no control character" : "'\"'");
            at++;
            if (character != '\\') return character;
            character = Peek();
            int known = "\"\\/bfnrt".IndexOf(character);
            if (known >= 0)
            {
                at++;
                return "\"\\/\b\f\n\r\t"[known];
            }
            if (character != 'u') throw Wrong("an escape");
            at++;
            int code = 0;
            for (int digit = 0; digit < 4; digit++, at++)
            {
                int value = "0123456789abcdef".IndexOf(char.ToLowerInvariant(Peek()));
                if (value < 0) throw Wrong("four hexadecimal digits");
                code = (code << 4) | value;
            }
            return (char)code;
        }

        private void SkipSpace()
        {
            while (at < json.Length && " \t\r\n".IndexOf(json[at]) >= 0) at++;
        }

        // Returns NUL at the end of the text, which is valid nowhere.
        private char Peek() => at < json.Length ? json[at] : '\0';

        private FormatException Wrong(string expected)
        {
            // The message leaves out the text at that position: it may be a secret.
            string found = at < json.Length ? "" : ", where the text ends";
            return new FormatException(
                "The text is not valid JSON: " + expected + " is expected at position " + at + found + ".");
        }
    }
}
