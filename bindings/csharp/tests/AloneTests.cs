using System;
using System.Collections.Generic;
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Threading;
using System.Threading.Tasks;

namespace FloatLease.Tests
{
    // Each in a process of its own, which has no threads and no memory but the test's. For Linux: they look into /proc.
    internal static class AloneTests
    {
        public static void Ten_thousand_leases_dropped_to_the_collector_leak_nothing()
        {
            using (var server = new Server())
            using (var client = new Client(server.Config("desk")))
            {
                client.ActivateLicense();
                long grown = 0;
                foreach (int count in new[] { 2000, 10000 })
                {
                    long before = ResidentKilobytes();
                    Collector.OnAThreadOfItsOwn(() => AcquireAndDrop(client, count));
                    // The slot is given back when the last of all the leases that share it is let go of.
                    Collector.CollectUntil(() => server.Slots() == 0, "all are given back");
                    grown = ResidentKilobytes() - before;
                }
                Console.WriteLine("   10,000 leases: {0:+#;-#;0} KB", grown);
                // As many that are held are 100 MB: each has the server's reply.
                Check.That(grown < 40000, grown + " KB more");
                using (Lease lease = client.AcquireLease()) Check.That(lease.IsLicensed, "and it goes on");
            }
        }

        private static void AcquireAndDrop(Client client, int count)
        {
            for (int number = 0; number < count; number++)
            {
                Lease lease = client.AcquireLease();
                if (number % 100 == 0) Check.That(lease.IsLicensed, "held");
            }
        }

        private static long ResidentKilobytes()
        {
            Collector.Collect();
            foreach (string line in System.IO.File.ReadAllLines("/proc/self/status"))
            {
                if (line.StartsWith("VmRSS:", StringComparison.Ordinal)) return long.Parse(line.Substring(6, line.Length - 8));
            }
            throw new Exception("no VmRSS");
        }

        // Each call below is the last use of what it is made on, while a collector runs all the time. Under Mono, whose
        // collector is conservative, it shows little; under .NET it is run with code that is optimised from the first call.
        public static void A_call_keeps_what_it_is_made_on_under_a_collector_that_runs_all_the_time()
        {
            using (var server = new Server())
            using (var client = new Client(server.Config("desk")))
            using (Collector.AllTheTime())
            {
                client.ActivateLicense();
                TimeSpan wait = TimeSpan.FromMilliseconds(50);
                for (int round = 0; round < 30; round++) Check.Equal(null, Dropped(server).NextEvent(wait));
                for (int round = 0; round < 500; round++)
                {
                    Check.Equal(Status.Ticket, Check.Throws<FloatLeaseException>(() => Dropped(server).Cancel(7777)).Status);
                }
                string slow = "{\"match\":{\"operation\":\"check_license\"},\"do\":{\"before\":{\"delay\":{\"fixed_ms\":20}}}}";
                server.Control("POST", "/faults", slow);
                for (int round = 0; round < 30; round++)
                {
                    Check.Equal(LeaseState.Active, Dropped(server).AcquireLease().Renew().State);
                    Check.Equal(LeaseState.Released, Dropped(server).AcquireLease().Release().State);
                    Check.Equal(LeaseState.Active, Dropped(server).AcquireLease().Info().State);
                    Check.That(Dropped(server).AcquireLease().State == LeaseState.Active, "its state");
                    Check.That(Dropped(server).AcquireLease().Remaining > TimeSpan.Zero, "its time");
                }
            }
        }

        public static void What_is_read_by_a_client_that_is_dropped_is_heard_by_its_handlers()
        {
            using (var server = new Server())
            using (Collector.AllTheTime())
            {
                string slow = "{\"match\":{\"operation\":\"product_details\"},\"do\":{\"before\":{\"delay\":{\"fixed_ms\":50}}}}";
                server.Control("POST", "/faults", slow);
                int heard = 0;
                TimeSpan wait = TimeSpan.FromSeconds(20);
                for (int round = 1; round <= 30; round++)
                {
                    Check.That(Listening(server, () => heard++).NextEvent(wait) != null, "an event");
                    Check.Equal(round, heard);
                }
            }
        }

        [MethodImpl(MethodImplOptions.NoInlining)]
        private static Client Dropped(Server server) =>
            new Client(server.Config("desk"), new ClientOptions { ManualPump = true });

        [MethodImpl(MethodImplOptions.NoInlining)]
        private static Client Listening(Server server, Action hear)
        {
            Client client = Dropped(server);
            client.EventReceived += (sender, happened) => hear();
            client.Submit("product_details");
            return client;
        }

        private sealed class Editor
        {
            internal Client Client;
            internal Lease Lease;
            internal volatile bool HasHeard;

            internal void Hear(object sender, ClientEvent happened) => HasHeard = true;
        }

        public static void Clients_that_are_dropped_with_leases_and_handlers_are_collected_and_their_threads_end()
        {
            using (var server = new Server())
            {
                // The pool's own threads take over the name of the one that wakes it first.
                Task.Run(() => { }).Wait();
                var threads = new List<Thread>();
                Collector.OnAThreadOfItsOwn(() =>
                {
                    for (int number = 0; number < 50; number++) threads.Add(OpenAndDrop(server, number));
                });
                Check.That(threads.Exists(thread => thread.IsAlive) && Threads.Named("floatlease") > 0, "they work");
                Collector.CollectUntil(() => !threads.Exists(thread => thread.IsAlive), "their threads have ended");
                Collector.CollectUntil(() => server.Slots() == 0, "their slots are given back");
                Check.Soon(() => Threads.Named("floatlease") == 0, "no thread is left");
            }
        }

        [MethodImpl(MethodImplOptions.NoInlining)]
        private static Thread OpenAndDrop(Server server, int number)
        {
            var editor = new Editor { Client = new Client(server.Config("desk-" + number % 2)) };
            editor.Client.ActivateLicense();
            editor.Client.EventReceived += editor.Hear;
            editor.Lease = editor.Client.AcquireLease();
            editor.Lease.Changed += editor.Hear;
            editor.Client.Submit("product_details");
            Check.Soon(() => editor.HasHeard, "the first event");
            return Threads.Reader(editor.Client);
        }

        // Under Mono only: .NET has no application domains.
        public static void Unloading_an_application_domain_leaves_no_thread_behind()
        {
            using (var server = new Server())
            {
                server.Control("POST", "/faults", "{\"match\":{\"operation\":\"borrow_license\"},\"do\":{\"before\":\"hang\"}}");
                for (int reload = 0; reload < 5; reload++)
                {
                    AppDomain domain = AppDomain.CreateDomain("scripts");
                    domain.SetData("config", server.Config("desk").ToJson());
                    domain.DoCallBack(Scripts.Begin);
                    Check.Equal(1, server.Slots());
                    Check.Equal(1, Threads.Named("floatlease even"));
                    Check.Equal(1, Threads.Named("scripts"));
                    Check.That(Threads.Named("floatlease") >= 3, "one reads events, one keeps, one calls");
                    AppDomain.Unload(domain);
                    Check.Equal(0, Threads.Named("floatlease even"));
                    Check.Equal(0, Threads.Named("scripts"));
                    Check.Soon(() => Threads.Named("floatlease") == 0, "no thread is left");
                    Check.Soon(() => server.Slots() == 0, "the slot is given back");
                }
            }
        }

        // Under .NET only: Mono has no load contexts.
        public static void Unloading_a_load_context_takes_the_binding_along()
        {
            using (var server = new Server())
            {
                WeakReference context = Plugin(server.Config("desk").ToJson());
                Collector.CollectUntil(() => !context.IsAlive, "it is unloaded");
                Check.Soon(() => server.Slots() == 0, "the slot is given back");
            }
        }

        public static void A_user_who_may_have_no_more_threads_is_told_so_and_served_later()
        {
            using (var server = new Server())
            using (var client = new Client(server.Config("desk")))
            {
                client.ActivateLicense();
                using (new NoMoreThreads())
                {
                    // Mono has another exception for it than .NET, which derives from the same.
                    for (int attempt = 0; attempt < 3; attempt++)
                    {
                        Task<LicenseReply> call = client.CheckLicenseAsync();
                        Check.That(call.IsCompleted, "the call ends at once");
                        Check.Throws<SystemException>(() => call.GetAwaiter().GetResult());
                        Check.Throws<SystemException>(() => client.EventReceived += (sender, received) => { });
                    }
                }
                Check.Equal(0, server.Slots());
                Check.That(client.CheckLicenseAsync().Wait(20000), "a later call is completed");
                Check.Equal(1, server.Slots());
                client.ReleaseLicense();
            }
        }

        // Uses the binding as a plugin does that its host can unload, and forgets to dispose anything.
        [MethodImpl(MethodImplOptions.NoInlining)]
        private static WeakReference Plugin(string config)
        {
            Type type = Type.GetType("System.Runtime.Loader.AssemblyLoadContext, System.Runtime.Loader", true);
            object context = Activator.CreateInstance(type, "plugin", true);
            string path = typeof(Client).Assembly.Location;
            object loaded = type.GetMethod("LoadFromAssemblyPath").Invoke(context, new object[] { path });
            Type client = ((Assembly)loaded).GetType("FloatLease.Client");
            Check.That(client != typeof(Client), "it has a binding of its own");
            object opened = Activator.CreateInstance(client, config, null);
            foreach (string method in new[] { "ActivateLicense", "AcquireLease" })
            {
                client.GetMethod(method).Invoke(opened, new object[] { null });
            }
            var request = new object[] { "product_details", null, CancellationToken.None };
            var call = (Task)client.GetMethod("CallAsync").Invoke(opened, request);
            Check.That(call.Wait(20000), "its thread reads");
            type.GetMethod("Unload").Invoke(context, null);
            return new WeakReference(context);
        }

        // The process is an ordinary user's meanwhile, whose threads are counted, and may have no more than it has.
        private sealed class NoMoreThreads : IDisposable
        {
            private const int ThreadsOfTheUser = 6; // RLIMIT_NPROC
            private const uint Nobody = 65534;

            private readonly bool isRoot = geteuid() == 0;
            private readonly Limit before;

            internal NoMoreThreads()
            {
                Check.Equal(0, getrlimit(ThreadsOfTheUser, out before));
                if (isRoot) Check.Equal(0, setresuid(Nobody, Nobody, 0));
                var none = new Limit { Soft = new UIntPtr(1), Hard = before.Hard };
                Check.Equal(0, setrlimit(ThreadsOfTheUser, ref none));
            }

            public void Dispose()
            {
                Limit limit = before;
                Check.Equal(0, setrlimit(ThreadsOfTheUser, ref limit));
                if (isRoot) Check.Equal(0, setresuid(0, 0, 0));
            }

            [StructLayout(LayoutKind.Sequential)]
            private struct Limit
            {
                internal UIntPtr Soft;
                internal UIntPtr Hard;
            }

            [DllImport("libc")]
            private static extern uint geteuid();

            [DllImport("libc")]
            private static extern int setresuid(uint real, uint effective, uint saved);

            [DllImport("libc")]
            private static extern int getrlimit(int resource, out Limit limit);

            [DllImport("libc")]
            private static extern int setrlimit(int resource, ref Limit limit);
        }

        // Runs in a domain of its own, as scripts do in Unity's editor.
        private static class Scripts
        {
            private static Client client;
            private static Lease lease;

            internal static void Begin()
            {
                // Longer than any test: nothing but the domain's end wakes the threads.
                EventPump.IdleTimeoutMs = 600000;
                ClientConfig config = ClientConfig.Parse((string)AppDomain.CurrentDomain.GetData("config"));
                config.Timeout = TimeSpan.FromMinutes(10);
                client = new Client(config);
                client.ActivateLicense();
                lease = client.AcquireLease();
                lease.Changed += (sender, happened) => { };
                client.BorrowLicenseAsync();
                var blocked = new Thread(BorrowOnAThread) { IsBackground = true, Name = "scripts" };
                blocked.Start();
                Check.That(lease.IsLicensed, "held");
                Thread.Sleep(200);
            }

            private static void BorrowOnAThread()
            {
                try
                {
                    client.BorrowLicense();
                }
                catch (FloatLeaseCanceledException)
                {
                    // The client was closed under it.
                }
            }
        }
    }
}
