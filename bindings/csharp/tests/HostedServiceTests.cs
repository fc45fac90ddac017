using System;
using System.Collections.Generic;
using System.Reflection;
using System.Threading;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace FloatLease.Tests
{
    internal static class HostedServiceTests
    {
        private sealed class Host : IHostApplicationLifetime, ILogger<LicenseService>
        {
            internal readonly List<string> Said = new List<string>();
            internal volatile bool IsStopping;

            public CancellationToken ApplicationStarted => CancellationToken.None;

            public CancellationToken ApplicationStopping => CancellationToken.None;

            public CancellationToken ApplicationStopped => CancellationToken.None;

            public void StopApplication() => IsStopping = true;

            public void Log(string level, string text)
            {
                lock (Said) Said.Add(level + ": " + text);
            }
        }

        private static bool Heard(Host host, string name)
        {
            lock (host.Said) return host.Said.Exists(said => said.Contains(name));
        }

        public static void The_hosted_service_holds_a_slot_from_the_hosts_start_to_its_end()
        {
            var host = new Host();
            using (Sandbox sandbox = Sandbox.Start())
            using (var service = new LicenseService(sandbox.ClientConfig("service"), host, host))
            {
                Check.That(!service.IsLicensed, "not yet");
                service.StartAsync(CancellationToken.None).Wait();
                Check.That(service.IsLicensed && sandbox.Slots().Items.Count == 1, "held");
                service.StopAsync(CancellationToken.None).Wait();
                Check.That(!service.IsLicensed && sandbox.Slots().Items.Count == 0, "given back");
                Check.That(!host.IsStopping, "nobody asked it to stop");
            }
        }

        public static void The_host_is_stopped_when_the_license_is_lost()
        {
            var host = new Host();
            using (Sandbox sandbox = Sandbox.Start())
            using (var service = new LicenseService(sandbox.ClientConfig("service"), host, host))
            {
                service.StartAsync(CancellationToken.None).Wait();
                sandbox.Fault("{\"do\":{\"before\":{\"code\":\"license_expired\"}}}");
                service.StopAsync(new CancellationToken(true)).Wait();
                Check.Holds("warning: The license was not given back", host.Said[host.Said.Count - 1]);
                Check.That(service.IsLicensed && !host.IsStopping, "still held");
                // Its clock is the client's, which the service keeps to itself.
                FieldInfo field = typeof(LicenseService).GetField("client", BindingFlags.Instance | BindingFlags.NonPublic);
                var client = (Client)field.GetValue(service);
                client.AdvanceClock(TimeSpan.FromMinutes(73));
                Check.Soon(() => Heard(host, "GRACE_STARTED"), "GRACE_STARTED");
                client.AdvanceClock(TimeSpan.FromMinutes(6));
                Check.Soon(() => host.IsStopping, "it is stopped");
                Check.That(!service.IsLicensed, "lost");
            }
        }
    }
}
