using System;

namespace FloatLease.Tests
{
    // What is looked at from outside: processes of their own.
    internal static class Children
    {
        internal static int Run(string what)
        {
            switch (what)
            {
                case "library": return Library();
                case "exit": return Exit();
                default: return 2;
            }
        }

        // Says why the native library can't be used.
        private static int Library()
        {
            try
            {
                Console.WriteLine("floatlease " + FloatLease.Library.Version);
                return 0;
            }
            catch (FloatLeaseLibraryException exception)
            {
                Console.WriteLine(exception.Message);
                return 1;
            }
        }

        // Ends while a lease is held, a call hangs and events are read.
        private static int Exit()
        {
            var world = new World();
            Lease lease = world.Client.AcquireLease();
            lease.Changed += (sender, happened) => { };
            world.Hang();
            world.Client.BorrowLicenseAsync();
            System.Threading.Thread.Sleep(100);
            Console.WriteLine(lease.State);
            return 7;
        }
    }
}
