using System;
using System.Collections.Generic;
using System.Threading;

namespace FloatLease
{
    /// <summary>
    /// The clients of this application domain and the threads that read their events. When the domain is unloaded, as
    /// Unity's editor does whenever scripts change, all of them are closed, because the native library stays loaded.
    /// </summary>
    internal static class OpenClients
    {
        // Time limit for each reader to end. It returns from the library as soon as its client is closed.
        private static readonly TimeSpan JoinTimeout = TimeSpan.FromSeconds(2);

        private static readonly HashSet<IntPtr> Tokens = new HashSet<IntPtr>();
        private static readonly HashSet<Thread> Readers = new HashSet<Thread>();

        static OpenClients()
        {
            // The default domain is never unloaded. In .NET there is no other, and a handler would only keep a load
            // context from being unloaded.
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

        /// <summary>
        /// Closes all clients, and waits until their readers have ended. Unity's package calls it early.
        /// </summary>
        internal static void CloseAll()
        {
            foreach (IntPtr token in CopyOf(Tokens)) Native.ClientClose(token);
            foreach (Thread reader in CopyOf(Readers))
            {
                if (reader != Thread.CurrentThread) reader.Join(JoinTimeout);
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
