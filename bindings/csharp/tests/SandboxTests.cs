using System;

namespace FloatLease.Tests
{
    internal static class SandboxTests
    {
        public static void A_sandbox_does_as_it_is_told_and_says_why_not()
        {
            var options = new SandboxOptions { Now = "2027-03-01T09:00:00Z", Rate = 0, Presets = true, ControlPort = 0 };
            using (Sandbox sandbox = Sandbox.Start(options))
            {
                Check.Holds("http://127.0.0.1", sandbox.Info["control_url"].Text);
                Check.That(sandbox.Info["presets"].Items.Count > 10, "presets");
                using (var client = new Client(sandbox.ClientConfig("desk")))
                {
                    client.ActivateLicense();
                    client.CheckLicense();
                    Check.Equal("desk", sandbox.Slots().Items[0]["hardware_id"].Text);
                    JsonValue happened = sandbox.Advance("2h", client);
                    Check.Equal("slot_expired", happened.Items[0]["event"].Text);
                    Check.Equal(0, sandbox.Slots().Items.Count);
                }
                var refused = Check.Throws<FloatLeaseException>(() => sandbox.Control("GET /nowhere"));
                Check.That(refused.Status == Status.Sandbox && refused.Message.Length > 0, refused.Json);
            }
        }

        public static void An_unknown_option_is_refused_and_a_stopped_sandbox_is_disposed()
        {
            Check.Holds("speed", Check.Throws<FloatLeaseException>(
                () => Sandbox.Start(SandboxOptions.Parse("{\"speed\":1}"))).Message);
            Sandbox sandbox = Sandbox.Start();
            sandbox.Dispose();
            sandbox.Dispose();
            Check.Throws<ObjectDisposedException>(() => sandbox.Slots());
        }
    }
}
