using System;
using System.Threading;

namespace FloatLease.Tests
{
    internal static class Collector
    {
        // A conservative collector looks at the stack: what was dropped must not have been on this one.
        internal static void OnAThreadOfItsOwn(Action act)
        {
            Exception failure = null;
            var thread = new Thread(() =>
            {
                try
                {
                    act();
                }
                catch (Exception exception)
                {
                    failure = exception;
                }
            });
            thread.Start();
            thread.Join();
            if (failure != null) throw new Exception("on another thread", failure);
        }

        internal static void Collect()
        {
            for (int round = 0; round < 3; round++)
            {
                GC.Collect();
                GC.WaitForPendingFinalizers();
            }
        }

        internal static void CollectUntil(Func<bool> holds, string what)
        {
            Check.Soon(() =>
            {
                Collect();
                return holds();
            }, what);
        }
    }
}
