// Prints what C# reads of each reply: Replies.exe CONFIG CASES, as replies.c does, and after another tab an object with
// the value of each property of the reply's type. It performs all cases twice: by the methods, and by those with "Async".
using System;
using System.Collections;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Reflection;
using System.Threading.Tasks;
using FloatLease;

internal static class Replies
{
    private static int Main(string[] arguments)
    {
        string[] cases = File.ReadAllLines(arguments[1]);
        using (TextWriter lines = new StreamWriter(Console.OpenStandardOutput()))
        {
            foreach (bool isAsync in new[] { false, true })
            {
                using (var client = new Client(arguments[0]))
                {
                    foreach (string one in cases)
                    {
                        string[] parts = one.Split('\t');
                        lines.WriteLine(Line(() => Perform(client, parts[0], parts[1], isAsync).GetAwaiter().GetResult()));
                    }
                }
            }
        }
        return 0;
    }

    // Any exception that is not the binding's own ends the program, and fails the test.
    private static string Line(Func<Reply> perform)
    {
        try
        {
            Reply reply = perform();
            return "OK\t" + reply.Json + "\t" + Read(reply);
        }
        catch (FloatLeaseException failure)
        {
            return failure.Name + "\t" + failure.Json + "\tnull";
        }
    }

    private static async Task<Reply> Perform(Client client, string operation, string json, bool isAsync)
    {
        if (operation == "lease_acquire")
        {
            LeaseRequest request = LeaseRequest.Parse(json);
            using (Lease lease = isAsync ? await client.AcquireLeaseAsync(request) : client.AcquireLease(request))
            {
                LeaseInfo info = lease.Info();
                if (isAsync) await lease.ReleaseAsync();
                else lease.Release();
                return info;
            }
        }
        return isAsync ? await PerformAsync(client, operation, json) : Perform(client, operation, json);
    }

    private static Reply Perform(Client client, string operation, string json)
    {
        switch (operation)
        {
            case "activate_license": return client.ActivateLicense(Filled(new ActivationRequest(), json));
            case "check_license": return client.CheckLicense(Filled(new CheckRequest(), json));
            case "borrow_license": return client.BorrowLicense(Filled(new BorrowRequest(), json));
            case "check_feature": return client.CheckFeature(Filled(new FeatureRequest(), json));
            case "borrow_feature": return client.BorrowFeature(Filled(new BorrowRequest(), json));
            case "add_consumption": return client.AddConsumption(Filled(new ConsumptionRequest(), json));
            case "add_feature_consumption": return client.AddFeatureConsumption(Filled(new ConsumptionRequest(), json));
            case "product_details": return client.ProductDetails(Filled(new ProductRequest(), json));
            case "trial_key": return client.TrialKey(Filled(new TrialRequest(), json));
            case "versions": return client.Versions(Filled(new VersionsRequest(), json));
            case "installation_file": return client.InstallationFile(Filled(new InstallationFileRequest(), json));
            case "device_licenses": return client.DeviceLicenses(Filled(new Request(), json));
            case "get_device_variables": return client.GetDeviceVariables(Filled(new Request(), json));
            case "track_device_variables":
                return client.TrackDeviceVariables(Filled(new DeviceVariablesRequest(), json));
            case "user_licenses": return client.UserLicenses(Filled(new Request(), json));
            case "sso_url": return client.SsoUrl(Filled(new SsoUrlRequest(), json));
            case "check_bundle": return client.CheckBundle(Filled(new CheckRequest(), json));
            default: throw new ArgumentException(operation);
        }
    }

    private static async Task<Reply> PerformAsync(Client client, string operation, string json)
    {
        switch (operation)
        {
            case "activate_license": return await client.ActivateLicenseAsync(Filled(new ActivationRequest(), json));
            case "check_license": return await client.CheckLicenseAsync(Filled(new CheckRequest(), json));
            case "borrow_license": return await client.BorrowLicenseAsync(Filled(new BorrowRequest(), json));
            case "check_feature": return await client.CheckFeatureAsync(Filled(new FeatureRequest(), json));
            case "borrow_feature": return await client.BorrowFeatureAsync(Filled(new BorrowRequest(), json));
            case "add_consumption": return await client.AddConsumptionAsync(Filled(new ConsumptionRequest(), json));
            case "add_feature_consumption":
                return await client.AddFeatureConsumptionAsync(Filled(new ConsumptionRequest(), json));
            case "product_details": return await client.ProductDetailsAsync(Filled(new ProductRequest(), json));
            case "trial_key": return await client.TrialKeyAsync(Filled(new TrialRequest(), json));
            case "versions": return await client.VersionsAsync(Filled(new VersionsRequest(), json));
            case "installation_file":
                return await client.InstallationFileAsync(Filled(new InstallationFileRequest(), json));
            case "device_licenses": return await client.DeviceLicensesAsync(Filled(new Request(), json));
            case "get_device_variables": return await client.GetDeviceVariablesAsync(Filled(new Request(), json));
            case "track_device_variables":
                return await client.TrackDeviceVariablesAsync(Filled(new DeviceVariablesRequest(), json));
            case "user_licenses": return await client.UserLicensesAsync(Filled(new Request(), json));
            case "sso_url": return await client.SsoUrlAsync(Filled(new SsoUrlRequest(), json));
            case "check_bundle": return await client.CheckBundleAsync(Filled(new CheckRequest(), json));
            default: throw new ArgumentException(operation);
        }
    }

    private static T Filled<T>(T request, string json) where T : Request
    {
        foreach (KeyValuePair<string, JsonValue> member in JsonValue.Parse(json).Members)
        {
            request.Members[member.Key] = member.Value;
        }
        return request;
    }

    private static JsonValue Read(Reply reply)
    {
        JsonValue properties = JsonValue.NewObject();
        foreach (PropertyInfo property in reply.GetType().GetProperties())
        {
            if (property.Name == "Json" || property.Name == "Members") continue;
            properties[property.Name] = Value(property.GetValue(reply, null));
        }
        return properties;
    }

    private static JsonValue Value(object value)
    {
        if (value == null) return JsonValue.Null;
        if (value is Reply) return Read((Reply)value);
        if (value is JsonValue) return (JsonValue)value;
        if (value is string) return (string)value;
        if (value is long) return (long)value;
        if (value is bool) return (bool)value;
        var list = value as IEnumerable;
        if (list == null) return Convert.ToString(value, CultureInfo.InvariantCulture);
        var items = new List<JsonValue>();
        foreach (object item in list) items.Add(Value(item));
        return JsonValue.NewArray(items);
    }
}
