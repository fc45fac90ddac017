using System;

namespace FloatLease
{
    /// <summary>The handlers of one event. If one of them throws, the others are still called.</summary>
    internal sealed class Listeners<T> where T : ClientEvent
    {
        private readonly object gate = new object();
        private EventHandler<T> handlers;

        internal bool Any
        {
            get
            {
                lock (gate) return handlers != null;
            }
        }

        internal void Add(EventHandler<T> handler)
        {
            lock (gate) handlers += handler;
        }

        internal void Remove(EventHandler<T> handler)
        {
            lock (gate) handlers -= handler;
        }

        internal void Raise(object sender, T received, Action<Exception, ClientEvent> report)
        {
            EventHandler<T> all;
            lock (gate) all = handlers;
            if (all == null) return;
            foreach (Delegate each in all.GetInvocationList())
            {
                try
                {
                    ((EventHandler<T>)each)(sender, received);
                }
                catch (Exception exception)
                {
                    report(exception, received);
                }
            }
        }
    }
}
