using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.IO;
using System.Threading;
using System.Threading.Tasks;

namespace FloatLease.Tests
{
    internal static class EventTests
    {
        private static readonly TimeSpan RenewalIsDue = TimeSpan.FromMinutes(73);

        public static void A_lease_tells_what_happens_to_it()
        {
            using (var world = new World())
            {
                Lease lease = world.Client.AcquireLease();
                var heard = new List<LeaseEvent>();
                lease.Changed += (sender, happened) =>
                {
                    Check.That(sender == lease && happened.Lease == lease, "whose");
                    lock (heard) heard.Add(happened);
                };
                world.Outage();
                world.Sandbox.Advance(RenewalIsDue, world.Client);
                LeaseEvent first = Await(heard, LeaseEventKind.Degraded);
                Check.That(first.State == LeaseState.Degraded && !first.IsTimeToSave, first.Json);
                Check.That(first.Status != Status.Ok && first.Reason.Length > 0 && first.At != null, first.Json);
                Check.Equal(lease.Number, first.LeaseNumber);
                world.Sandbox.Advance(TimeSpan.FromMinutes(48), world.Client);
                LeaseEvent grace = Await(heard, LeaseEventKind.GraceStarted);
                Check.That(grace.IsTimeToSave && grace.Remaining <= TimeSpan.FromMinutes(5), grace.Json);
                Check.Equal(LeaseState.Grace, lease.State);
                world.Sandbox.Advance(TimeSpan.FromMinutes(6), world.Client);
                Check.That(Await(heard, LeaseEventKind.Lost).IsTimeToSave && !lease.IsLicensed, "lost");
                world.Sandbox.ClearFaults();
                world.Client.AdvanceClock(TimeSpan.FromHours(2));
                Await(heard, LeaseEventKind.Regained);
                Check.That(lease.IsLicensed, lease.State.ToString());
            }
        }

        private static LeaseEvent Await(List<LeaseEvent> heard, LeaseEventKind kind)
        {
            LeaseEvent found = null;
            Check.Soon(() =>
            {
                lock (heard) return (found = heard.Find(one => one.Kind == kind)) != null;
            }, kind.ToString());
            return found;
        }

        // A window's loop: what is posted waits until it is run.
        private sealed class Window : SynchronizationContext
        {
            private readonly Queue<KeyValuePair<SendOrPostCallback, object>> posted =
                new Queue<KeyValuePair<SendOrPostCallback, object>>();

            internal bool IsClosed;

            internal int Waiting
            {
                get
                {
                    lock (posted) return posted.Count;
                }
            }

            public override void Post(SendOrPostCallback callback, object state)
            {
                if (IsClosed) throw new InvalidOperationException("The window is closed.");
                lock (posted) posted.Enqueue(new KeyValuePair<SendOrPostCallback, object>(callback, state));
            }

            internal bool RunOne()
            {
                KeyValuePair<SendOrPostCallback, object> next;
                lock (posted)
                {
                    if (posted.Count == 0) return false;
                    next = posted.Dequeue();
                }
                next.Key(next.Value);
                return true;
            }
        }

        public static void Handlers_run_where_the_program_chooses()
        {
            var window = new Window();
            using (var world = new World(new ClientOptions { SynchronizationContext = window }))
            {
                Lease lease = world.Client.AcquireLease();
                var threads = new List<int>();
                world.Client.LeaseChanged += (sender, happened) => threads.Add(Thread.CurrentThread.ManagedThreadId);
                Exception failure = null;
                world.Client.HandlerFailed += (sender, failed) => failure = failed.Exception;
                lease.Changed += (sender, happened) => throw new ApplicationException("a handler's own mistake");
                world.Sandbox.Advance(RenewalIsDue, world.Client);
                Thread.Sleep(300);
                Check.Equal(0, threads.Count);
                Check.Soon(window.RunOne, "it was posted");
                Check.Equal(1, threads.Count);
                Check.Equal(Thread.CurrentThread.ManagedThreadId, threads[0]);
                Check.That(failure is ApplicationException, "it did not leave the window's loop");

                failure = null;
                window.IsClosed = true;
                world.Sandbox.Advance(RenewalIsDue, world.Client);
                Check.Soon(() => failure is InvalidOperationException, "the window's failure is told");
            }
        }

        public static void What_arrives_after_Dispose_is_told_to_nobody()
        {
            var window = new Window();
            using (var world = new World(new ClientOptions { SynchronizationContext = window }))
            {
                Lease lease = world.Client.AcquireLease();
                var heard = new List<LeaseEvent>();
                world.Client.LeaseChanged += (sender, happened) => heard.Add(happened);
                lease.Changed += (sender, happened) => throw new InvalidOperationException("it was disposed");
                Exception failure = null;
                world.Client.HandlerFailed += (sender, failed) => failure = failed.Exception;
                world.Sandbox.Advance(RenewalIsDue, world.Client);
                Check.Soon(() => window.Waiting == 1, "it was posted");
                lease.Dispose();
                window.RunOne();
                Check.That(failure == null && heard.Count == 1 && heard[0].Lease == null, "of the lease");

                lease = world.Client.AcquireLease();
                world.Sandbox.Advance(RenewalIsDue, world.Client);
                Check.Soon(() => window.Waiting == 1, "it was posted");
                world.Client.Dispose();
                window.RunOne();
                Check.Equal(1, heard.Count);
            }
        }

        public static void A_handler_disposes_its_client_in_the_pump()
        {
            using (var world = new World(new ClientOptions { ManualPump = true }))
            {
                int heard = 0;
                world.Client.EventReceived += (sender, happened) =>
                {
                    heard++;
                    world.Client.Dispose();
                };
                world.Client.Submit("product_details");
                world.Client.Submit("product_details");
                Check.Soon(() => world.Requests("product_details") == 2, "both are done");
                Thread.Sleep(200);
                world.Client.Pump();
                Check.Equal(1, heard);
            }
        }

        public static void A_handler_that_throws_keeps_nobody_from_hearing()
        {
            using (var world = new World())
            {
                Lease lease = world.Client.AcquireLease();
                int heard = 0, failed = 0;
                world.Client.LeaseChanged += (sender, happened) => throw new ApplicationException("first");
                world.Client.LeaseChanged += (sender, happened) => heard++;
                lease.Changed += (sender, happened) => heard++;
                world.Client.HandlerFailed += (sender, failure) =>
                {
                    failed++;
                    Check.That(failure.Cause is LeaseEvent && failure.Exception.Message == "first", "what and why");
                    throw new ApplicationException("and whoever is told of it");
                };
                for (int round = 1; round <= 3; round++)
                {
                    world.Sandbox.Advance(RenewalIsDue, world.Client);
                    Check.Soon(() => heard == 2 * round && failed == round, "round " + round);
                }
                world.Client.CheckLicenseAsync().GetAwaiter().GetResult();
            }
        }

        public static void A_handler_that_throws_is_traced_if_nobody_listens()
        {
            using (var world = new World(new ClientOptions { ManualPump = true }))
            using (var log = new StringWriter())
            using (var listener = new TextWriterTraceListener(log))
            {
                Trace.Listeners.Add(listener);
                world.Client.EventReceived += (sender, happened) => throw new ApplicationException("its own mistake");
                world.Client.Deliver(ClientEvent.Parse("{\"event\":\"BRAND_NEW\"}"));
                Trace.Listeners.Remove(listener);
                Check.Holds("BRAND_NEW", log.ToString());
                Check.Holds("its own mistake", log.ToString());
            }
        }

        public static void A_handler_that_waits_for_a_Task_holds_up_no_Task_and_no_other_runs_meanwhile()
        {
            using (var world = new World())
            using (var gate = new ManualResetEventSlim())
            {
                int entered = 0;
                bool isDone = false;
                world.Client.EventReceived += (sender, happened) =>
                {
                    entered++;
                    isDone = world.Client.CheckLicenseAsync().Wait(20000);
                    gate.Wait();
                };
                world.Client.Submit("product_details");
                Check.Soon(() => isDone, "what the handler waits for");
                world.Client.Submit("product_details");
                Check.That(world.Client.CheckLicenseAsync().Wait(20000), "what another waits for");
                Thread.Sleep(200);
                Check.Equal(1, entered);
                gate.Set();
                Check.Soon(() => entered == 2, "the next one's turn");
            }
        }

        public static void A_handler_that_was_removed_hears_nothing_more()
        {
            using (var world = new World())
            {
                Lease lease = world.Client.AcquireLease();
                int heard = 0, all = 0;
                EventHandler<LeaseEvent> handler = (sender, happened) => heard++;
                lease.Changed += handler;
                world.Client.EventReceived += (sender, happened) => all++;
                lease.Changed -= handler;
                world.Sandbox.Advance(RenewalIsDue, world.Client);
                Check.Soon(() => all == 1, "RENEWED");
                Check.Equal(0, heard);
            }
        }

        public static void With_a_manual_pump_everything_comes_in_it_and_there_is_no_thread()
        {
            using (var world = new World(new ClientOptions { ManualPump = true }))
            {
                int before = Threads.Named("floatlease even");
                int thread = 0;
                world.Client.LeaseChanged += (sender, happened) => thread = Thread.CurrentThread.ManagedThreadId;
                Task<Lease> acquire = world.Client.AcquireLeaseAsync();
                Thread.Sleep(300);
                Check.That(!acquire.IsCompleted, "nobody has looked");
                Check.Soon(() =>
                {
                    world.Client.Pump();
                    return acquire.IsCompleted;
                }, "the lease");
                Check.Equal(before, Threads.Named("floatlease even"));
                world.Sandbox.Advance(RenewalIsDue, world.Client);
                Check.Soon(() =>
                {
                    world.Client.Pump();
                    return thread != 0;
                }, "the event");
                Check.Equal(Thread.CurrentThread.ManagedThreadId, thread);
                GC.KeepAlive(acquire.Result);
            }
        }

        public static void Dispose_ends_Tasks_that_nobody_pumps()
        {
            using (var world = new World(new ClientOptions { ManualPump = true }))
            {
                Task<LicenseReply> call = world.Client.CheckLicenseAsync();
                world.Client.Dispose();
                Check.That(Task.WaitAny(new Task[] { call }, 20000) == 0, "it has ended");
                Check.Throws<FloatLeaseCanceledException>(() => call.GetAwaiter().GetResult());
            }
        }

        public static void The_raw_queue_is_there_too()
        {
            using (var world = new World(new ClientOptions { ManualPump = true }))
            {
                ulong ticket = world.Client.Submit("lease_acquire");
                var completed = (CompletedEvent)world.Client.NextEvent(Timeout.InfiniteTimeSpan);
                Check.That(completed.Ticket == ticket && completed.Status == Status.Ok, completed.Json);
                Check.Equal("ACTIVE", completed.Reply["state"].Text);
                using (Lease lease = world.Client.AcceptLease(ticket)) Check.That(lease.IsLicensed, "held");
                Check.Equal(Status.Ticket, Check.Throws<FloatLeaseException>(() => world.Client.Cancel(ticket)).Status);
                world.Hang();
                ticket = world.Client.Submit("borrow_license");
                Check.Equal(null, world.Client.NextEvent(TimeSpan.Zero));
                world.Client.Cancel(ticket);
                completed = (CompletedEvent)world.Client.NextEvent(TimeSpan.FromSeconds(20));
                Check.That(completed.Status == Status.Cancelled && completed.Ticket == ticket, completed.Json);
                Check.Equal("CANCELLED", completed.Reply["name"].Text);
            }
        }

        public static void Completions_of_raw_calls_reach_whoever_listens_to_everything()
        {
            using (var world = new World())
            {
                CompletedEvent completed = null;
                world.Client.EventReceived += (sender, happened) => completed = happened as CompletedEvent;
                ulong ticket = world.Client.Submit("check_license");
                Check.Soon(() => completed != null, "COMPLETED");
                Check.Equal(ticket, completed.Ticket);
            }
        }

        public static void Events_that_this_version_does_not_know_pass()
        {
            using (var world = new World(new ClientOptions { ManualPump = true }))
            {
                var all = new List<ClientEvent>();
                var ofLeases = new List<LeaseEvent>();
                ConsumptionsSyncedEvent synced = null;
                world.Client.EventReceived += (sender, happened) => all.Add(happened);
                world.Client.LeaseChanged += (sender, happened) => ofLeases.Add(happened);
                world.Client.ConsumptionsSynced += (sender, happened) => synced = happened;
                foreach (string json in new[]
                {
                    "{\"event\":\"BRAND_NEW\",\"more\":[1]}", "{}", "no JSON", "{\"event\":7}",
                    "{\"event\":\"BRAND_NEW\",\"lease\":7,\"state\":\"ELSEWHERE\",\"missed\":3}",
                    "{\"event\":\"CONSUMPTIONS_SYNCED\",\"booked\":2,\"refused\":[{\"status\":151}],\"waiting\":1,"
                        + "\"status\":21,\"name\":\"CONNECT\",\"reason\":\"no\"}",
                })
                {
                    world.Client.Deliver(ClientEvent.Parse(json));
                    Check.Equal(json, all[all.Count - 1].Json);
                }
                Check.Equal("BRAND_NEW", all[0].Name);
                Check.Equal("", all[2].Name);
                Check.Equal(1, ofLeases.Count);
                Check.That(ofLeases[0].Kind == LeaseEventKind.Other && ofLeases[0].State == LeaseState.None, "other");
                Check.That(ofLeases[0].Missed == 3 && ofLeases[0].Lease == null, "missed");
                Check.That(synced.Reply.Booked == 2 && synced.Reply.Refused.Count == 1, synced.Json);
                Check.That(synced.Reply.Status == Status.Connect && synced.Reply.Waiting == 1, synced.Json);
            }
        }
    }
}
