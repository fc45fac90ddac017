using System;
using System.Diagnostics;

namespace FloatLease.Unity
{
    /// <summary>
    /// A client, and the lease that it asks for. What talks to the server is submitted; what came of it is heard in
    /// <see cref="Pump"/>, in the thread that calls it. There is no other.
    /// </summary>
    internal sealed class LicenseSession : IDisposable
    {
        private readonly Client client;
        private readonly string request;
        private string asked; // the operation that is under way, or null
        private ulong ticket;
        private bool wasActivated;

        internal LicenseSession(string config, string request)
        {
            this.request = request;
            client = new Client(config, new ClientOptions { ManualPump = true });
            client.EventReceived += (sender, happened) => Hear(happened);
            client.HandlerFailed += (sender, failed) => UnityEngine.Debug.LogException(failed.Exception);
            Ask("lease_acquire", request);
        }

        internal event Action<LeaseEvent> Happened;

        internal event Action<FloatLeaseException> Refused;

        internal Client Client => client;

        internal Lease Lease { get; private set; }

        internal FloatLeaseException Failure { get; private set; }

        internal bool IsAsking => asked != null && Lease == null;

        internal LeaseState State => Lease == null ? LeaseState.None : Lease.State;

        internal TimeSpan Remaining => Lease == null ? TimeSpan.Zero : Lease.Remaining;

        // Who hears of something may end this session, and begin another.
        internal void Pump() => client.Pump();

        /// <summary>
        /// After a sleep: asks at once what the library would ask within seconds. What was confirmed lately is not asked.
        /// </summary>
        internal void RenewIfDue()
        {
            if (Lease == null || asked != null) return;
            LeaseState state = Lease.State;
            bool isDue = state == LeaseState.Active && !(Lease.Info().RenewsIn > TimeSpan.Zero);
            bool isInTrouble =
                state == LeaseState.Degraded || state == LeaseState.Grace || state == LeaseState.Lost;
            if (isDue || isInTrouble) AskOfLease("lease_renew");
        }

        /// <summary>Gives the slot back in the background.</summary>
        internal void Release() => AskOfLease("lease_release");

        /// <summary>
        /// Gives the slot back and waits for that, for so long at most. A borrow stays: the trip goes on.
        /// </summary>
        internal void ReleaseWithin(float seconds)
        {
            if (Lease == null || !Lease.IsHeld || Lease.State == LeaseState.Borrowed) return;
            TimeSpan patience = TimeSpan.FromSeconds(seconds);
            var waited = Stopwatch.StartNew();
            Release();
            // The clock is read once a round: had the time passed between a look and the next, NextEvent might get exactly
            // -1 ms, which means for ever.
            for (TimeSpan left = patience; asked != null && left > TimeSpan.Zero; left = patience - waited.Elapsed)
            {
                client.NextEvent(left);
            }
        }

        /// <summary>Waits for nothing. What is still held is given back in the background.</summary>
        public void Dispose()
        {
            Lease?.Dispose();
            client.Dispose();
        }

        private void AskOfLease(string operation)
        {
            JsonValue wish = JsonValue.NewObject();
            wish["lease"] = Lease.Number;
            Ask(operation, wish.ToString());
        }

        private void Ask(string operation, string wish)
        {
            ticket = client.Submit(operation, wish);
            asked = operation;
        }

        private void Hear(ClientEvent happened)
        {
            var completed = happened as CompletedEvent;
            if (completed != null && completed.Ticket == ticket) Completed(completed);
            var ofLease = happened as LeaseEvent;
            if (ofLease != null) Everybody.Hears(Happened, ofLease);
        }

        private void Completed(CompletedEvent completed)
        {
            string done = asked;
            asked = null;
            if (done == "lease_acquire" && completed.Status == Status.Ok) Lease = client.AcceptLease(ticket);
            else if (done == "lease_acquire" && completed.Status == Status.DeviceNotFound && !wasActivated)
            {
                wasActivated = true;
                Ask("activate_license", null); // the first start on this machine
            }
            else if (done == "activate_license" && completed.Status == Status.Ok) Ask("lease_acquire", request);
            else if (done == "lease_acquire" || done == "activate_license") Refuse(completed);
            // What came of a renewal or a release is seen in the lease's state.
        }

        private void Refuse(CompletedEvent completed)
        {
            Failure = new FloatLeaseException(completed.StatusNumber, completed.Reply.ToString());
            Everybody.Hears(Refused, Failure);
        }
    }
}
