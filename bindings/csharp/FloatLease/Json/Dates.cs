using System;
using System.Globalization;

namespace FloatLease
{
    /// <summary>Converts dates to the library's text form, and lengths of time to milliseconds.</summary>
    internal static class Dates
    {
        internal static string Format(DateTimeOffset date) =>
            date.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", CultureInfo.InvariantCulture);

        internal static DateTimeOffset? Parse(string text)
        {
            const DateTimeStyles Style = DateTimeStyles.AssumeUniversal | DateTimeStyles.AdjustToUniversal;
            return BeginsWithADay(text) && DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, Style, out var date)
                ? date
                : (DateTimeOffset?)null;
        }

        // Null for a time that .NET can't express: it ends with the year 9999.
        internal static DateTimeOffset? OfUnixMilliseconds(long? milliseconds)
        {
            if (milliseconds == null) return null;
            const long Most = 253402300799999;
            bool isKnown = milliseconds.Value >= 0 && milliseconds.Value <= Most;
            return isKnown ? DateTimeOffset.FromUnixTimeMilliseconds(milliseconds.Value) : (DateTimeOffset?)null;
        }

        // Without this check .NET would complete a bare time with today's date, and a month with this year.
        private static bool BeginsWithADay(string text)
        {
            const string Day = "0000-00-00";
            if (text == null || text.Length < Day.Length) return false;
            for (int at = 0; at < Day.Length; at++)
            {
                bool isDigit = text[at] >= '0' && text[at] <= '9';
                if (isDigit != (Day[at] == '0') || !isDigit && text[at] != '-') return false;
            }
            return text.Length == Day.Length || text[Day.Length] == 'T' || text[Day.Length] == ' ';
        }

        // Rounded up, so that a deadline of half a millisecond does not become 0.
        internal static long Milliseconds(TimeSpan length)
        {
            long whole = length.Ticks / TimeSpan.TicksPerMillisecond;
            return length.Ticks % TimeSpan.TicksPerMillisecond > 0 ? whole + 1 : whole;
        }

        // As a function of the library takes them: at most 49 days, and 0 for a negative length.
        internal static uint UInt32Milliseconds(TimeSpan length) =>
            (uint)Math.Max(0, Math.Min(Milliseconds(length), uint.MaxValue));

        internal static TimeSpan? Length(long? milliseconds)
        {
            if (milliseconds == null) return null;
            const long Most = long.MaxValue / TimeSpan.TicksPerMillisecond;
            long whole = Math.Max(-Most, Math.Min(milliseconds.Value, Most));
            return TimeSpan.FromTicks(whole * TimeSpan.TicksPerMillisecond);
        }
    }
}
