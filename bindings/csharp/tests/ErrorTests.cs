using System;
using System.Collections.Generic;
using System.IO;
using System.Reflection;
using System.Runtime.Serialization.Formatters.Binary;
using System.Threading;

namespace FloatLease.Tests
{
    internal static class ErrorTests
    {
        public static void A_refusal_tells_all_that_is_known_of_it()
        {
            using (Sandbox sandbox = Sandbox.Start())
            using (var client = new Client(sandbox.ClientConfig("desk")))
            {
                client.ActivateLicense();
                var refused = Check.Throws<FloatLeaseException>(() => client.ReleaseLicense());
                Check.Equal(Status.FloatingNotAvailable, refused.Status);
                Check.Equal(141, refused.StatusNumber);
                Check.Equal("FLOATING_NOT_AVAILABLE", refused.Name);
                Check.Equal("license", refused.Category);
                Check.Equal(Outcome.Rejected, refused.Outcome);
                Check.That(!refused.Retryable && refused.RetryAfter == null, refused.Json);
                Check.Equal(400, refused.HttpStatus.Value);
                Check.Equal("floating_not_available", refused.ServerCode);
                Check.Equal(1, refused.Attempts);
                Check.Holds("slot", refused.Message);
                Check.Holds("Nothing to do", refused.Advice);
                Check.Equal(JsonValue.Parse(refused.Json)["message"].Text, refused.Message);

                sandbox.Fault("{\"do\":{\"before\":{\"http\":{\"status\":429,\"retry_after_s\":100}}}}");
                var request = new ActivationRequest { Timeout = TimeSpan.FromSeconds(2) };
                var limited = Check.Throws<FloatLeaseException>(() => client.ActivateLicense(request));
                Check.Equal(Status.RateLimited, limited.Status);
                Check.Equal(TimeSpan.FromSeconds(100), limited.RetryAfter.Value);
            }
        }

        public static void A_mistake_in_the_config_names_the_key()
        {
            var mistake = Check.Throws<FloatLeaseException>(() => new Client("{\"licence_key\":\"A\"}"));
            Check.Equal(Status.UnknownKey, mistake.Status);
            Check.Equal(Outcome.NotSent, mistake.Outcome);
            Check.Holds("licence_key", mistake.Message);
            Check.Equal(Status.Json, Check.Throws<FloatLeaseException>(() => new Client("nonsense")).Status);
            Check.Throws<ArgumentNullException>(() => new Client((string)null));
        }

        // The client is closed, but not yet its SafeHandle: between the two steps of Dispose on another thread.
        public static void A_call_that_races_with_Dispose_says_that_the_client_was_closed()
        {
            using (var world = new World())
            {
                Client client = world.Client;
                FieldInfo field = typeof(Client).GetField("handle", BindingFlags.Instance | BindingFlags.NonPublic);
                Native.ClientClose(((ClientHandle)field.GetValue(client)).DangerousGetHandle());
                var calls = new Action[]
                {
                    () => client.CheckLicenseAsync().GetAwaiter().GetResult(), () => client.CheckLicense(),
                    () => client.Submit("check_license"), () => client.Cancel(), () => client.Cancel(1),
                    () => client.AcquireLease(), () => client.AcceptLease(1), () => client.Diagnose(),
                    () => client.AdvanceClock(TimeSpan.FromSeconds(1)),
                };
                foreach (Action call in calls)
                {
                    var closed = Check.Throws<FloatLeaseException>(call);
                    Check.Equal(Status.Handle, closed.Status);
                    Check.Holds("The client was closed", closed.Message);
                    Check.Holds("not closed", closed.Advice);
                    Check.Equal(Outcome.NotSent, closed.Outcome);
                }
            }
        }

        public static void Every_call_that_loses_to_Dispose_says_why()
        {
            for (int round = 0; round < 20; round++)
            {
                using (var world = new World())
                {
                    Client client = world.Client;
                    var ends = new List<Exception>();
                    var threads = new List<Thread>();
                    for (int number = 0; number < 8; number++)
                    {
                        bool submits = number % 2 == 0;
                        threads.Add(new Thread(() =>
                        {
                            Exception end = null;
                            while (end == null)
                            {
                                try
                                {
                                    if (submits) client.Submit("product_details");
                                    else client.CheckLicense();
                                }
                                catch (FloatLeaseException exception) when (exception.Status == Status.TooManyCalls)
                                {
                                    Thread.Yield();
                                }
                                catch (Exception exception)
                                {
                                    end = exception;
                                }
                            }
                            lock (ends) ends.Add(end);
                        }));
                    }
                    foreach (Thread thread in threads) thread.Start();
                    Thread.Sleep(round);
                    client.Dispose();
                    foreach (Thread thread in threads) thread.Join();
                    foreach (Exception end in ends)
                    {
                        if (!(end is ObjectDisposedException)) Check.Holds("The client was closed", end.Message);
                    }
                }
            }
        }

        public static void Statuses_and_words_that_this_version_does_not_know_break_nothing()
        {
            var strange = new FloatLeaseException(9999,
                "{\"status\":9999,\"name\":\"BRAND_NEW\",\"outcome\":\"perhaps\",\"more\":1,\"attempts\":\"x\"}");
            Check.Equal(9999, (int)strange.Status);
            Check.Equal("BRAND_NEW", strange.Name);
            Check.Equal(Outcome.Unknown, strange.Outcome);
            Check.Equal(0, strange.Attempts);
            Check.Holds("9999", strange.Json);
            var broken = new FloatLeaseException(21, "<html>");
            Check.Equal("CONNECT", broken.Name);
            Check.Holds("CONNECT", broken.Message);
            Check.Equal("<html>", broken.Json);
            var bare = new FloatLeaseException(16, null);
            Check.Equal(Outcome.NotSent, bare.Outcome);
            Check.Equal("TOO_MANY_CALLS", JsonValue.Parse(bare.Json)["name"].Text);
            Check.Equal("UNKNOWN_STATUS", new FloatLeaseException(9999, "{}").Name);
        }

        public static void What_fails_in_another_application_domain_arrives_whole()
        {
            const string Json = "{\"status\":141,\"message\":\"No slot is free.\",\"outcome\":\"rejected\"}";
            var refused = new FloatLeaseException(141, Json);
            FloatLeaseException arrived = SentOn(refused);
            Check.Equal(Status.FloatingNotAvailable, arrived.Status);
            Check.That(arrived.Outcome == Outcome.Rejected && arrived.Json == Json, arrived.Json);
            Check.Equal("No slot is free.", arrived.Message);
            var cancelled = (FloatLeaseCanceledException)Failure.Cancelled("unknown", "It was.", CancellationToken.None);
            Check.Equal(Status.Cancelled, SentOn(cancelled).Failure.Status);
            Check.Equal(cancelled.Json, SentOn(cancelled).Json);
            Check.Equal("not there", SentOn(new FloatLeaseLibraryException("not there", null)).Message);
        }

        private static T SentOn<T>(T exception)
        {
            using (var wire = new MemoryStream())
            {
                new BinaryFormatter().Serialize(wire, exception);
                wire.Position = 0;
                return (T)new BinaryFormatter().Deserialize(wire);
            }
        }

        public static void A_library_of_another_ABI_is_refused_with_a_sentence()
        {
            Check.Equal(null, AbiCheck.Difference(1));
            Check.Holds("ABI version 2", AbiCheck.Difference(2));
            Check.Holds("same release", AbiCheck.Difference(2));
        }
    }
}
