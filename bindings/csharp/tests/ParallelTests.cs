using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Threading.Tasks;

namespace FloatLease.Tests
{
    // Many calls in the background at once: each keeps its deadline, none waits for another, and releases overtake.
    internal static class ParallelTests
    {
        private const int Burst = 50;

        public static void Calls_that_begin_together_take_as_long_as_one()
        {
            using (var world = new World())
            {
                world.Sandbox.Fault("{\"match\":{\"operation\":\"check_feature\"},\"when\":{\"times\":" + Burst
                    + "},\"do\":{\"before\":{\"delay\":{\"fixed_ms\":500}}}}");
                var watch = Stopwatch.StartNew();
                Task.WhenAll(CheckFeatures(world.Client, null)).GetAwaiter().GetResult();
                double seconds = watch.Elapsed.TotalSeconds;
                Console.WriteLine("   {0} calls of 500 ms took {1:F2} s", Burst, seconds);
                // One after the other they would take 25 seconds, and four at a time six.
                Check.That(seconds < 5, seconds + " s");
            }
        }

        public static void Each_call_is_over_at_its_deadline()
        {
            using (var world = new World())
            {
                world.Hang();
                var watch = Stopwatch.StartNew();
                foreach (Task call in CheckFeatures(world.Client, TimeSpan.FromSeconds(1)))
                {
                    var late = Check.Throws<FloatLeaseException>(() => call.GetAwaiter().GetResult());
                    Check.Equal(Status.Timeout, late.Status);
                }
                double seconds = watch.Elapsed.TotalSeconds;
                Console.WriteLine("   {0} deadlines of 1 s were over after {1:F2} s", Burst, seconds);
                // One after the other they would take 50 seconds, and four at a time twelve.
                Check.That(seconds > 0.9 && seconds < 8, seconds + " s");
            }
        }

        public static void A_release_waits_for_no_call_that_hangs()
        {
            using (var world = new World())
            {
                Lease lease = world.Client.AcquireLease();
                world.Sandbox.Fault("{\"match\":{\"operation\":\"check_feature\"},\"do\":{\"before\":\"hang\"}}");
                List<Task> calls = CheckFeatures(world.Client, null);
                Check.Soon(() => world.Requests("check_feature") == Burst, "all of them hang");
                var watch = Stopwatch.StartNew();
                Check.Equal(LeaseState.Released, lease.ReleaseAsync().GetAwaiter().GetResult().State);
                Console.WriteLine("   a release beside {0} calls that hang took {1} ms", Burst, watch.ElapsedMilliseconds);
                Check.That(calls.TrueForAll(call => !call.IsCompleted), "they still hang");
                Check.Equal(0, world.Sandbox.Slots().Items.Count);
            }
        }

        private static List<Task> CheckFeatures(Client client, TimeSpan? timeout)
        {
            var calls = new List<Task>();
            for (int number = 0; number < Burst; number++)
            {
                calls.Add(client.CheckFeatureAsync(new FeatureRequest("MESH") { Timeout = timeout }));
            }
            return calls;
        }
    }
}
