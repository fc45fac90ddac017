#define TRACE // without it the compiler leaves out the calls of Trace
using System;
using System.Diagnostics;
using System.Threading;

namespace FloatLease
{
    /// <content>The events of the client and of its leases.</content>
    /// <remarks>
    /// One thread for each client reads the events, from the first asynchronous call or the first handler on. It ends
    /// when the client is disposed, or when there was no event, no pending call and no handler for ten seconds. Events
    /// that it reads while there is no handler are dropped. Handlers run on other threads, one after another: see
    /// <see cref="ClientOptions.SynchronizationContext"/>. If a handler throws, all others are still called; see
    /// <see cref="HandlerFailed"/>.
    /// </remarks>
    public sealed partial class Client
    {
        private readonly Listeners<LeaseEvent> leaseChanged = new Listeners<LeaseEvent>();
        private readonly Listeners<ConsumptionsSyncedEvent> consumptionsSynced =
            new Listeners<ConsumptionsSyncedEvent>();
        private readonly Listeners<ClientEvent> eventReceived = new Listeners<ClientEvent>();

        /// <summary>
        /// Raised for each event of one of the client's leases. <see cref="Lease.Changed"/> is raised for one lease
        /// alone.
        /// </summary>
        public event EventHandler<LeaseEvent> LeaseChanged
        {
            add => Listen(leaseChanged, value);
            remove => leaseChanged.Remove(value);
        }

        /// <summary>Raised when queued consumptions were booked or refused.</summary>
        public event EventHandler<ConsumptionsSyncedEvent> ConsumptionsSynced
        {
            add => Listen(consumptionsSynced, value);
            remove => consumptionsSynced.Remove(value);
        }

        /// <summary>
        /// Raised for every event of the client: of its leases, of queued consumptions, the completions of
        /// <see cref="Submit"/>, and events that are newer than this assembly.
        /// </summary>
        public event EventHandler<ClientEvent> EventReceived
        {
            add => Listen(eventReceived, value);
            remove => eventReceived.Remove(value);
        }

        /// <summary>
        /// Raised when a handler of your program has thrown. Without a handler here the exception goes to
        /// <see cref="Trace"/>.
        /// </summary>
        public event EventHandler<HandlerFailedEvent> HandlerFailed;

        /// <summary>Submits an operation to be performed in the background, and returns its ticket at once.</summary>
        /// <remarks>
        /// The completion comes as a <see cref="CompletedEvent"/> with that ticket. The methods with "Async" are built
        /// on it; call it if you need the ticket, or to match completions yourself. Up to 64 calls run at the
        /// same time (<c>max_parallel</c> in the config), and 1,000 may be under way or unread. A call's deadline counts
        /// from here; what releases or renews waits for no other call.
        /// </remarks>
        public ulong Submit(string operation, string requestJson = null)
        {
            int status = Native.Submit(handle, Utf8.ToNative(operation), Utf8.ToNative(requestJson), out var ticket);
            handle.ThrowUnlessOk(status);
            return ticket;
        }

        /// <summary>
        /// Cancels a submitted call. Its completion comes within 50 ms and says how far the call got.
        /// </summary>
        /// <exception cref="FloatLeaseException">No such call is under way: <see cref="Status.Ticket"/>.</exception>
        public void Cancel(ulong ticket) => handle.ThrowUnlessOk(handle.Cancel(ticket));

        /// <summary>
        /// Returns the lease that a submitted "lease_acquire" has taken. Call it once, after the completion came.
        /// </summary>
        /// <exception cref="FloatLeaseException">
        /// That call has taken no lease, or it was accepted already: <see cref="Status.Ticket"/>.
        /// </exception>
        public Lease AcceptLease(ulong ticket) => Accept(ticket);

        /// <summary>
        /// Waits for the next event, calls its handlers and returns it; null if none came in that time, which is 49
        /// days at most.
        /// </summary>
        /// <remarks>
        /// A client with a thread of its own reads its events itself, so this gets only some of them: set
        /// <see cref="ClientOptions.ManualPump"/> to read them all here.
        /// </remarks>
        public ClientEvent NextEvent(TimeSpan wait)
        {
            bool isEndless = wait == Timeout.InfiniteTimeSpan;
            uint most = isEndless ? uint.MaxValue : Dates.UInt32Milliseconds(wait);
            int status = pump.Read(handle, most, out var next);
            GC.KeepAlive(this); // or the handlers of a client that was dropped meanwhile would not be called
            if (status == (int)Status.Handle) throw new ObjectDisposedException(nameof(Client));
            handle.ThrowUnlessOk(status);
            return next;
        }

        /// <summary>
        /// Calls the handlers of all events that have come, and completes the Tasks of calls that are done. It does not
        /// wait.
        /// </summary>
        /// <remarks>
        /// For <see cref="ClientOptions.ManualPump"/>: a game calls it in every frame. It stops early if a handler
        /// disposes the client.
        /// </remarks>
        public void Pump()
        {
            while (NextEvent(TimeSpan.Zero) != null && !handle.IsClosed)
            {
            }
        }

        /// <summary>
        /// The number of events that <see cref="NextEvent"/> and <see cref="Pump"/> have not read yet; 0 for a closed
        /// client. Reading it never waits and takes no lock: read it in every frame.
        /// </summary>
        /// <remarks>
        /// For <see cref="ClientOptions.ManualPump"/>; otherwise the client's own thread reads the events as they come.
        /// With leases of <see cref="LeaseRequest.KeepAlive"/> "host" it counts no transition that is due:
        /// <see cref="Pump"/> applies the time first.
        /// </remarks>
        public int EventsWaiting
        {
            get
            {
                uint count = handle.EventsWaiting();
                GC.KeepAlive(this);
                return (int)count;
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
                Report(exception, received); // the context has ended, for example with its window
            }
        }

        // A posted event arrives later. If the client was disposed meanwhile, no handler is called; a disposed lease is
        // not found.
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
                // The handler of failures failed itself: there is no further handler to report that to.
            }
        }
    }
}
