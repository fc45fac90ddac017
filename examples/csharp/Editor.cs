// An editor on a floating slot, which a lease keeps for it. Nothing waits for the server: not the start, not a key, not
// the end. The rules are the ones to copy:
//
//     1. Degraded is a notice: the slot is still yours.
//     2. At GraceStarted and at Lost, save. At Lost, stop licensed work; Regained lets it go on.
//     3. The document is the user's, always: to read and to save needs no license.
//
//     floatlease-server exec -- dotnet run --project Editor.csproj -- document.txt
//
// Each line that is typed is added to the document; the end of the input saves and ends.
using System;
using System.IO;
using System.Threading;
using System.Threading.Tasks;
using FloatLease;

internal sealed class Editor : IDisposable
{
    private readonly object gate = new object();
    private readonly CancellationTokenSource closing = new CancellationTokenSource();
    private readonly Client client;
    private readonly string file;
    private string document = "";
    private volatile Lease lease;

    private Editor(string config, string file)
    {
        this.file = file;
        if (File.Exists(file)) document = File.ReadAllText(file); // reading needs no license
        client = new Client(config);
        client.LeaseChanged += OnLeaseChanged;
    }

    // Takes a slot, and queues for a minute if all are taken; the user can close the editor meanwhile. The first start on
    // this machine activates it.
    private async Task License()
    {
        var request = new LeaseRequest { Wait = TimeSpan.FromMinutes(1), Activate = true };
        try
        {
            lease = await client.AcquireLeaseAsync(request, closing.Token);
            Show("Licensed.");
        }
        catch (OperationCanceledException)
        {
            // The user has closed the editor instead of waiting.
        }
        catch (FloatLeaseException failure)
        {
            Show(failure.Message + " " + failure.Advice);
        }
    }

    // Handles an event of the lease. In a program with windows, ClientOptions.SynchronizationContext makes it run there.
    private void OnLeaseChanged(object sender, LeaseEvent leaseEvent)
    {
        switch (leaseEvent.Kind)
        {
            case LeaseEventKind.Waiting:
                Show("Every license is in use. You are in the queue.");
                break;
            case LeaseEventKind.Degraded:
                Show("The license server does not answer. You can work on for "
                    + (int)leaseEvent.Remaining.TotalMinutes + " minutes.");
                break;
            case LeaseEventKind.GraceStarted:
            case LeaseEventKind.Lost:
                Save();
                Show(leaseEvent.Reason + (leaseEvent.Kind == LeaseEventKind.Lost ? " Licensed work is over." : "")
                    + " Your work is saved in " + file + ".");
                break;
            case LeaseEventKind.Regained:
                Show("The license is back.");
                break;
        }
    }

    private void Type(string line)
    {
        if (lease == null || !lease.IsLicensed) // never waits: read it at every key
        {
            Show("Not typed: there is no license.");
            return;
        }
        lock (gate) document += line + "\n";
    }

    private void Save()
    {
        lock (gate)
        {
            File.WriteAllText(file + ".new", document); // one of the two files is complete whatever goes wrong
            File.Delete(file);
            File.Move(file + ".new", file);
        }
    }

    // Gives the slot back, for two seconds at most. After that the server frees it by its timeout.
    private async Task Close()
    {
        closing.Cancel();
        if (lease == null || !lease.IsLicensed) return;
        try
        {
            using (var timeout = new CancellationTokenSource(TimeSpan.FromSeconds(2)))
            {
                await lease.ReleaseAsync(timeout.Token);
            }
        }
        catch (Exception failure) when (failure is FloatLeaseException || failure is OperationCanceledException)
        {
        }
    }

    public void Dispose()
    {
        lease?.Dispose();
        client.Dispose();
    }

    private static void Show(string notice) => Console.WriteLine(notice);

    private static int Main(string[] arguments)
    {
        string config = Environment.GetEnvironmentVariable("FLOATLEASE_CONFIG");
        if (config == null || arguments.Length != 1)
        {
            Console.Error.WriteLine("usage: floatlease-server exec -- dotnet run --project Editor.csproj -- DOCUMENT");
            return 2;
        }
        using (var editor = new Editor(config, arguments[0]))
        {
            Task license = editor.License();
            license.Wait(TimeSpan.FromSeconds(5)); // a window would not wait; lines that come by pipe would be too early
            for (string line = Console.ReadLine(); line != null; line = Console.ReadLine()) editor.Type(line);
            editor.Save();
            editor.Close().Wait();
            license.Wait();
        }
        return 0;
    }
}
