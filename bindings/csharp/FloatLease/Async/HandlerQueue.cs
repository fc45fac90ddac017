using System.Collections.Generic;
using System.Runtime.CompilerServices;
using System.Threading;

namespace FloatLease
{
    /// <summary>
    /// Runs handlers one after another on threads of the pool. They do not run on the thread that reads events: a
    /// handler that is slow, or that waits for a Task of its client, must not hold up the client's Tasks.
    /// </summary>
    internal sealed class HandlerQueue : SynchronizationContext
    {
        private readonly Queue<KeyValuePair<SendOrPostCallback, object>> waiting =
            new Queue<KeyValuePair<SendOrPostCallback, object>>();

        private bool isRunning;

        public override void Post(SendOrPostCallback callback, object state)
        {
            lock (waiting)
            {
                waiting.Enqueue(new KeyValuePair<SendOrPostCallback, object>(callback, state));
                if (isRunning) return;
                try
                {
                    ThreadPool.UnsafeQueueUserWorkItem(Run, null);
                }
                catch
                {
                    // The caller reports this one event as failed. The next event finds an empty queue and tries again.
                    waiting.Clear();
                    throw;
                }
                isRunning = true;
            }
        }

        private void Run(object nothing)
        {
            RunAll();
            StaleStack.Wipe();
        }

        [MethodImpl(MethodImplOptions.NoInlining)]
        private void RunAll()
        {
            while (Next(out var posted)) posted.Key(posted.Value);
        }

        private bool Next(out KeyValuePair<SendOrPostCallback, object> posted)
        {
            lock (waiting)
            {
                isRunning = waiting.Count > 0;
                posted = isRunning ? waiting.Dequeue() : default(KeyValuePair<SendOrPostCallback, object>);
                return isRunning;
            }
        }
    }
}
