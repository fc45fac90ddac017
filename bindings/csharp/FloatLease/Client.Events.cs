#define TRACE // or the compiler leaves out what is told there
using System;
using System.Diagnostics;
using System.Threading;

namespace FloatLease
{
    /// <content>What happens by itself.</content>
    /// <remarks>
    /// One thread for each client reads the events, from the first asynchronous call or the first handler on. It ends
    /// by itself when the client is disposed, or when for ten seconds there was nobody to tell anything; what happens
    /// to leases while it reads and nobody listens is told to nobody. Handlers run elsewhere, one after another: see
    /// <see cref="ClientOptions.SynchronizationContext"/>. One that throws stops nothing; see
    /// <see cref="HandlerFailed"/>.
    /// </remarks>
    public sealed partial class Client
    {
        private readonly Listeners<LeaseEvent> leaseChanged = new Listeners<LeaseEvent>();
        private readonly Listeners<ConsumptionsSyncedEvent> consumptionsSynced =
            new Listeners<ConsumptionsSyncedEvent>();
        private readonly Listeners<ClientEvent> eventReceived = new Listeners<ClientEvent>();

        /// <summary>Something happened to one of the leases; <see cref="Lease.Changed"/> tells of one alone.</summary>
        public event EventHandler<LeaseEvent> LeaseChanged
        {
            add => Listen(leaseChanged, value);
            remove => leaseChanged.Remove(value);
        }

        /// <summary>Consumptions that waited were booked, or refused.</summary>
        public event EventHandler<ConsumptionsSyncedEvent> ConsumptionsSynced
        {
            add => Listen(consumptionsSynced, value);
            remove => consumptionsSynced.Remove(value);
        }

        /// <summary>
        /// Anything happened: those above, those to come, and the completions of <see cref="Submit"/>.
        /// </summary>
        public event EventHandler<ClientEvent> EventReceived
        {
            add => Listen(eventReceived, value);
            remove => eventReceived.Remove(value);
        }

        /// <summary>A handler of your program threw. If nobody listens here, <see cref="Trace"/> is told.</summary>
        public event EventHandler<HandlerFailedEvent> HandlerFailed;

        /// <summary>Does a call in the background; its ticket is in the <see cref="CompletedEvent"/> to come.</summary>
        /// <remarks>The raw form of the methods with "Async", for what they do not do.</remarks>
        public ulong Submit(string operation, string requestJson = null)
        {
            int status = Native.Submit(handle, Utf8.In(operation), Utf8.In(requestJson), out var ticket);
            Failure.ThrowUnlessOk(status);
            return ticket;
        }

        /// <summary>Ends a submitted call as soon as it can be; its completion says how far it got.</summary>
        public void Cancel(ulong ticket) => Failure.ThrowUnlessOk(handle.Cancel(ticket));

        /// <summary>Gives the lease that a submitted "lease_acquire" has taken, once its completion was read.</summary>
        public Lease AcceptLease(ulong ticket) => Accept(ticket);

        /// <summary>
        /// Reads the next event, delivers it as ever, and gives it; null if none came in that time, which is 49 days at
        /// most. Who reads events so shares them with the client's thread, if there is one:
        /// <see cref="ClientOptions.ManualPump"/>.
        /// </summary>
        public ClientEvent NextEvent(TimeSpan wait)
        {
            bool isEndless = wait == Timeout.InfiniteTimeSpan;
            long most = isEndless ? uint.MaxValue : Math.Max(0, Math.Min(Dates.Milliseconds(wait), uint.MaxValue));
            int status = pump.Read(handle, (uint)most, out var next);
            GC.KeepAlive(this); // or the handlers of a client that was dropped meanwhile would not hear of it
            if (status == (int)Status.Handle) throw new ObjectDisposedException(nameof(Client));
            Failure.ThrowUnlessOk(status);
            return next;
        }

        /// <summary>
        /// Delivers everything that has happened, and waits for nothing: for every frame. It ends when a handler disposes
        /// the client.
        /// </summary>
        public void Pump()
        {
            while (NextEvent(TimeSpan.Zero) != null && !handle.IsClosed)
            {
            }
        }

        internal bool HasListeners =>
            leaseChanged.Any || consumptionsSynced.Any || eventReceived.Any || leases.AnyListener;

        internal void Listen<T>(Listeners<T> listeners, EventHandler<T> handler) where T : ClientEvent
        {
            // Before the thread is looked for, so that one that is about to end sees that there is a handler again.
            listeners.Add(handler);
            try
            {
                pump.EnsureThread();
            }
            catch
            {
                listeners.Remove(handler);
                throw;
            }
        }

        internal void Deliver(ClientEvent received)
        {
            SynchronizationContext context = options.SynchronizationContext ?? handlerQueue;
            if (context == null)
            {
                Raise(received);
                return;
            }
            try
            {
                context.Post(state => Raise((ClientEvent)state), received);
            }
            catch (Exception exception)
            {
                Report(exception, received); // the context has ended, with its window
            }
        }

        // What was posted arrives later: whoever has disposed the client or the lease meanwhile hears nothing more.
        private void Raise(ClientEvent received)
        {
            if (handle.IsClosed) return;
            var ofLease = received as LeaseEvent;
            if (ofLease != null) ofLease.Lease = leases.Find(ofLease.LeaseNumber);
            eventReceived.Raise(this, received, Report);
            if (ofLease != null)
            {
                leaseChanged.Raise(this, ofLease, Report);
                ofLease.Lease?.Raise(ofLease, Report);
            }
            var synced = received as ConsumptionsSyncedEvent;
            if (synced != null) consumptionsSynced.Raise(this, synced, Report);
        }

        private void Report(Exception exception, ClientEvent cause)
        {
            try
            {
                EventHandler<HandlerFailedEvent> handlers = HandlerFailed;
                if (handlers != null) handlers(this, new HandlerFailedEvent(exception, cause));
                else Trace.TraceError("floatlease: a handler of {0} threw, and nobody listens to HandlerFailed: {1}",
                    cause.Name, exception);
            }
            catch (Exception)
            {
                // Who is told of a failure and fails has nobody left to tell.
            }
        }
    }
}
