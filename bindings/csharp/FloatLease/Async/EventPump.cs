using System;
using System.Collections.Generic;
using System.Runtime.CompilerServices;
using System.Threading;

namespace FloatLease
{
    /// <summary>
    /// Reads a client's events, completes the Tasks of its submitted calls, and delivers all other events. It starts a
    /// thread for that when one is needed.
    /// </summary>
    /// <remarks>
    /// The thread knows the client by its token and a weak reference. So a client that was dropped is collected; its
    /// finalizer closes it, and that ends the thread.
    /// </remarks>
    internal sealed class EventPump
    {
        // Time without events, pending calls and handlers after which the thread ends.
        internal static uint IdleTimeoutMs = 10000;

        // Starts the thread. Tests replace it, because a failed start can't be provoked in every runtime.
        internal static Action<Thread> Start = thread => thread.Start();

        private readonly object gate = new object();
        private readonly Dictionary<ulong, PendingCall> pending = new Dictionary<ulong, PendingCall>();
        private readonly WeakReference<Client> client;
        private readonly IntPtr token;
        private readonly bool isManual;
        private Thread thread;
        private bool isClosed;

        internal EventPump(Client client, IntPtr token, bool isManual)
        {
            this.client = new WeakReference<Client>(client);
            this.token = token;
            this.isManual = isManual;
        }

        internal ulong Submit(ClientHandle handle, byte[] operation, byte[] request, PendingCall call)
        {
            // Under the lock, so that the thread does not look for the completion before the call is registered here.
            lock (gate)
            {
                if (isClosed) throw new ObjectDisposedException(nameof(Client));
                // First, because it may fail: a call that is under way, and that nobody awaits, could take a lease.
                EnsureThread();
                handle.ThrowUnlessOk(Native.Submit(handle, operation, request, out var ticket));
                pending.Add(ticket, call);
                return ticket;
            }
        }

        /// <summary>Starts the thread if there is none.</summary>
        /// <exception cref="OutOfMemoryException">The system gave no thread. The next call tries again.</exception>
        internal void EnsureThread()
        {
            lock (gate)
            {
                if (isManual || isClosed || thread != null) return;
                var started = new Thread(Run) { IsBackground = true, Name = "floatlease events" };
                OpenClients.Add(started);
                try
                {
                    StartWithoutContext(started);
                }
                catch
                {
                    OpenClients.Remove(started);
                    throw;
                }
                // Not before: a thread that never ran would keep all later calls waiting for their completions.
                thread = started;
            }
        }

        // The execution context of the caller must not flow into the thread: handlers would act in the caller's name,
        // and the context would keep a request, or the client itself, from being collected.
        private static void StartWithoutContext(Thread thread)
        {
            if (ExecutionContext.IsFlowSuppressed()) Start(thread);
            else using (ExecutionContext.SuppressFlow()) Start(thread);
        }

        /// <summary>Reads one event and delivers it. The event is null if none came in that time.</summary>
        internal int Read(ClientHandle handle, uint waitMs, out ClientEvent received)
        {
            int status = handle.NextEvent(waitMs, out var json);
            received = Deliver(status, json);
            return status;
        }

        /// <summary>
        /// Ends all pending calls, because the client is closed and no completion will come any more.
        /// </summary>
        internal void Close()
        {
            PendingCall[] left;
            lock (gate)
            {
                isClosed = true;
                left = new PendingCall[pending.Count];
                pending.Values.CopyTo(left, 0);
                pending.Clear();
            }
            foreach (PendingCall call in left) call.Abandon();
        }

        private void Run()
        {
            try
            {
                while (true)
                {
                    StaleStack.Wipe();
                    int status = Native.NextEvent(token, IdleTimeoutMs, out var json);
                    bool isQuiet = json == IntPtr.Zero;
                    DeliverOne(status, json);
                    // Client.Cancel wakes this thread too; it goes on then.
                    if (status != (int)Status.Ok && status != (int)Status.Cancelled) break;
                    if (isQuiet && ShouldStop()) return;
                }
                Close();
            }
            finally
            {
                OpenClients.Remove(Thread.CurrentThread);
            }
        }

        // This method and the next have frames of their own: while the thread waits, nothing on its stack may keep the
        // client from being collected.
        [MethodImpl(MethodImplOptions.NoInlining)]
        private void DeliverOne(int status, IntPtr json) => Deliver(status, json);

        // True if there is no pending call and no handler. A later caller finds no thread then, and starts one.
        [MethodImpl(MethodImplOptions.NoInlining)]
        private bool ShouldStop()
        {
            lock (gate)
            {
                if (pending.Count > 0) return false;
                if (client.TryGetTarget(out var open) && open.HasListeners) return false;
                thread = null;
                return true;
            }
        }

        private ClientEvent Deliver(int status, IntPtr json)
        {
            string text = Answer.Take(json);
            if (text == null || status != (int)Status.Ok) return null; // no event came, or this is an error object
            ClientEvent received = ClientEvent.Parse(text);
            var completed = received as CompletedEvent;
            PendingCall call = completed == null ? null : Take(completed.Ticket);
            if (call != null) call.Complete(completed);
            else if (client.TryGetTarget(out var open)) open.Deliver(received);
            return received;
        }

        private PendingCall Take(ulong ticket)
        {
            lock (gate)
            {
                if (pending.TryGetValue(ticket, out var call)) pending.Remove(ticket);
                return call;
            }
        }
    }
}
