using System;
using System.Threading;
using System.Threading.Tasks;

namespace FloatLease.Tests
{
    // The operations about products, devices, bundles and users.
    internal static class OperationTests
    {
        public static void Versions_and_files_of_a_product_are_found()
        {
            using (var world = new World())
            {
                Client client = world.Client;
                ProductReply product = client.ProductDetails(new ProductRequest { IncludeLatestVersion = true });
                Check.That(product.AllowsTrial && product.TrialDays == 30, product.Json);
                Check.Equal("1.0.0", product.LatestVersion.Version);
                Check.Equal(null, client.ProductDetails().LatestVersion);
                VersionsReply versions = client.Versions(new VersionsRequest { Environment = "win64" });
                Check.Equal(2, versions.Versions.Count);
                Check.Equal("1.0.0", versions.Versions[0].Version);
                Check.Equal(new DateTimeOffset(2025, 6, 1, 0, 0, 0, TimeSpan.Zero), versions.Versions[1].ReleaseDate.Value);
                InstallationFileReply file = client.InstallationFile(new InstallationFileRequest { Environment = "win64" });
                Check.Equal("https://example.com/cad-pro-1.0.0.exe", file.InstallationFile);
                Check.Equal(48000000L, file.SizeBytes.Value);
                Check.Equal("0.9.0", file.RequiresVersion);
                var old = new InstallationFileRequest { Version = "7" };
                Check.Equal(Status.VersionNotFound,
                    Check.Throws<FloatLeaseException>(() => client.InstallationFile(old)).Status);
            }
        }

        public static void A_device_gets_one_trial_and_activates_it()
        {
            using (var world = new World())
            {
                TrialReply first = world.Client.TrialKey();
                Check.That(first.IsTrial && first.TrialDays == 30 && first.LicenseType == "time-limited", first.Json);
                Check.That(Math.Abs((first.CreatedAt.Value - DateTimeOffset.UtcNow).TotalHours) < 1, first.Json);
                TrialReply again = world.Client.TrialKey();
                Check.Equal(first.License, again.License);
                Check.Equal(null, again.TrialDays);
                var request = new ActivationRequest { LicenseKey = first.License };
                Check.That(world.Client.ActivateLicense(request).IsTrial, "it is a trial");
                Check.Equal(2, world.Client.DeviceLicenses().Licenses.Count);
            }
        }

        public static void Values_of_a_device_are_kept_as_texts()
        {
            using (var world = new World())
            {
                JsonValue values = JsonValue.NewObject();
                values["room"] = 12;
                var request = new DeviceVariablesRequest { Variables = values };
                DeviceVariable tracked = world.Client.TrackDeviceVariables(request).Variables[0];
                DeviceVariable kept = world.Client.GetDeviceVariables().Variables[0];
                Check.Equal("room 12", tracked.Name + " " + tracked.Value);
                Check.Equal("room 12", kept.Name + " " + kept.Value);
                Check.Equal(tracked.DeviceId, kept.DeviceId);
                // One comes as milliseconds, and the other as a date.
                Check.That(tracked.CreatedAt != null, tracked.Json);
                Check.Equal(tracked.CreatedAt, kept.CreatedAt);
                FloatLeaseException missing =
                    Check.Throws<FloatLeaseException>(() => world.Client.TrackDeviceVariables(new DeviceVariablesRequest()));
                Check.Equal(Status.MissingKey, missing.Status);
            }
        }

        public static void A_bundle_is_activated_checked_and_deactivated()
        {
            using (var world = new World())
            {
                LicensesReply activated = world.Client.ActivateBundle(new ActivationRequest { Product = "SUITE" });
                Check.Equal("CADP-FLOA-TING-0002", activated.Licenses[0].LicenseKey);
                LicensesReply bundle = world.Client.CheckBundle(new CheckRequest { Product = "SUITE" });
                Check.Equal(1L, bundle.Licenses[0].FloatingInUseDevices.Value);
                EmptyReply end = world.Client.DeactivateBundle(new DeactivationRequest { Product = "SUITE" });
                Check.Equal("license_deactivated", end.Message);
                Check.Equal(Status.DeviceNotFound,
                    Check.Throws<FloatLeaseException>(() => world.Client.CheckLicense()).Status);
            }
        }

        public static void A_user_finds_licenses_and_changes_the_password()
        {
            using (var world = new World())
            {
                UserLicense owned = world.Client.UserLicenses(Ada("correct-horse")).Licenses[0];
                Check.Equal(7001L, owned.License.Id.Value);
                Check.That(owned.License.IsFloating && owned.User.IsInitialPassword, owned.Json);
                Check.Equal("ada@example.com", owned.User.Email);
                SsoUrlReply place = world.Client.SsoUrl(SignOn());
                Check.Holds("response_type=token", place.Url);
                Check.Equal("https://id.example.com/realms/example", place.OpenidConfiguration.Issuer);
                Check.Equal(2, place.AlternateUrls.Count);
                Check.Equal("password_changed", world.Client.ChangePassword(BetterHorse()).Message);
                Check.Equal(Status.LicenseNotFound,
                    Check.Throws<FloatLeaseException>(() => world.Client.UserLicenses(Ada("correct-horse"))).Status);
                Check.That(!world.Client.UserLicenses(Ada("better-horse")).Licenses[0].User.IsInitialPassword, "changed");
            }
        }

        public static void The_operations_do_the_same_in_the_background()
        {
            InTheBackground().GetAwaiter().GetResult();
        }

        private static async Task InTheBackground()
        {
            using (var world = new World())
            {
                Client client = world.Client;
                Check.Equal("1.0.0", (await client.VersionsAsync()).Versions[0].Version);
                Check.Equal("1.0.0", (await client.InstallationFileAsync()).Version);
                Check.That((await client.TrialKeyAsync()).IsTrial, "a trial");
                Check.Equal(1, (await client.DeviceLicensesAsync()).Licenses.Count);
                JsonValue values = JsonValue.NewObject();
                values["room"] = 12;
                var request = new DeviceVariablesRequest { Variables = values };
                Check.Equal("12", (await client.TrackDeviceVariablesAsync(request)).Variables[0].Value);
                Check.Equal("12", (await client.GetDeviceVariablesAsync()).Variables[0].Value);
                Check.Equal(1, (await client.UserLicensesAsync(Ada("correct-horse"))).Licenses.Count);
                Check.Holds("response_type=token", (await client.SsoUrlAsync(SignOn())).Url);
                Check.Equal("password_changed", (await client.ChangePasswordAsync(BetterHorse())).Message);
                Check.Equal(1, (await client.ActivateBundleAsync(new ActivationRequest { Product = "SUITE" })).Licenses.Count);
                Check.Equal(1, (await client.CheckBundleAsync(new CheckRequest { Product = "SUITE" })).Licenses.Count);
                EmptyReply end = await client.DeactivateBundleAsync(new DeactivationRequest { Product = "SUITE" });
                Check.Equal("license_deactivated", end.Message);
                var cancelled = new CancellationToken(true);
                Check.Throws<FloatLeaseCanceledException>(() => client.VersionsAsync(null, cancelled).GetAwaiter().GetResult());
            }
        }

        private static Request Ada(string password) =>
            new Request { Product = "STUDIO", Username = "ada@example.com", Password = password };

        private static PasswordRequest BetterHorse() =>
            new PasswordRequest { Username = "ada@example.com", Password = "correct-horse", NewPassword = "better-horse" };

        private static SsoUrlRequest SignOn() =>
            new SsoUrlRequest { Product = "STUDIO", CustomerAccountCode = "EXAMPLE", ResponseType = "token" };
    }
}
