using System;
using System.Threading.Tasks;

namespace FloatLease.Tests
{
    internal static class VerbTests
    {
        public static void Every_verb_answers_with_its_type()
        {
            using (Sandbox sandbox = Sandbox.Start())
            using (var client = new Client(sandbox.ClientConfig("desk")))
            {
                LicenseReply license = client.ActivateLicense();
                Check.That(license.IsFloating && license.Id > 1000000000000, license.Json);
                Check.Equal("CADP-FLOA-TING-0002", license.LicenseKey);
                Check.Equal(2L, license.FloatingUsers.Value);
                Check.Equal("MESH", license.Features[0].Code);
                Check.Equal(1L, client.CheckLicense().FloatingInUseDevices.Value);
                BorrowReply borrow = client.BorrowLicense(new BorrowRequest { Timeout = TimeSpan.FromSeconds(9) });
                Check.That(borrow.BorrowedUntil > DateTimeOffset.UtcNow && borrow.LicenseId == license.Id, borrow.Json);
                Check.That(client.CheckLicense().IsBorrowed, "borrowed");
                Check.Equal("{}", client.ReleaseLicense().Json);
                FeatureReply feature = client.CheckFeature(new FeatureRequest("MESH"));
                Check.That(feature.Code == "MESH" && feature.FloatingTimeoutMinutes == 60 && feature.CanBorrow, feature.Json);
                borrow = client.BorrowFeature(new BorrowRequest { Feature = "MESH" });
                Check.Equal(12L, borrow.MaxBorrowTimeHours.Value);
                client.ReleaseFeature(new FeatureRequest("MESH"));
                var five = new ConsumptionRequest { Feature = "RENDER-MINUTES", Consumptions = 5 };
                Check.Equal(5L, client.AddFeatureConsumption(five).TotalConsumptions.Value);
                Check.Equal("CAD-PRO", client.ProductDetails().ShortCode);
                Check.Equal("license_deactivated", client.DeactivateLicense().Message);
                Check.That(client.Diagnose().IsOk && client.Diagnose().Checks.Count > 5, client.Diagnose().Json);
            }
        }

        public static void Every_verb_does_the_same_in_the_background()
        {
            InTheBackground().GetAwaiter().GetResult();
        }

        private static async Task InTheBackground()
        {
            using (Sandbox sandbox = Sandbox.Start())
            using (var client = new Client(sandbox.ClientConfig("desk")))
            {
                Check.That((await client.ActivateLicenseAsync()).IsFloating, "floating");
                Check.Equal(1L, (await client.CheckLicenseAsync()).FloatingInUseDevices.Value);
                Check.That((await client.BorrowLicenseAsync()).BorrowedUntil != null, "borrowed");
                Check.Equal("{}", (await client.ReleaseLicenseAsync()).Json);
                Check.Equal("MESH", (await client.CheckFeatureAsync(new FeatureRequest("MESH"))).Code);
                Check.That((await client.BorrowFeatureAsync(new BorrowRequest { Feature = "MESH" })).LicenseId > 0, "id");
                await client.ReleaseFeatureAsync(new FeatureRequest("MESH"));
                var five = new ConsumptionRequest { Feature = "RENDER-MINUTES", Consumptions = 5 };
                Check.Equal(5L, (await client.AddFeatureConsumptionAsync(five)).TotalConsumptions.Value);
                Check.Equal("CAD-PRO", (await client.ProductDetailsAsync()).ShortCode);
                Check.Equal("license_deactivated", (await client.DeactivateLicenseAsync()).Message);
                var counting = new ActivationRequest { LicenseKey = "CADP-CONS-UMPT-0100" };
                await client.ActivateLicenseAsync(counting);
                var three = new ConsumptionRequest { LicenseKey = "CADP-CONS-UMPT-0100", Consumptions = 3 };
                Check.Equal(3L, (await client.AddConsumptionAsync(three)).TotalConsumptions.Value);
            }
        }

        public static void A_lease_is_taken_renewed_borrowed_and_given_back()
        {
            using (var folder = new Folder())
            using (Sandbox sandbox = Sandbox.Start())
            {
                ClientConfig config = sandbox.ClientConfig("desk");
                config.StorageDir = folder.Path;
                using (var client = new Client(config))
                {
                    client.ActivateLicense();
                    using (Lease lease = client.AcquireLease(new LeaseRequest("MESH")))
                    {
                        Check.That(lease.State == LeaseState.Active && lease.IsLicensed, lease.State.ToString());
                        Check.That(lease.Remaining > TimeSpan.FromMinutes(60), lease.Remaining.ToString());
                        LeaseInfo info = lease.Info();
                        Check.That(info.State == LeaseState.Active && info.Number == lease.Number, info.Json);
                        Check.Equal("MESH", info.Slots[0]["feature"].Text);
                        Check.That(info.RenewsIn > TimeSpan.FromMinutes(20) && info.Status == Status.Ok, info.Json);
                        Check.Equal(LeaseState.Active, lease.Renew().State);
                        Check.That(lease.Borrow().BorrowedUntil > DateTimeOffset.UtcNow, "borrowed");
                        Check.Equal(LeaseState.Borrowed, lease.State);
                        Check.Equal(LeaseState.Released, lease.Release().State);
                        Check.That(!lease.IsLicensed && lease.State == LeaseState.Released, "released");
                        Check.Equal(Status.LeaseOver, Check.Throws<FloatLeaseException>(() => lease.Renew()).Status);
                    }
                }
            }
        }

        public static void Consumption_without_a_network_waits_and_is_booked_later()
        {
            using (var folder = new Folder())
            using (Sandbox sandbox = Sandbox.Start())
            {
                ClientConfig config = sandbox.ClientConfig("desk");
                config.StorageDir = folder.Path;
                using (var client = new Client(config))
                {
                    client.ActivateLicense();
                    sandbox.Fault("{\"do\":{\"before\":\"refuse\"}}");
                    ConsumptionReply waits = client.AddFeatureConsumption(
                        new ConsumptionRequest { Feature = "RENDER-MINUTES", Consumptions = 2, Offline = "queue" });
                    Check.That(waits.IsQueued && waits.Reason.Length > 0 && waits.IdempotencyKey.Length > 0, waits.Json);
                    Check.Equal(1L, waits.QueuedConsumptions.Value);
                    sandbox.ClearFaults();
                    SyncReply booked = client.SyncConsumptions();
                    Check.That(booked.Booked == 1 && booked.Waiting == 0 && booked.Refused.Count == 0, booked.Json);
                    Check.Equal(Status.Ok, booked.Status);
                }
            }
        }
    }
}
