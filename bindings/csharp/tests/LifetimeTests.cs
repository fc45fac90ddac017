using System;
using System.Threading;
using System.Threading.Tasks;

namespace FloatLease.Tests
{
    internal static class LifetimeTests
    {
        public static void A_lease_that_is_held_keeps_its_client_open()
        {
            using (Sandbox sandbox = Sandbox.Start())
            {
                Lease lease = null;
                Collector.OnAThreadOfItsOwn(() =>
                {
                    var client = new Client(sandbox.ClientConfig("desk"));
                    client.ActivateLicense();
                    lease = client.AcquireLease();
                });
                Collector.Collect();
                Check.Equal(LeaseState.Active, lease.State);
                Check.Equal(LeaseState.Active, lease.Renew().State);
                lease.Dispose();
            }
        }

        public static void A_call_that_is_awaited_keeps_its_client()
        {
            using (Sandbox sandbox = Sandbox.Start())
            {
                sandbox.Fault("{\"do\":{\"before\":{\"delay\":{\"fixed_ms\":500}}}}");
                Task<LicenseReply> call = null;
                Collector.OnAThreadOfItsOwn(() => call = new Client(sandbox.ClientConfig("desk")).ActivateLicenseAsync());
                Collector.Collect();
                Check.That(call.Wait(20000) && call.Result.IsFloating, "it was completed");
            }
        }

        public static void The_thread_ends_when_there_is_nobody_to_tell_and_comes_back()
        {
            uint timeout = EventPump.IdleTimeoutMs;
            EventPump.IdleTimeoutMs = 100;
            try
            {
                using (var world = new World(new ClientOptions()))
                {
                    bool isHeard = false;
                    EventHandler<ClientEvent> handler = (sender, happened) => isHeard = true;
                    for (int round = 0; round < 3; round++)
                    {
                        isHeard = false;
                        world.Client.EventReceived += handler;
                        world.Client.Submit("product_details");
                        Check.Soon(() => isHeard, "an event");
                        Thread first = Threads.Reader(world.Client);
                        Thread.Sleep(400);
                        Check.That(first.IsAlive, "it stays as long as somebody listens");
                        world.Client.EventReceived -= handler;
                        Check.Soon(() => !first.IsAlive, "it ends");
                        world.Client.CheckLicenseAsync().GetAwaiter().GetResult();
                    }
                    // Whoever comes while it makes up its mind is heard too.
                    for (int round = 0; round < 20; round++)
                    {
                        Thread.Sleep(95 + round % 10);
                        Check.That(world.Client.CheckLicenseAsync().Wait(20000), "completed");
                    }
                }
            }
            finally
            {
                EventPump.IdleTimeoutMs = timeout;
            }
        }

        // A system that is out of threads refuses one for a moment; what failed then must not hang what comes later.
        public static void A_thread_that_can_not_be_started_hangs_no_later_call()
        {
            Action<Thread> start = EventPump.Start;
            using (var world = new World())
            {
                int heard = 0;
                EventHandler<ClientEvent> handler = (sender, received) => heard++;
                EventPump.Start = thread => throw new OutOfMemoryException("no thread");
                try
                {
                    Task<LicenseReply> call = world.Client.CheckLicenseAsync();
                    Check.Throws<OutOfMemoryException>(() => call.GetAwaiter().GetResult());
                    Check.Throws<OutOfMemoryException>(() => world.Client.EventReceived += handler);
                }
                finally
                {
                    EventPump.Start = start;
                }
                Check.Equal(0, world.Requests("check_license"));
                Check.That(!world.Client.HasListeners, "the handler was taken back");
                Check.Equal(null, Threads.Reader(world.Client));

                Check.That(world.Client.CheckLicenseAsync().Wait(20000), "a later call is completed");
                world.Client.EventReceived += handler;
                world.Client.Submit("product_details");
                Check.Soon(() => heard == 1, "a later handler is called, once");
            }
            // Waits for each registered thread for two seconds: it would throw for one that never started.
            OpenClients.CloseAll();
        }

        public static void The_thread_is_in_nobodys_context()
        {
            using (var world = new World())
            {
                var request = new AsyncLocal<string> { Value = "of the first who came" };
                string seen = null;
                bool isHeard = false;
                world.Client.EventReceived += (sender, happened) =>
                {
                    seen = request.Value;
                    isHeard = true;
                };
                Check.Equal("of the first who came", request.Value);
                world.Client.Submit("product_details");
                Check.Soon(() => isHeard, "an event");
                Check.Equal(null, seen);
            }
            using (var world = new World())
            using (ExecutionContext.SuppressFlow()) // who has none to give is served too
            {
                Check.That(world.Client.CheckLicenseAsync().Wait(20000), "completed");
            }
        }

        public static void A_lease_is_disposed_under_a_call_that_hangs()
        {
            using (var world = new World())
            {
                Lease lease = world.Client.AcquireLease();
                int before = world.Requests("check_license");
                world.Sandbox.Fault("{\"when\":{\"times\":1},\"do\":{\"before\":\"hang\"}}");
                Task renewal = Task.Run(() => lease.Renew());
                Check.Soon(() => world.Requests("check_license") > before, "it hangs");
                lease.Dispose();
                Check.Equal(LeaseState.None, lease.State);
                world.Client.Cancel();
                Check.That(Task.WaitAny(new[] { renewal }, 20000) == 0, "the renewal ends");
                Check.Soon(() => world.Sandbox.Slots().Items.Count == 0, "the slot is given back");
                GC.KeepAlive(renewal.Exception);
            }
        }

        public static void What_is_disposed_says_so_and_twice_is_no_mistake()
        {
            var world = new World();
            Lease lease = world.Client.AcquireLease();
            lease.Dispose();
            lease.Dispose();
            Check.That(lease.State == LeaseState.None && lease.Remaining == TimeSpan.Zero && !lease.IsLicensed, "none");
            Check.Throws<ObjectDisposedException>(() => lease.Info());
            Check.Throws<ObjectDisposedException>(() => lease.Release());
            Lease other = world.Client.AcquireLease();
            world.Client.Dispose();
            Check.Equal(LeaseState.Released, other.State);
            other.Dispose();
            world.Dispose();
        }
    }
}
