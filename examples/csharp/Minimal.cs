// Opens a client, holds a lease, looks at its state, and gives it back. FLOATLEASE_CONFIG holds the client's config.
using System;
using FloatLease;

internal static class Minimal
{
    private static void Main()
    {
        using (var client = new Client(Environment.GetEnvironmentVariable("FLOATLEASE_CONFIG")))
        {
            using (Lease lease = client.AcquireLease(new LeaseRequest { Activate = true }))
            {
                if (lease.IsLicensed) Console.WriteLine("licensed for {0} minutes", (int)lease.Remaining.TotalMinutes);
                Console.WriteLine(lease.Release().State);
            }
        }
    }
}
