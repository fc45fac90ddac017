using System;
using System.Text;

namespace FloatLease.Tests
{
    internal static class JsonTests
    {
        public static void Texts_arrive_as_they_left()
        {
            foreach (string text in new[] { "", "a\"b\\c/d", "\b\f\n\r\t\u0001\u001f\u007f", "Ω 机器 😀", "\ud83d" })
            {
                JsonValue value = text;
                Check.Equal(text, JsonValue.Parse(value.ToString()).Text);
            }
            Check.Equal("\"\\/\b\f\n\r\tΩ😀", JsonValue.Parse(@"""\""\\\/\b\f\n\r\t\u03A9\uD83d\ude00""").Text);
            Check.Equal("plain and \n then", JsonValue.Parse("\"plain and \\n then\"").Text);
        }

        public static void Integers_lose_no_digit_and_numbers_stay_as_they_were_written()
        {
            JsonValue value = JsonValue.Parse("[9007199254740993, -9223372036854775808, 18446744073709551615, 1.0, 0, -0, 1E+2]");
            Check.Equal(9007199254740993L, value.Items[0].Int64.Value);
            Check.Equal(long.MinValue, value.Items[1].Int64.Value);
            Check.Equal(null, value.Items[2].Int64);
            Check.Equal(null, value.Items[3].Int64);
            Check.Equal(1.0, value.Items[3].Double.Value);
            Check.Equal(100.0, value.Items[6].Double.Value);
            Check.Equal("[9007199254740993,-9223372036854775808,18446744073709551615,1.0,0,-0,1E+2]", value.ToString());
            Check.Equal("0.1", JsonValue.Number(0.1).ToString());
            Check.Throws<ArgumentOutOfRangeException>(() => JsonValue.Number(double.NaN));
        }

        // Without a conversion of its own, a cast of a fraction cuts it off, and a character becomes its number.
        public static void Each_number_keeps_its_value_and_a_character_is_a_text()
        {
            JsonValue value = JsonValue.NewObject();
            value["double"] = 0.1;
            value["cast"] = (JsonValue)1.5;
            value["float"] = 0.1f;
            value["decimal"] = 79228162514264337593543950335m;
            value["fraction"] = (JsonValue)1.50m;
            value["character"] = ';';
            value["byte"] = (byte)255;
            value["short"] = (short)-5;
            value["uint"] = uint.MaxValue;
            value["int"] = 7;
            Check.Equal("{\"double\":0.1,\"cast\":1.5,\"float\":0.1,\"decimal\":79228162514264337593543950335,"
                + "\"fraction\":1.50,\"character\":\";\",\"byte\":255,\"short\":-5,\"uint\":4294967295,\"int\":7}",
                value.ToString());
            foreach (double no in new[] { double.NaN, double.PositiveInfinity, double.NegativeInfinity })
            {
                Check.Throws<ArgumentOutOfRangeException>(() => value["no"] = no);
                Check.Throws<ArgumentOutOfRangeException>(() => value["no"] = (float)no);
            }
        }

        public static void Members_keep_their_order_unknown_ones_too_and_of_a_name_given_twice_the_last_counts()
        {
            JsonValue value = JsonValue.Parse(" {\"b\" : 1 ,\"a\":{\"x\":[ ]},\"b\":2, \"c\":null} ");
            Check.Equal(2L, value["b"].Int64.Value);
            Check.Equal("{\"b\":1,\"a\":{\"x\":[]},\"b\":2,\"c\":null}", value.ToString());
            value["a"] = "z";
            value["c"] = null;
            value["d"] = true;
            Check.Equal("{\"b\":1,\"a\":\"z\",\"b\":2,\"d\":true}", value.ToString());
            value["b"] = null;
            Check.That(value["b"].IsNull, "the earlier one does not come back");
            Check.Equal("{\"a\":\"z\",\"d\":true}", value.ToString());
            value = JsonValue.Parse("{\"b\":1,\"a\":0,\"b\":2,\"c\":3}");
            value["b"] = 4;
            Check.Equal("{\"a\":0,\"b\":4,\"c\":3}", value.ToString());
        }

        public static void What_is_not_there_or_of_another_kind_is_null()
        {
            JsonValue value = JsonValue.Parse("{\"n\":1,\"t\":\"x\",\"o\":{},\"a\":[1],\"f\":false,\"d\":\"2026-09-27 23:30\"}");
            Check.That(value["nowhere"]["deeper"].IsNull && value["n"]["x"].IsNull && value["a"]["x"].IsNull, "null");
            Check.That(value["n"].Text == null && value["t"].Int64 == null && value["t"].Boolean == null, "kinds");
            Check.That(value["t"].Date == null && value["n"].Date == null && value["t"].Double == null, "kinds");
            Check.That(value["n"].Items.Count == 0 && value["n"].Members.Count == 0, "kinds");
            Check.Equal(false, value["f"].Boolean.Value);
            Check.Equal(new DateTimeOffset(2026, 9, 27, 23, 30, 0, TimeSpan.Zero), value["d"].Date.Value);
            Check.Throws<InvalidOperationException>(() => value["n"]["x"] = 1);
        }

        public static void A_date_is_a_moment_that_the_text_names_whole()
        {
            string[] none =
            {
                "12:30", "12:30:00Z", "T12:30:00Z", "5", "2026", "9/27", "27 Sep", "Sunday", "2026-09", "09-27", "2026-9-27",
                "27.9.2026", "2026-13-01", "2026-02-30", "2026-09-27X", "2026-09-27T", "2026-09-27T25:00:00Z", "",
            };
            foreach (string text in none) Check.Equal(null, ((JsonValue)text).Date);
            var moment = new DateTimeOffset(2026, 9, 27, 21, 30, 48, TimeSpan.Zero);
            string[] same =
            {
                "2026-09-27T21:30:48Z", "2026-09-27T21:30:48.000Z", "2026-09-27T21:30:48.000000000Z", "2026-09-27 21:30:48",
                "2026-09-27T21:30:48", "2026-09-27T23:30:48+02:00", "2026-09-27T20:30:48.000000-01:00",
            };
            foreach (string text in same) Check.Equal(moment, ((JsonValue)text).Date.Value);
            var day = new DateTimeOffset(2026, 9, 27, 0, 0, 0, TimeSpan.Zero);
            Check.Equal(day, ((JsonValue)"2026-09-27").Date.Value);
            Check.Equal(day.AddHours(23.5), ((JsonValue)"2026-09-27T23:30").Date.Value);
        }

        public static void What_is_no_JSON_is_refused_and_not_repeated()
        {
            string[] wrong =
            {
                "", " ", "{", "[", "\"", "\"\\", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{a:1}", "[1,]", "[1 2]", "[,1]",
                "1 2", "01", "-", "-01", "1.", ".5", "1e", "1e+", "+1", "0x10", "NaN", "Infinity", "tru", "nul", "True",
                "\"\u0001\"", "\"\n\"", "\"\\x\"", "\"\\u12\"", "\"\\u12g4\"", "'a'", "[1]]", "{\"a\":1}}", "\u00a01",
                "{\"a\":1 \"b\":2}", "{1:2}", "\ufeff1", "[\0]",
            };
            foreach (string text in wrong)
            {
                string message = Check.Throws<FormatException>(() => JsonValue.Parse(text)).Message;
                Check.Holds("position", message);
            }
            string told = Check.Throws<FormatException>(() => JsonValue.Parse("{\"password\":\"swordfish\" oops}")).Message;
            Check.That(!told.Contains("swordfish") && !told.Contains("oops"), told);
            Check.Throws<ArgumentNullException>(() => JsonValue.Parse(null));
        }

        public static void Depth_has_a_limit_and_the_stack_is_never_used_up()
        {
            string nested = new string('[', 256) + new string(']', 256);
            Check.Equal(nested, JsonValue.Parse(nested).ToString());
            Check.Throws<FormatException>(() => JsonValue.Parse("[" + nested + "]"));
            Check.Throws<FormatException>(() => JsonValue.Parse(new string('[', 1000000)));
            JsonValue own = JsonValue.NewObject();
            own["own"] = own;
            Check.Throws<InvalidOperationException>(() => own.ToString());
        }

        public static void A_reply_of_a_hundred_thousand_members_is_read_at_once()
        {
            var json = new StringBuilder("{");
            for (int number = 0; number < 100000; number++) json.Append("\"m" + number + "\":1,");
            DateTime began = DateTime.UtcNow;
            Check.Equal(2L, JsonValue.Parse(json.Append("\"last\":2}").ToString())["last"].Int64.Value);
            Check.That(DateTime.UtcNow - began < TimeSpan.FromSeconds(10), "it took no time to speak of");
        }

        public static void Whatever_a_text_is_changed_to_it_is_read_or_refused()
        {
            var random = new Random(7);
            const string Good = "{\"a\":[1,-2.5e+3,\"\\u00e9\\n\",true,null,{\"b\":{}}],\"c\":\"😀\"}";
            const string Pieces = "{}[]\",:\\u0e+-. tfn9\0";
            int read = 0;
            for (int round = 0; round < 50000; round++)
            {
                var text = new StringBuilder(Good);
                for (int change = random.Next(1, 4); change > 0; change--)
                {
                    int at = random.Next(text.Length);
                    if (random.Next(3) == 0) text.Remove(at, 1);
                    else if (random.Next(2) == 0) text[at] = Pieces[random.Next(Pieces.Length)];
                    else text.Insert(at, Pieces[random.Next(Pieces.Length)]);
                }
                JsonValue value;
                try
                {
                    value = JsonValue.Parse(text.ToString());
                }
                catch (FormatException)
                {
                    continue;
                }
                read++;
                Check.Equal(value.ToString(), JsonValue.Parse(value.ToString()).ToString());
            }
            Check.That(read > 500 && read < 49000, read + " were read");
        }

        public static void Lengths_and_dates_are_whole_milliseconds_and_never_too_large()
        {
            Check.Equal(1L, Dates.Milliseconds(TimeSpan.FromTicks(1)));
            Check.Equal(1500L, Dates.Milliseconds(TimeSpan.FromSeconds(1.5)));
            Check.Equal(-1L, Dates.Milliseconds(TimeSpan.FromMilliseconds(-1)));
            Check.Equal(TimeSpan.FromSeconds(3), Dates.Length(3000).Value);
            Check.That(Dates.Length(long.MaxValue).Value > TimeSpan.FromDays(10000) && Dates.Length(null) == null, "long");
            Check.Equal("2026-09-27T21:30:48.016Z",
                Dates.Format(new DateTimeOffset(2026, 9, 27, 23, 30, 48, 16, TimeSpan.FromHours(2))));
        }
    }
}
