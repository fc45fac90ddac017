// Performs scenarios (tests/scenarios/README.md) through the C# binding, as a program of a user would:
//
//     Driver.exe FILE.json...
//
// prints "ok TITLE" or "FILE: step N (…): expected …, got …" for each, and ends with 1 if any came out otherwise.
using System;
using System.Collections.Generic;
using System.IO;
using System.Threading;
using System.Threading.Tasks;
using FloatLease;

internal static class Driver
{
    private static int Main(string[] files)
    {
        int wrong = 0;
        foreach (string file in files)
        {
            JsonValue scenario = JsonValue.Parse(File.ReadAllText(file));
            using (var performance = new Performance(scenario["sandbox"]))
            {
                string differs = performance.Perform(scenario["steps"].Items);
                if (differs != null) wrong++;
                string name = Path.GetFileNameWithoutExtension(file);
                Console.WriteLine(differs == null ? "ok " + scenario["title"].Text : name + ": " + differs);
            }
        }
        return wrong == 0 ? 0 : 1;
    }
}

// The outcome of a step.
internal sealed class Came
{
    internal readonly string Status;
    internal readonly JsonValue Json;

    internal Came(string status, string json)
    {
        Status = status;
        Json = JsonValue.Parse(json);
    }

    internal static Came Of(Func<string> perform)
    {
        try
        {
            return new Came("OK", perform());
        }
        catch (FloatLeaseException failure)
        {
            return new Came(failure.Name, failure.Json);
        }
        catch (FloatLeaseCanceledException cancelled)
        {
            return new Came(cancelled.Failure.Name, cancelled.Json);
        }
    }
}

// A step that can't be performed, or waited too long.
internal sealed class Differs : Exception
{
    internal Differs(string message) : base(message)
    {
    }
}

// A submitted call: its reply, and what cancels it.
internal sealed class Submitted
{
    internal readonly CancellationTokenSource Cancellation = new CancellationTokenSource();
    internal Task<string> Reply;
    internal Task<Lease> Lease;

    internal Task Task => (Task)Reply ?? Lease;
}

internal sealed class Performance : IDisposable
{
    private static readonly TimeSpan LongestWait = TimeSpan.FromSeconds(20);
    private static readonly string[] Arguments = { "client", "lease", "request", "config", "as", "status", "json" };

    private readonly Sandbox sandbox;
    private readonly string folder = Path.Combine(Path.GetTempPath(), "floatlease-" + Guid.NewGuid().ToString("N"));
    private readonly Dictionary<string, Client> clients = new Dictionary<string, Client>();
    private readonly Dictionary<string, Lease> leases = new Dictionary<string, Lease>();
    private readonly Dictionary<string, Submitted> submitted = new Dictionary<string, Submitted>();
    private readonly Dictionary<Client, List<ClientEvent>> events = new Dictionary<Client, List<ClientEvent>>();

    internal Performance(JsonValue options)
    {
        sandbox = Sandbox.Start(SandboxOptions.Parse(options.IsNull ? "{}" : options.ToString()));
        Directory.CreateDirectory(folder);
    }

    public void Dispose()
    {
        foreach (Client client in clients.Values) client.Dispose();
        sandbox.Dispose();
        Directory.Delete(folder, true);
    }

    // Returns how the outcome differs from the scenario, or null.
    internal string Perform(IReadOnlyList<JsonValue> steps)
    {
        for (int number = 1; number <= steps.Count; number++)
        {
            JsonValue step = steps[number - 1];
            string differs;
            try
            {
                Came came = Perform(step);
                string expected = step["status"].Text ?? "OK";
                differs = came.Status != expected ? "expected " + expected + ", got " + came.Status + " " + came.Json
                    : step["json"].IsNull ? null
                    : Fit.Unfit("json", step["json"], came.Json);
            }
            catch (Differs exception)
            {
                differs = exception.Message;
            }
            if (differs != null) return "step " + number + " (" + step + "): " + differs;
        }
        return null;
    }

    private Came Perform(JsonValue step)
    {
        KeyValuePair<string, JsonValue> action = ActionOf(step);
        string name = action.Value.Text;
        switch (action.Key)
        {
            case "open": return Came.Of(() => Open(name, step["config"]));
            case "close": return Came.Of(() => Close(name));
            case "call": return Came.Of(() => Verbs.Call(ClientOf(step), name, Request(step)));
            case "acquire": return Came.Of(() => Keep(name, ClientOf(step).AcquireLease(LeaseRequest.Parse(Request(step)))));
            case "info": return Came.Of(() => LeaseOf(name).Info().Json);
            case "renew": return Came.Of(() => LeaseOf(name).Renew().Json);
            case "release": return Came.Of(() => LeaseOf(name).Release().Json);
            case "borrow": return Came.Of(() => LeaseOf(name).Borrow(BorrowRequest.Parse(Request(step))).Json);
            case "free": return Came.Of(() => Free(name));
            case "state": return Came.Of(() => WaitForState(name, LeaseOf(step["lease"].Text)));
            case "submit": return Came.Of(() => Submit(name, step));
            case "cancel": return Came.Of(() => Cancel(name));
            case "completed": return Came.Of(() => Completed(SubmittedOf(name), step["lease"].Text));
            case "event": return Came.Of(() => WaitForEvent(name, ClientOf(step)));
            case "advance_ms": return Came.Of(() => Advance(action.Value.Int64.Value));
            case "control": return Came.Of(() => sandbox.Control(name, step["request"].IsNull ? null : Request(step)).ToString());
            default: throw new Differs("there is no such step");
        }
    }

    private static KeyValuePair<string, JsonValue> ActionOf(JsonValue step)
    {
        foreach (KeyValuePair<string, JsonValue> member in step.Members)
        {
            if (Array.IndexOf(Arguments, member.Key) < 0) return member;
        }
        throw new Differs("the step does not say what is done");
    }

    private static string Request(JsonValue step) => step["request"].IsNull ? "{}" : step["request"].ToString();

    private Client ClientOf(JsonValue step) => Known(clients, step["client"].Text, "client");

    private Lease LeaseOf(string name) => Known(leases, name, "lease");

    private Submitted SubmittedOf(string name) => Known(submitted, name, "ticket");

    private static T Known<T>(Dictionary<string, T> all, string name, string what)
    {
        if (name != null && all.TryGetValue(name, out var known)) return known;
        throw new Differs("no such " + what + ": " + name);
    }

    private string Open(string name, JsonValue changes)
    {
        ClientConfig config = sandbox.ClientConfig();
        foreach (KeyValuePair<string, JsonValue> change in changes.Members)
        {
            JsonValue value = change.Value;
            if (value.Text != null) value = value.Text.Replace("$storage", folder);
            config.Members[change.Key] = value.IsNull ? null : value;
        }
        var client = new Client(config);
        var happened = new List<ClientEvent>();
        client.EventReceived += (sender, one) =>
        {
            lock (happened)
            {
                happened.Add(one);
                Monitor.PulseAll(happened);
            }
        };
        events[client] = happened;
        clients[name] = client;
        return "{}";
    }

    private string Close(string name)
    {
        Known(clients, name, "client").Dispose();
        clients.Remove(name);
        return "{}";
    }

    private string Keep(string name, Lease lease)
    {
        leases[name] = lease;
        return lease.Info().Json;
    }

    private string Free(string name)
    {
        LeaseOf(name).Dispose();
        return "{}";
    }

    private static string WaitForState(string wanted, Lease lease)
    {
        DateTime end = DateTime.UtcNow + LongestWait;
        while (lease.State.ToString().ToUpperInvariant() != wanted)
        {
            if (DateTime.UtcNow > end) throw new Differs("expected " + wanted + ", got " + lease.State);
            Thread.Sleep(5);
        }
        return "{}";
    }

    private string Submit(string operation, JsonValue step)
    {
        var call = new Submitted();
        if (operation == "lease_acquire")
        {
            call.Lease = ClientOf(step).AcquireLeaseAsync(LeaseRequest.Parse(Request(step)), call.Cancellation.Token);
        }
        else
        {
            call.Reply = Verbs.CallAsync(ClientOf(step), operation, Request(step), call.Cancellation.Token);
        }
        submitted[step["as"].Text] = call;
        // A Task tells of a call that could not be submitted where it tells of one that failed: when it is awaited.
        return step["status"].IsNull ? "{}" : Completed(call, null);
    }

    private string Cancel(string name)
    {
        SubmittedOf(name).Cancellation.Cancel();
        return "{}";
    }

    private string Completed(Submitted call, string lease)
    {
        if (Task.WhenAny(call.Task, Task.Delay(LongestWait)).GetAwaiter().GetResult() != call.Task)
        {
            throw new Differs("it was not completed");
        }
        if (call.Lease == null) return call.Reply.GetAwaiter().GetResult();
        Lease acquired = call.Lease.GetAwaiter().GetResult();
        return lease == null ? acquired.Info().Json : Keep(lease, acquired);
    }

    private string WaitForEvent(string name, Client client)
    {
        List<ClientEvent> happened = events[client];
        DateTime end = DateTime.UtcNow + LongestWait;
        lock (happened)
        {
            while (true)
            {
                int at = happened.FindIndex(one => one.Name == name);
                if (at >= 0)
                {
                    string json = happened[at].Json;
                    happened.RemoveRange(0, at + 1);
                    return json;
                }
                TimeSpan left = end - DateTime.UtcNow;
                if (left <= TimeSpan.Zero) throw new Differs("expected " + name + ", got " + happened.Count + " others");
                Monitor.Wait(happened, left);
            }
        }
    }

    private string Advance(long milliseconds)
    {
        var all = new Client[clients.Count];
        clients.Values.CopyTo(all, 0);
        sandbox.Advance(TimeSpan.FromMilliseconds(milliseconds), all);
        return "{}";
    }
}

// The verbs by their names; what has none goes by Call.
internal static class Verbs
{
    internal static string Call(Client client, string operation, string json)
    {
        switch (operation)
        {
            case "activate_license": return client.ActivateLicense(Filled(new ActivationRequest(), json)).Json;
            case "check_license": return client.CheckLicense(Filled(new CheckRequest(), json)).Json;
            case "deactivate_license": return client.DeactivateLicense(Filled(new DeactivationRequest(), json)).Json;
            case "borrow_license": return client.BorrowLicense(Filled(new BorrowRequest(), json)).Json;
            case "release_license": return client.ReleaseLicense(Filled(new Request(), json)).Json;
            case "check_feature": return client.CheckFeature(Filled(new FeatureRequest(), json)).Json;
            case "borrow_feature": return client.BorrowFeature(Filled(new BorrowRequest(), json)).Json;
            case "release_feature": return client.ReleaseFeature(Filled(new FeatureRequest(), json)).Json;
            case "add_consumption": return client.AddConsumption(Filled(new ConsumptionRequest(), json)).Json;
            case "add_feature_consumption":
                return client.AddFeatureConsumption(Filled(new ConsumptionRequest(), json)).Json;
            case "product_details": return client.ProductDetails(Filled(new ProductRequest(), json)).Json;
            case "trial_key": return client.TrialKey(Filled(new TrialRequest(), json)).Json;
            case "versions": return client.Versions(Filled(new VersionsRequest(), json)).Json;
            case "installation_file": return client.InstallationFile(Filled(new InstallationFileRequest(), json)).Json;
            case "device_licenses": return client.DeviceLicenses(Filled(new Request(), json)).Json;
            case "get_device_variables": return client.GetDeviceVariables(Filled(new Request(), json)).Json;
            case "track_device_variables":
                return client.TrackDeviceVariables(Filled(new DeviceVariablesRequest(), json)).Json;
            case "change_password": return client.ChangePassword(Filled(new PasswordRequest(), json)).Json;
            case "user_licenses": return client.UserLicenses(Filled(new Request(), json)).Json;
            case "sso_url": return client.SsoUrl(Filled(new SsoUrlRequest(), json)).Json;
            case "activate_bundle": return client.ActivateBundle(Filled(new ActivationRequest(), json)).Json;
            case "check_bundle": return client.CheckBundle(Filled(new CheckRequest(), json)).Json;
            case "deactivate_bundle": return client.DeactivateBundle(Filled(new DeactivationRequest(), json)).Json;
            case "sync_consumptions": return client.SyncConsumptions(Filled(new Request(), json)).Json;
            default: return client.Call(operation, json);
        }
    }

    internal static async Task<string> CallAsync(Client client, string operation, string json, CancellationToken token)
    {
        switch (operation)
        {
            case "activate_license": return (await client.ActivateLicenseAsync(Filled(new ActivationRequest(), json), token)).Json;
            case "check_license": return (await client.CheckLicenseAsync(Filled(new CheckRequest(), json), token)).Json;
            case "borrow_license": return (await client.BorrowLicenseAsync(Filled(new BorrowRequest(), json), token)).Json;
            case "release_license": return (await client.ReleaseLicenseAsync(Filled(new Request(), json), token)).Json;
            default: return await client.CallAsync(operation, json, token);
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
}

// Returns whether a value fits the expected one.
internal static class Fit
{
    // Where and how it does not, or null.
    internal static string Unfit(string place, JsonValue expected, JsonValue came)
    {
        IReadOnlyList<KeyValuePair<string, JsonValue>> members = expected.Members;
        bool fits;
        if (members.Count > 0 && members[0].Key.StartsWith("$", StringComparison.Ordinal))
        {
            fits = Follows(members[0].Key, members[0].Value, came);
        }
        else if (expected.Kind == JsonKind.Object && came.Kind == JsonKind.Object)
        {
            foreach (KeyValuePair<string, JsonValue> member in members)
            {
                string unfit = Unfit(place + "." + member.Key, member.Value, came[member.Key]);
                if (unfit != null) return unfit;
            }
            return null;
        }
        else if (expected.Kind == JsonKind.Array && came.Items.Count == expected.Items.Count)
        {
            for (int at = 0; at < expected.Items.Count; at++)
            {
                string unfit = Unfit(place + "[" + at + "]", expected.Items[at], came.Items[at]);
                if (unfit != null) return unfit;
            }
            fits = came.Kind == JsonKind.Array;
        }
        else
        {
            fits = expected.Kind == came.Kind && expected.ToString() == came.ToString();
        }
        return fits ? null : place + ": expected " + expected + ", got " + came;
    }

    private static bool Follows(string rule, JsonValue value, JsonValue came)
    {
        switch (rule)
        {
            case "$any": return !came.IsNull;
            case "$at_least": return came.Double >= value.Double;
            case "$at_most": return came.Double <= value.Double;
            case "$holds": return came.Text != null && came.Text.Contains(value.Text);
            default: throw new Differs("there is no rule " + rule);
        }
    }
}
