// A service of the generic host that runs as long as it holds a license: it starts when there is a slot, tells the log
// what happens to it, and asks the host to stop when it is lost.
//
//     services.AddSingleton(new ClientConfig { Product = "XY", … });
//     services.AddHostedService<LicenseService>();
//
// Add it before the services that need the license: the host starts them in this order, and stops them in the other.
using System;
using System.Threading;
using System.Threading.Tasks;
using FloatLease;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

/// <summary>Holds a floating license from the host's start to its end.</summary>
public sealed class LicenseService : IHostedService, IDisposable
{
    private readonly Client client;
    private readonly IHostApplicationLifetime host;
    private readonly ILogger<LicenseService> log;
    private Lease lease;

    /// <summary>Opens the client, which touches no network.</summary>
    public LicenseService(ClientConfig config, IHostApplicationLifetime host, ILogger<LicenseService> log)
    {
        this.host = host;
        this.log = log;
        client = new Client(config);
        client.LeaseChanged += OnLeaseChanged;
    }

    /// <summary>True if licensed work may go on. Reading it never waits.</summary>
    public bool IsLicensed => lease != null && lease.IsLicensed;

    /// <summary>Takes a slot; a host that is stopped meanwhile cancels it. What fails here fails the host's start.</summary>
    public async Task StartAsync(CancellationToken cancellationToken)
    {
        var request = new LeaseRequest { Wait = TimeSpan.FromMinutes(1), Activate = true };
        lease = await client.AcquireLeaseAsync(request, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Gives the slot back; the host says how long that may take.</summary>
    public async Task StopAsync(CancellationToken cancellationToken)
    {
        if (lease == null) return;
        try
        {
            await lease.ReleaseAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (Exception failure) when (failure is FloatLeaseException || failure is OperationCanceledException)
        {
            log.LogWarning("The license was not given back, time will do it: {0}", failure.Message);
        }
    }

    /// <summary>Closes the client without waiting for the server.</summary>
    public void Dispose()
    {
        lease?.Dispose();
        client.Dispose();
    }

    private void OnLeaseChanged(object sender, LeaseEvent leaseEvent)
    {
        log.LogInformation("License: {0} {1}", leaseEvent.Name, leaseEvent.Reason);
        if (leaseEvent.Kind == LeaseEventKind.Lost) host.StopApplication();
    }
}
