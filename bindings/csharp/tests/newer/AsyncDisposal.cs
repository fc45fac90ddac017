using System;
using System.Threading.Tasks;

namespace FloatLease.Tests
{
    // What `await using` does, against a server of its own. A program apart from the other tests, because the binding has
    // it for newer frameworks alone.
    internal static class AsyncDisposal
    {
        private const string HangingRelease =
            "{\"match\":{\"operation\":\"release_license\"},\"do\":{\"before\":\"hang\"}}";

        private static int Main()
        {
            What_is_held_is_given_back_when_it_returns().Wait();
            What_is_borrowed_stays_borrowed().Wait();
            What_is_disposed_already_is_no_mistake().Wait();
            A_client_that_is_disposed_meanwhile_is_no_mistake().Wait();
            Console.WriteLine("every test holds");
            return 0;
        }

        private static async Task What_is_held_is_given_back_when_it_returns()
        {
            using (var server = new Server())
            using (var client = Activated(server))
            {
                Lease lease = client.AcquireLease();
                Check.Equal(1, server.Slots());
                await lease.DisposeAsync().Task;
                Check.Equal(0, server.Slots());
                Check.Equal(LeaseState.None, lease.State);
            }
        }

        private static async Task What_is_borrowed_stays_borrowed()
        {
            using (var folder = new Folder())
            using (var server = new Server())
            using (var client = Activated(server, folder.Path))
            {
                Lease lease = client.AcquireLease();
                lease.Borrow(new BorrowRequest { BorrowedUntil = DateTimeOffset.UtcNow.AddHours(2) });
                await lease.DisposeAsync().Task;
                Check.Equal(LeaseState.None, lease.State);
                Check.Equal(1, server.Slots());
                using (Lease again = client.AcquireLease()) Check.Equal(LeaseState.Borrowed, again.State);
            }
        }

        private static async Task What_is_disposed_already_is_no_mistake()
        {
            using (var server = new Server())
            {
                Client client = Activated(server);
                Lease lease = client.AcquireLease();
                lease.Dispose();
                await lease.DisposeAsync().Task;
                Lease other = client.AcquireLease();
                client.Dispose();
                await other.DisposeAsync().Task;
                await other.DisposeAsync().Task;
            }
        }

        private static async Task A_client_that_is_disposed_meanwhile_is_no_mistake()
        {
            using (var server = new Server())
            {
                Client client = Activated(server);
                Lease lease = client.AcquireLease();
                server.Control("POST", "/faults", HangingRelease);
                Task disposed = lease.DisposeAsync().Task;
                Check.That(!disposed.IsCompleted, "it waits for the server");
                client.Dispose();
                await disposed;
                Check.Equal(LeaseState.None, lease.State);
            }
        }

        private static Client Activated(Server server, string storage = null)
        {
            ClientConfig config = server.Config("desk");
            config.StorageDir = storage;
            var client = new Client(config);
            client.ActivateLicense();
            return client;
        }
    }
}
