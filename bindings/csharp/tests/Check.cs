using System;
using System.Threading;

namespace FloatLease.Tests
{
    internal static class Check
    {
        internal static void That(bool holds, string what)
        {
            if (!holds) throw new Exception("It does not hold: " + what);
        }

        internal static void Equal<T>(T expected, T came)
        {
            if (!Equals(expected, came)) throw new Exception("expected <" + expected + ">, got <" + came + ">");
        }

        internal static void Holds(string part, string text)
        {
            if (text == null || !text.Contains(part)) throw new Exception("<" + part + "> is not in <" + text + ">");
        }

        internal static T Throws<T>(Action act) where T : Exception
        {
            try
            {
                act();
            }
            catch (T expected)
            {
                return expected;
            }
            throw new Exception("it did not throw " + typeof(T).Name);
        }

        // For what comes by itself.
        internal static void Soon(Func<bool> holds, string what)
        {
            DateTime end = DateTime.UtcNow.AddSeconds(20);
            while (!holds())
            {
                if (DateTime.UtcNow > end) throw new Exception("It never came: " + what);
                Thread.Sleep(5);
            }
        }
    }
}
