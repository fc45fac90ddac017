using System;
using System.IO;
using System.Reflection;
using System.Threading;

namespace FloatLease.Tests
{
    // A sandbox and a client on the machine "desk", which is known to the license.
    internal sealed class World : IDisposable
    {
        internal readonly Sandbox Sandbox = Sandbox.Start();
        internal readonly Client Client;

        internal World(ClientOptions options = null)
        {
            ClientConfig config = Sandbox.ClientConfig("desk");
            config.Timeout = TimeSpan.FromSeconds(120);
            Client = new Client(config, options);
            Client.ActivateLicense();
        }

        // From now on, requests are taken and never answered.
        internal void Hang() => Sandbox.Fault("{\"do\":{\"before\":\"hang\"}}");

        // From now on, nothing gets through.
        internal void Outage() => Sandbox.Control("POST /faults/profile", "{\"profile\":\"outage\"}");

        internal int Requests(string operation) =>
            (int)Sandbox.Control("POST /journal/count",
                "{\"filter\":{\"kind\":\"request\",\"operation\":\"" + operation + "\"}}")["count"].Int64.Value;

        public void Dispose()
        {
            Client.Dispose();
            Sandbox.Dispose();
        }
    }

    internal static class Threads
    {
        // The one that reads a client's events; null if there is none.
        internal static Thread Reader(Client client)
        {
            object pump = Field(client, "pump");
            return (Thread)Field(pump, "thread");
        }

        private static object Field(object of, string name) =>
            of.GetType().GetField(name, BindingFlags.Instance | BindingFlags.NonPublic).GetValue(of);

        // Of the operating system; those of the library, and under Mono ours too, are named "floatlease".
        internal static int Named(string name)
        {
            int count = 0;
            foreach (string task in Directory.GetDirectories("/proc/self/task"))
            {
                try
                {
                    if (File.ReadAllText(task + "/comm").StartsWith(name, StringComparison.Ordinal)) count++;
                }
                catch (IOException)
                {
                    // It has just ended.
                }
            }
            return count;
        }
    }
}
