using System;
using System.Collections.Generic;
using System.Runtime.CompilerServices;
using System.Threading;

namespace FloatLease
{
    /// <summary>
    /// Reads a client's events, completes its Tasks and delivers the rest; on a thread of its own if need be.
    /// </summary>
    /// <remarks>
    /// The thread knows the client by its token and a weak reference: a client that was dropped is collected, its
    /// finalizer closes it, and that ends the thread.
    /// </remarks>
    internal sealed class EventPump
    {
        // How long there must be nobody to tell anything before the thread ends.
        internal static uint PatienceMs = 10000;

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
            // The completion can't be looked for before the call is noted here.
            lock (gate)
            {
                if (isClosed) throw new ObjectDisposedException(nameof(Client));
                Failure.ThrowUnlessOk(Native.Submit(handle, operation, request, out var ticket));
                pending.Add(ticket, call);
                EnsureThread();
                return ticket;
            }
        }

        internal void EnsureThread()
        {
            lock (gate)
            {
                if (isManual || isClosed || thread != null) return;
                thread = new Thread(Run) { IsBackground = true, Name = "floatlease events" };
                OpenClients.Add(thread);
                StartOnItsOwn(thread);
            }
        }

        // Not in the context of whoever came first: it would act in his name, and keep his request, or the very client,
        // from being collected.
        private static void StartOnItsOwn(Thread thread)
        {
            if (ExecutionContext.IsFlowSuppressed()) thread.Start();
            else using (ExecutionContext.SuppressFlow()) thread.Start();
        }

        /// <summary>Reads one event and delivers it; null if none came.</summary>
        internal int Read(ClientHandle handle, uint waitMs, out ClientEvent happened)
        {
            int status = handle.NextEvent(waitMs, out var json);
            happened = Deliver(status, json);
            return status;
        }

        /// <summary>No completion will come any more.</summary>
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
                    int status = Native.NextEvent(token, PatienceMs, out var json);
                    bool isQuiet = json == IntPtr.Zero;
                    Hear(status, json);
                    // Client.Cancel wakes this too.
                    if (status != (int)Status.Ok && status != (int)Status.Cancelled) break;
                    if (isQuiet && Retires()) return;
                }
                Close();
            }
            finally
            {
                OpenClients.Remove(Thread.CurrentThread);
            }
        }

        // In frames of their own: while the thread waits, nothing on its stack may keep the client from being collected.
        [MethodImpl(MethodImplOptions.NoInlining)]
        private void Hear(int status, IntPtr json) => Deliver(status, json);

        // Whether nobody is left to tell; who comes after this finds no thread and starts one.
        [MethodImpl(MethodImplOptions.NoInlining)]
        private bool Retires()
        {
            lock (gate)
            {
                if (pending.Count > 0) return false;
                if (client.TryGetTarget(out var listening) && listening.HasListeners) return false;
                thread = null;
                return true;
            }
        }

        private ClientEvent Deliver(int status, IntPtr json)
        {
            string text = Answer.Take(json);
            if (text == null || status != (int)Status.Ok) return null; // none came, or it is an error object
            ClientEvent happened = ClientEvent.Of(text);
            var completed = happened as CompletedEvent;
            PendingCall call = completed == null ? null : Take(completed.Ticket);
            if (call != null) call.Complete(completed);
            else if (client.TryGetTarget(out var told)) told.Deliver(happened);
            return happened;
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
