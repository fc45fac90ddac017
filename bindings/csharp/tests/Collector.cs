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

        // Collects on a thread of its own, without a pause, until this is disposed.
        internal static IDisposable AllTheTime() => new Endless();

        internal static void CollectUntil(Func<bool> holds, string what)
        {
            Check.Soon(() =>
            {
                Collect();
                return holds();
            }, what);
        }

        private sealed class Endless : IDisposable
        {
            private readonly Thread thread;
            private volatile bool ends;

            internal Endless()
            {
                thread = new Thread(() =>
                {
                    while (!ends)
                    {
                        GC.Collect();
                        GC.WaitForPendingFinalizers();
                    }
                });
                thread.Start();
            }

            public void Dispose()
            {
                ends = true;
                thread.Join();
            }
        }
    }
}
