using System;

namespace FloatLease.Tests
{
    internal static class RequestTests
    {
        public static void A_request_says_what_was_set_and_nothing_else()
        {
            Check.Equal("{}", new LeaseRequest().ToJson());
            var request = new LeaseRequest("MESH", "SOLVER")
            {
                Grace = TimeSpan.FromMinutes(5), Wait = TimeSpan.FromSeconds(1.5), Timeout = TimeSpan.FromTicks(1),
                LicenseId = 9007199254740993,
            };
            request.Members["brand_new"] = true;
            Check.Equal("{\"features\":[\"MESH\",\"SOLVER\"],\"grace_ms\":300000,\"wait_ms\":1500,\"timeout_ms\":1,"
                + "\"license_id\":9007199254740993,\"brand_new\":true}", request.ToJson());
            Check.Equal(TimeSpan.FromMinutes(5), request.Grace.Value);
            Check.Equal("SOLVER", request.Features[1]);
            request.Features = null;
            request.Grace = null;
            request.Wait = null;
            request.Timeout = null;
            request.LicenseId = null;
            Check.Equal("{\"brand_new\":true}", request.ToJson());
        }

        public static void Every_property_has_the_key_that_the_library_knows()
        {
            // The library refuses a key that it does not know, so it is asked; it gets no further than the mistake.
            using (Sandbox sandbox = Sandbox.Start())
            using (var client = new Client(sandbox.ClientConfig("desk")))
            {
                var device = new CheckRequest
                {
                    OsVersion = "1", Hostname = "h", OsHostname = "h", Ip = "127.0.0.1", LocalIp = "127.0.0.1",
                    MacAddress = "0", AppVersion = "1", IsVirtualMachine = false, VirtualMachineInfo = "-",
                    IncludeExpiredFeatures = true, Environment = "e", Channel = "c", Product = "CAD-PRO",
                    BundleCode = "b", SdkVersion = "s", Timeout = TimeSpan.FromSeconds(9), Extra = JsonValue.NewObject(),
                };
                IsKnown(() => client.CheckLicense(device));
                IsKnown(() => client.ActivateLicense(new ActivationRequest
                {
                    Variables = JsonValue.NewObject(), IdempotencyKey = "k-1", LicenseId = null,
                }));
                IsKnown(() => client.DeactivateLicense(new DeactivationRequest { Variables = JsonValue.NewObject() }));
                IsKnown(() => client.BorrowFeature(new BorrowRequest { Feature = "MESH", BorrowedUntil = DateTimeOffset.Now }));
                IsKnown(() => client.CheckFeature(new FeatureRequest("MESH") { IncludeMetadataString = true }));
                IsKnown(() => client.AddConsumption(new ConsumptionRequest
                {
                    Consumptions = 1, MaxOverages = 1, AllowOverages = true, Events = new[] { "e" }, IgnoreEvents = true,
                }));
                IsKnown(() => client.ProductDetails(new ProductRequest
                {
                    IncludeLatestVersion = true, IncludeCustomFields = true, Environment = "e", Channel = "c",
                }));
                IsKnown(() => client.TrialKey(new TrialRequest
                {
                    LicensePolicy = "p", Email = "e", FirstName = "f", LastName = "l", Phone = "1", Address = "a",
                    Postcode = "1", State = "s", Country = "c", City = "c", Reference = "r", CompanyName = "c",
                }));
                IsKnown(() => client.InstallationFile(new InstallationFileRequest
                {
                    Environment = "win64", Channel = "c", Version = "1",
                }));
                IsKnown(() => client.TrackDeviceVariables(new DeviceVariablesRequest
                {
                    Variables = JsonValue.NewObject(), IdempotencyKey = "k-1",
                }));
                IsKnown(() => client.ChangePassword(new PasswordRequest { Username = "u", Password = "p", NewPassword = "n" }));
                IsKnown(() => client.SsoUrl(new SsoUrlRequest
                {
                    CustomerAccountCode = "a", RedirectUri = "r", ResponseType = "code",
                }));
                var credentials = new Request { Username = "u", Password = "p" };
                IsKnown(() => client.Call("activate_license", credentials.ToJson()));
                var single = new Request
                {
                    IdToken = "i", CustomerAccountCode = "a", RedirectUri = "r", Code = "c", LicenseKey = "l",
                };
                IsKnown(() => client.Call("activate_license", single.ToJson()));
                IsKnown(() => client.AcquireLease(new LeaseRequest
                {
                    Feature = "NONE", KeepAlive = "host", Grace = TimeSpan.Zero, BorrowEndingHours = 1,
                    Wait = TimeSpan.Zero, ReleaseOnClose = TimeSpan.Zero, Tag = "ß", Activate = true,
                }));
                ClientConfig config = sandbox.ClientConfig("desk");
                config.Verify = "off";
                config.Timeout = TimeSpan.FromSeconds(9);
                config.ConnectTimeout = TimeSpan.FromSeconds(2);
                config.Proxy = "none";
                config.TlsRoots = "platform";
                config.AllowHttp = false;
                config.StorageDir = System.IO.Path.GetTempPath();
                config.AppName = "a";
                config.AppVersion = "1";
                config.BundleCode = "b";
                config.LicenseId = 7;
                new Client(config).Dispose();
                config.LicenseKey = null;
                config.CustomerAccountCode = "a";
                config.Code = "c";
                config.RedirectUri = "r";
                new Client(config).Dispose();
                config.Code = config.RedirectUri = null;
                config.IdToken = "i";
                new Client(config).Dispose();
            }
        }

        public static void A_text_with_a_NUL_or_half_a_character_is_refused_with_a_sentence()
        {
            Check.Holds("NUL", Check.Throws<ArgumentException>(() => Utf8.ToNative("a\0b")).Message);
            Check.Throws<ArgumentException>(() => Utf8.ToNative("\ud83d"));
            Check.Equal(null, Utf8.ToNative(null));
            byte[] bytes = Utf8.ToNative("é");
            Check.Equal("195 169 0", string.Join(" ", bytes));
        }

        public static void A_config_does_not_show_its_secrets_by_itself()
        {
            var config = new ClientConfig { SharedKey = "swordfish" };
            Check.That(!config.ToString().Contains("swordfish"), config.ToString());
            Check.Holds("swordfish", config.ToJson());
            Check.Throws<FormatException>(() => ClientConfig.Parse("[]"));
        }

        private static void IsKnown(Action call)
        {
            try
            {
                call();
            }
            catch (FloatLeaseException refused)
            {
                Check.That(refused.Status != Status.UnknownKey && refused.Status != Status.WrongType, refused.Message);
            }
        }
    }
}
