using System;
using System.Collections.Generic;

namespace FloatLease
{
    /// <summary>
    /// Finds a client's leases by their number, for events. It does not keep a lease from being collected.
    /// </summary>
    internal sealed class OpenLeases
    {
        private readonly Dictionary<long, WeakReference<Lease>> leases = new Dictionary<long, WeakReference<Lease>>();
        private int sweepAt = 64;

        internal bool AnyListener
        {
            get
            {
                lock (leases)
                {
                    foreach (WeakReference<Lease> lease in leases.Values)
                    {
                        if (lease.TryGetTarget(out var open) && open.HasListeners) return true;
                    }
                    return false;
                }
            }
        }

        internal void Add(Lease lease)
        {
            lock (leases)
            {
                leases[lease.Number] = new WeakReference<Lease>(lease);
                if (leases.Count >= sweepAt) Sweep();
            }
        }

        internal void Remove(long number)
        {
            lock (leases) leases.Remove(number);
        }

        internal Lease Find(long number)
        {
            lock (leases)
            {
                Lease lease = null;
                if (leases.TryGetValue(number, out var reference)) reference.TryGetTarget(out lease);
                return lease;
            }
        }

        // Removes the leases that were dropped rather than disposed.
        private void Sweep()
        {
            var dropped = new List<long>();
            foreach (KeyValuePair<long, WeakReference<Lease>> lease in leases)
            {
                if (!lease.Value.TryGetTarget(out _)) dropped.Add(lease.Key);
            }
            foreach (long number in dropped) leases.Remove(number);
            sweepAt = Math.Max(64, 2 * leases.Count);
        }
    }
}
