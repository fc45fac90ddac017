using System;
using System.Collections.Generic;
using System.Threading;

namespace FloatLease
{
    /// <summary>
    /// The clients of this application domain and the threads that read their events, so that none of them stays
    /// behind when the domain is unloaded, as Unity's editor does at every change of a script: the library itself stays
    /// loaded.
    /// </summary>
    internal static class OpenClients
    {
        // A thread of ours returns from the library as soon as its client is closed.
        private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

        private static readonly HashSet<IntPtr> Tokens = new HashSet<IntPtr>();
        private static readonly HashSet<Thread> Readers = new HashSet<Thread>();

        static OpenClients()
        {
            // The first one is never unloaded; in .NET, where there is no other, a handler there would only keep a
            // load context from being unloaded.
            AppDomain domain = AppDomain.CurrentDomain;
            if (!domain.IsDefaultAppDomain()) domain.DomainUnload += (sender, arguments) => CloseAll();
        }

        internal static void Add(IntPtr token)
        {
            lock (Tokens) Tokens.Add(token);
        }

        internal static void Remove(IntPtr token)
        {
            lock (Tokens) Tokens.Remove(token);
        }

        internal static void Add(Thread reader)
        {
            lock (Readers) Readers.Add(reader);
        }

        internal static void Remove(Thread reader)
        {
            lock (Readers) Readers.Remove(reader);
        }

        /// <summary>For whoever knows sooner that the domain ends.</summary>
        internal static void CloseAll()
        {
            foreach (IntPtr token in CopyOf(Tokens)) Native.ClientClose(token);
            foreach (Thread reader in CopyOf(Readers))
            {
                if (reader != Thread.CurrentThread) reader.Join(Patience);
            }
        }

        private static T[] CopyOf<T>(HashSet<T> set)
        {
            lock (set)
            {
                var copy = new T[set.Count];
                set.CopyTo(copy);
                return copy;
            }
        }
    }
}
