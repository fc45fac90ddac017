using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Threading;
using System.Threading.Tasks;

namespace FloatLease.Tests
{
    internal static class AsyncTests
    {
        public static void An_awaited_borrow_during_a_hanging_server_is_cancelled_by_its_token()
        {
            using (var world = new World())
            {
                world.Hang();
                var times = new List<double>();
                for (int round = 0; round < 100; round++)
                {
                    var source = new CancellationTokenSource();
                    Task<BorrowReply> borrow = world.Client.BorrowLicenseAsync(null, source.Token);
                    Check.Soon(() => world.Requests("borrow_license") > round, "the request has arrived");
                    Check.That(!borrow.IsCompleted, "it hangs");
                    times.Add(CancelAndWait(source, borrow).GetAwaiter().GetResult());
                }
                times.Sort();
                Console.WriteLine("   cancelled after ms: p50 {0:F2}, p99 {1:F2}, max {2:F2}", times[50], times[98], times[99]);
                // What is promised is 50 ms; the machine may be busy with other things.
                Check.That(times[50] < 50 && times[99] < 5000, "within 50 ms");
            }
        }

        private static async Task<double> CancelAndWait(CancellationTokenSource source, Task<BorrowReply> borrow)
        {
            var watch = Stopwatch.StartNew();
            source.Cancel();
            try
            {
                await borrow.ConfigureAwait(false);
            }
            catch (FloatLeaseCanceledException cancelled)
            {
                double elapsed = watch.Elapsed.TotalMilliseconds;
                Check.Equal(Outcome.Unknown, cancelled.Outcome);
                Check.Equal(Status.Cancelled, cancelled.Failure.Status);
                Check.Equal(source.Token, cancelled.CancellationToken);
                Check.That(borrow.IsCanceled && !borrow.IsFaulted, borrow.Status.ToString());
                Check.Equal("unknown", JsonValue.Parse(cancelled.Json)["outcome"].Text);
                return elapsed;
            }
            throw new Exception("it was not cancelled");
        }

        public static void A_token_that_was_cancelled_before_sends_nothing()
        {
            using (var world = new World())
            {
                var source = new CancellationTokenSource();
                source.Cancel();
                Task<BorrowReply> borrow = world.Client.BorrowLicenseAsync(null, source.Token);
                var cancelled = Check.Throws<FloatLeaseCanceledException>(() => borrow.GetAwaiter().GetResult());
                Check.Equal(Outcome.NotSent, cancelled.Outcome);
                Check.That(borrow.IsCanceled, borrow.Status.ToString());
                Check.Equal(0, world.Requests("borrow_license"));
            }
        }

        public static void A_token_that_is_cancelled_afterwards_changes_nothing()
        {
            using (var world = new World())
            {
                var source = new CancellationTokenSource();
                Task<LicenseReply> check = world.Client.CheckLicenseAsync(null, source.Token);
                Check.Equal(1L, check.GetAwaiter().GetResult().FloatingInUseDevices.Value);
                source.Cancel();
                Check.Equal(TaskStatus.RanToCompletion, check.Status);
            }
        }

        // .NET Framework may refuse to register with such a token; .NET and Mono never do.
        public static void A_token_whose_source_is_disposed_cancels_nothing_and_loses_no_lease()
        {
            using (var world = new World())
            {
                var source = new CancellationTokenSource();
                CancellationToken cancellation = source.Token;
                source.Dispose();
                Check.Equal(1L, world.Client.CheckLicenseAsync(null, cancellation).GetAwaiter().GetResult().FloatingInUseDevices.Value);
                using (Lease lease = world.Client.AcquireLeaseAsync(null, cancellation).GetAwaiter().GetResult())
                {
                    Check.Equal(LeaseState.Active, lease.State);
                }
            }
        }

        public static void What_fails_in_the_background_is_the_same_exception()
        {
            using (var world = new World())
            {
                Task<EmptyReply> release = world.Client.ReleaseLicenseAsync();
                var refused = Check.Throws<FloatLeaseException>(() => release.GetAwaiter().GetResult());
                Check.Equal(Status.FloatingNotAvailable, refused.Status);
                Check.Holds("slot", refused.Message);
                Task<string> unknown = world.Client.CallAsync("juggle");
                var mistake = Check.Throws<FloatLeaseException>(() => unknown.GetAwaiter().GetResult());
                Check.Equal(Status.UnknownOperation, mistake.Status);
                Check.Equal(Outcome.NotSent, mistake.Outcome);
                Check.Holds("no operation of this name", mistake.Message);
                Check.Holds("\"borrow_license\"", mistake.Advice);
            }
        }

        public static void A_thousand_calls_need_no_thread_each_and_all_are_completed()
        {
            using (var world = new World())
            {
                var calls = new List<Task>();
                int most = 0;
                for (int number = 0; number < 900; number++)
                {
                    calls.Add(world.Client.CheckLicenseAsync());
                    if (number % 100 == 0) most = Math.Max(most, Threads.Named("floatlease"));
                }
                Task.WhenAll(calls).GetAwaiter().GetResult();
                // As many of the library's as max_parallel, one of the client's, those of the sandbox.
                Check.That(most <= 64 + 12, most + " threads");
                // Of 64 calls on their way some overtake each other, and are asked again.
                int requests = world.Requests("check_license");
                Check.That(requests >= 900 && requests < 2 * 900, requests + " requests");
            }
        }

        public static void One_call_too_many_says_so_and_what_to_do()
        {
            using (var world = new World(new ClientOptions { ManualPump = true }))
            {
                const string Mistake = "{\"juggle\":1}"; // told by the completion
                var calls = new List<Task>();
                for (int number = 0; number < 1000; number++) calls.Add(world.Client.CallAsync("check_license", Mistake));
                Task oneMore = world.Client.CallAsync("check_license", Mistake);
                var refused = Check.Throws<FloatLeaseException>(() => oneMore.GetAwaiter().GetResult());
                Check.Equal(Status.TooManyCalls, refused.Status);
                Check.Equal(Outcome.NotSent, refused.Outcome);
                Check.Holds("1,000 calls", refused.Message);
                Check.Holds("Await some", refused.Advice);
                Task all = Task.WhenAll(calls);
                Check.Soon(() =>
                {
                    world.Client.Pump();
                    return all.IsCompleted;
                }, "the thousand");
                Check.That(calls.TrueForAll(call => call.IsFaulted), "each was told of its mistake");
                world.Client.Submit("check_license", Mistake);
                var over = Check.Throws<FloatLeaseException>(() => world.Client.Cancel(7777));
                Check.Equal(Status.Ticket, over.Status);
                Check.Holds("its completion", over.Advice);
            }
        }

        public static void A_continuation_that_blocks_holds_up_nobody()
        {
            using (var world = new World())
            using (var gate = new ManualResetEventSlim())
            {
                // Late enough for the continuation to be there when it is completed, or it would run on this thread.
                world.Sandbox.Fault("{\"when\":{\"times\":1},\"do\":{\"before\":{\"delay\":{\"fixed_ms\":1000}}}}");
                Task blocked = world.Client.CheckLicenseAsync().ContinueWith(
                    done => gate.Wait(), TaskContinuationOptions.ExecuteSynchronously);
                Check.Soon(() => world.Requests("check_license") == 1, "it is under way");
                Thread.Sleep(1500);
                Check.That(world.Client.CheckLicenseAsync().Wait(20000), "the next call is done");
                gate.Set();
                blocked.Wait();
            }
        }

        public static void Dispose_ends_every_call_at_once()
        {
            using (var world = new World())
            {
                world.Hang();
                var source = new CancellationTokenSource();
                Task<BorrowReply> background = world.Client.BorrowLicenseAsync(null, source.Token);
                Task foreground = Task.Run(() => world.Client.BorrowLicense());
                Check.Soon(() => world.Requests("borrow_license") == 2, "both hang");
                world.Client.Dispose();
                Check.That(Task.WaitAny(new Task[] { background }, 20000) == 0, "the one in the background has ended");
                Check.That(Task.WaitAny(new[] { foreground }, 20000) == 0, "the one on a thread has ended");
                var ended = Check.Throws<FloatLeaseCanceledException>(() => background.GetAwaiter().GetResult());
                Check.Equal(Outcome.Unknown, ended.Outcome);
                Check.Equal(CancellationToken.None, ended.CancellationToken);
                Check.Throws<FloatLeaseCanceledException>(() => foreground.GetAwaiter().GetResult());
                Check.Throws<ObjectDisposedException>(() => world.Client.CheckLicense());
                Check.Throws<ObjectDisposedException>(() => world.Client.CheckLicenseAsync().GetAwaiter().GetResult());
                Check.Throws<ObjectDisposedException>(() => world.Client.NextEvent(TimeSpan.Zero));
                world.Client.Dispose();
            }
        }

        public static void Cancel_wakes_who_waits_on_a_thread()
        {
            using (var world = new World())
            {
                world.Hang();
                Task call = Task.Run(() => world.Client.BorrowLicense());
                Check.Soon(() => world.Requests("borrow_license") == 1, "it hangs");
                world.Client.Cancel();
                Check.That(Task.WaitAny(new[] { call }, 20000) == 0, "it has ended");
                Check.Equal(Outcome.Unknown,
                    Check.Throws<FloatLeaseCanceledException>(() => call.GetAwaiter().GetResult()).Outcome);
            }
        }

        public static void Cancel_ends_nothing_that_begins_later_and_the_reading_of_events_goes_on()
        {
            using (var world = new World())
            {
                int heard = 0;
                world.Client.EventReceived += (sender, happened) =>
                {
                    Check.Equal("COMPLETED", happened.Name);
                    heard++;
                };
                Exception failure = null;
                world.Client.HandlerFailed += (sender, failed) => failure = failed.Exception;
                for (int round = 1; round <= 20; round++)
                {
                    world.Client.Cancel();
                    world.Client.CheckLicenseAsync().GetAwaiter().GetResult();
                    world.Client.Submit("product_details");
                    Check.Soon(() => heard == round, "an event");
                }
                world.Client.Dispose();
                Thread.Sleep(100);
                Check.Equal(null, failure);
            }
        }

        public static void A_lease_is_acquired_renewed_and_released_in_the_background()
        {
            LeaseInTheBackground().GetAwaiter().GetResult();
        }

        private static async Task LeaseInTheBackground()
        {
            using (var folder = new Folder())
            using (Sandbox sandbox = Sandbox.Start())
            {
                ClientConfig config = sandbox.ClientConfig("desk");
                config.StorageDir = folder.Path;
                using (var client = new Client(config))
                {
                    await client.ActivateLicenseAsync();
                    Lease lease = await client.AcquireLeaseAsync(new LeaseRequest("MESH"));
                    Check.Equal(LeaseState.Active, lease.State);
                    Check.Equal(LeaseState.Active, (await lease.RenewAsync()).State);
                    var until = new BorrowRequest { BorrowedUntil = DateTimeOffset.UtcNow.AddHours(2) };
                    LeaseInfo info = await lease.BorrowAsync(until);
                    Check.That(Math.Abs((info.BorrowedUntil.Value - until.BorrowedUntil.Value).TotalSeconds) < 1, info.Json);
                    Check.Equal(LeaseState.Released, (await lease.ReleaseAsync()).State);
                    lease.Dispose();
                    Task renewal = lease.RenewAsync();
                    Check.Throws<ObjectDisposedException>(() => renewal.GetAwaiter().GetResult());
                }
            }
        }

        public static void An_acquire_that_queues_is_cancelled_and_takes_no_slot_later()
        {
            using (var world = new World())
            {
                foreach (string colleague in new[] { "office-1", "office-2" })
                {
                    world.Client.ActivateLicense(new ActivationRequest { HardwareId = colleague });
                    world.Client.CheckLicense(new CheckRequest { HardwareId = colleague });
                }
                WaitingEvent waiting = null;
                world.Client.LeaseChanged += (sender, happened) => waiting = happened as WaitingEvent;
                var source = new CancellationTokenSource();
                var request = new LeaseRequest { Wait = TimeSpan.FromMinutes(5), Activate = true, Tag = "left \"window\"" };
                Task<Lease> lease = world.Client.AcquireLeaseAsync(request, source.Token);
                Check.Soon(() => waiting != null, "WAITING");
                Check.That(waiting.AsksAgainIn > TimeSpan.Zero && waiting.Left > TimeSpan.FromMinutes(4), waiting.Json);
                Check.Equal("left \"window\"", waiting.Tag);
                Check.Equal(0, waiting.Features.Count);
                Check.That(waiting.Ticket > 0, waiting.Json);
                Check.That(waiting.Lease == null && waiting.Kind == LeaseEventKind.Waiting, waiting.Json);
                source.Cancel();
                Check.Throws<FloatLeaseCanceledException>(() => lease.GetAwaiter().GetResult());
                Check.Equal(2, world.Sandbox.Slots().Items.Count);
            }
        }
    }
}
