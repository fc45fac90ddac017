using System;
using System.Threading;
using System.Threading.Tasks;

namespace FloatLease.Tests
{
    // Everything is released by one call at the end of a program, and events are counted without reading them.
    internal static class ReleaseAllTests
    {
        private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);
        private static readonly TimeSpan Impatience = TimeSpan.FromMilliseconds(200);

        public static void Everything_is_released_and_borrows_are_kept()
        {
            AllAreReleased((client, within) => client.ReleaseAll(within));
        }

        public static void Everything_is_released_in_the_background()
        {
            AllAreReleased((client, within) => client.ReleaseAllAsync(within).GetAwaiter().GetResult());
        }

        private static void AllAreReleased(Func<Client, TimeSpan, ReleaseAllReply> releaseAll)
        {
            using (var folder = new Folder())
            using (Sandbox sandbox = Sandbox.Start())
            {
                ClientConfig config = sandbox.ClientConfig("desk");
                config.StorageDir = folder.Path;
                using (var client = new Client(config))
                {
                    client.ActivateLicense();
                    Lease kept = client.AcquireLease();
                    kept.Borrow();
                    Lease mesh = client.AcquireLease(new LeaseRequest("MESH"));
                    Lease solver = client.AcquireLease(new LeaseRequest("SOLVER"));
                    ReleaseAllReply reply = releaseAll(client, Patience);
                    Check.Equal(mesh.Number + "," + solver.Number, string.Join(",", reply.Released));
                    Check.Equal(kept.Number.ToString(), string.Join(",", reply.Kept));
                    Check.Equal(0, reply.Left.Count);
                    Check.Equal(LeaseState.Released, mesh.State);
                    Check.Equal(LeaseState.Released, solver.State);
                    Check.Equal(1, sandbox.Slots().Items.Count);
                }
            }
        }

        public static void What_can_not_be_released_in_time_is_told()
        {
            using (var world = new World())
            {
                Lease lease = world.Client.AcquireLease();
                world.Hang();
                IsLeft(lease, world.Client.ReleaseAll(Impatience));
                IsLeft(lease, world.Client.ReleaseAllAsync(Impatience).GetAwaiter().GetResult());
            }
        }

        private static void IsLeft(Lease lease, ReleaseAllReply reply)
        {
            Check.Equal(0, reply.Released.Count + reply.Kept.Count);
            Check.Equal(1, reply.Left.Count);
            UnreleasedLease left = reply.Left[0];
            Check.Equal(lease.Number, left.LeaseNumber.Value);
            Check.Equal(Status.Timeout, left.Status);
            Check.Equal("TIMEOUT", left.StatusName);
            Check.That(left.Reason.Length > 0, left.Json);
        }

        public static void A_time_that_is_out_of_range_is_a_mistake()
        {
            using (var world = new World())
            {
                // The last is more than the library's 32 bits hold, and must not become a millisecond.
                foreach (long milliseconds in new[] { 0L, -1L, (1L << 32) + 1 })
                {
                    TimeSpan within = TimeSpan.FromTicks(milliseconds * TimeSpan.TicksPerMillisecond);
                    var refused = Check.Throws<FloatLeaseException>(() => world.Client.ReleaseAll(within));
                    Check.Equal(Status.BadValue, refused.Status);
                    Task call = world.Client.ReleaseAllAsync(within);
                    refused = Check.Throws<FloatLeaseException>(() => call.GetAwaiter().GetResult());
                    Check.Equal(Status.BadValue, refused.Status);
                }
            }
        }

        public static void The_token_cancels_a_release_of_everything()
        {
            using (var world = new World())
            {
                world.Client.AcquireLease();
                world.Hang();
                var source = new CancellationTokenSource();
                Task call = world.Client.ReleaseAllAsync(Patience, source.Token);
                Check.Soon(() => world.Requests("release_license") > 0, "it hangs");
                source.Cancel();
                Check.Throws<FloatLeaseCanceledException>(() => call.GetAwaiter().GetResult());
            }
        }

        public static void Close_releases_everything_before_it_disposes()
        {
            using (var world = new World())
            {
                Lease lease = world.Client.AcquireLease(new LeaseRequest { ReleaseOnClose = TimeSpan.Zero });
                world.Client.Close(Patience);
                Check.Equal(0, world.Sandbox.Slots().Items.Count);
                Check.Equal(LeaseState.Released, lease.State);
                Check.Throws<ObjectDisposedException>(() => world.Client.CheckLicense());
                world.Client.Close(Patience);
            }
        }

        public static void Close_disposes_also_if_the_release_throws()
        {
            using (var world = new World())
            {
                Check.Throws<FloatLeaseException>(() => world.Client.Close(TimeSpan.Zero));
                Check.Throws<ObjectDisposedException>(() => world.Client.CheckLicense());
            }
        }

        public static void Events_that_wait_are_counted_without_reading_them()
        {
            using (var world = new World(new ClientOptions { ManualPump = true }))
            {
                Check.Equal(0, world.Client.EventsWaiting);
                world.Client.Submit("product_details");
                world.Client.Submit("product_details");
                Check.Soon(() => world.Client.EventsWaiting == 2, "two completions");
                world.Client.NextEvent(TimeSpan.Zero);
                Check.Equal(1, world.Client.EventsWaiting);
                world.Client.Pump();
                Check.Equal(0, world.Client.EventsWaiting);
                world.Client.Dispose();
                Check.Equal(0, world.Client.EventsWaiting);
            }
        }
    }
}
