// floatlease quick start: take, borrow and give back a floating license and a floating feature, count consumption, and
// see what happens when every slot is taken.
//
//     make demo                                          builds and runs this against a server of its own
//     dotnet run --project Quickstart.csproj             with the .NET SDK, beside a server
//
// FLOATLEASE_CONFIG holds the client's configuration as one JSON object; a product would have its own in the code:
//
//     new Client(new ClientConfig { Product = "XY", LicenseKey = "AAAA-BBBB-CCCC-DDDD", ApiKey = "…", SharedKey = "…" })
using System;
using FloatLease;

internal static class Quickstart
{
    private static int Main()
    {
        Console.WriteLine("floatlease " + Library.Version);
        using (var client = new Client(Setting("FLOATLEASE_CONFIG")))
        {
            ASlotOfTheLicense(client);
            TheSameWithAFeature(client, Setting("FLOATLEASE_FEATURE"));
            Consumption(client, Setting("FLOATLEASE_CONSUMPTION_FEATURE"), Setting("FLOATLEASE_CONSUMPTION_LICENSE_KEY"));
            bool refused = ColleaguesTakeAllSlots(client);
            OneGoesHome(client);
            Console.WriteLine(refused ? "\nDone." : "\nNobody was refused: see above.");
            return refused ? 0 : 1;
        }
    }

    private static void ASlotOfTheLicense(Client client)
    {
        Console.WriteLine("\nA slot of the license, borrowed for a trip and given back:");
        Print("activate_license", "device " + client.ActivateLicense().DeviceId);
        LicenseReply license = client.CheckLicense();
        Print("check_license", license.FloatingInUseDevices + " of " + license.FloatingUsers + " slots in use");
        Print("borrow_license", $"until {client.BorrowLicense().BorrowedUntil:s}Z");
        client.ReleaseLicense();
        Print("release_license", "");
    }

    private static void TheSameWithAFeature(Client client, string code)
    {
        Console.WriteLine("\nThe same with a feature of the license:");
        FeatureReply feature = client.CheckFeature(new FeatureRequest(code));
        Print("check_feature", feature.FloatingInUseDevices + " of " + feature.FloatingUsers + " slots in use");
        var twoHours = new BorrowRequest { Feature = code, BorrowedUntil = DateTimeOffset.UtcNow.AddHours(2) };
        Print("borrow_feature", $"until {client.BorrowFeature(twoHours).BorrowedUntil:s}Z");
        client.ReleaseFeature(new FeatureRequest(code));
        Print("release_feature", "");
    }

    private static void Consumption(Client client, string feature, string licenseKey)
    {
        Console.WriteLine("\nConsumption, on a feature and on a license that counts:");
        ConsumptionReply counted =
            client.AddFeatureConsumption(new ConsumptionRequest { Feature = feature, Consumptions = 5 });
        Print("add_feature_consumption", counted.TotalConsumptions + " of " + counted.MaxConsumptions);
        client.ActivateLicense(new ActivationRequest { LicenseKey = licenseKey });
        counted = client.AddConsumption(new ConsumptionRequest { LicenseKey = licenseKey, Consumptions = 3 });
        Print("add_consumption", counted.TotalConsumptions + " of " + counted.MaxConsumptions);
    }

    private static bool ColleaguesTakeAllSlots(Client client)
    {
        Console.WriteLine("\nColleagues take slots until none is left:");
        for (int number = 1; number <= 100; number++)
        {
            string colleague = "office-" + number;
            client.ActivateLicense(new ActivationRequest { HardwareId = colleague });
            try
            {
                client.CheckLicense(new CheckRequest { HardwareId = colleague });
                Print("check_license", colleague + " has a slot");
            }
            catch (FloatLeaseException refused) when (refused.Status == Status.FloatingNotAvailable)
            {
                Print("check_license", colleague + " is refused: " + refused.Name);
                Console.WriteLine("      what happened: " + refused.Message);
                Console.WriteLine("      what to do:    " + refused.Advice);
                return true;
            }
        }
        return false;
    }

    private static void OneGoesHome(Client client)
    {
        Console.WriteLine("\nOne of them goes home, and this machine gets the slot:");
        client.ReleaseLicense(new Request { HardwareId = "office-1" });
        Print("release_license", "office-1");
        Print("check_license", client.CheckLicense().FloatingInUseDevices + " slots in use");
        Print("deactivate_license", client.DeactivateLicense().Message);
    }

    private static void Print(string what, string result) => Console.WriteLine("  {0,-24} ok  {1}", what, result);

    private static string Setting(string name)
    {
        string value = Environment.GetEnvironmentVariable(name);
        if (value != null) return value;
        Console.Error.WriteLine(name + " is not set; run this by: floatlease-server exec -- dotnet run");
        Environment.Exit(2);
        return null;
    }
}
