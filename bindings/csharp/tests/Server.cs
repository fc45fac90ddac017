using System;
using System.Diagnostics;
using System.Net;

namespace FloatLease.Tests
{
    // A floatlease-server in a process of its own, so that this one has no threads and no memory but the client's.
    internal sealed class Server : IDisposable
    {
        private readonly Process process;
        private readonly JsonValue said;

        internal Server()
        {
            string program = Environment.GetEnvironmentVariable("FLOATLEASE_SERVER");
            if (program == null) throw new Exception("FLOATLEASE_SERVER does not name the server's program");
            process = Process.Start(new ProcessStartInfo(program, "demo")
            {
                UseShellExecute = false, RedirectStandardInput = true, RedirectStandardOutput = true,
            });
            said = JsonValue.Parse(process.StandardOutput.ReadLine());
        }

        internal ClientConfig Config(string hardwareId)
        {
            var config = new ClientConfig { HardwareId = hardwareId };
            foreach (string key in new[] { "base_url", "api_key", "shared_key", "public_key", "product", "license_key" })
            {
                config.Members[key] = said[key];
            }
            return config;
        }

        internal int Slots() => Control("GET", "/slots", null)["slots"].Items.Count;

        internal JsonValue Control(string method, string path, string json)
        {
            using (var web = new WebClient())
            {
                string url = said["control_url"].Text + path;
                return JsonValue.Parse(method == "GET" ? web.DownloadString(url) : web.UploadString(url, method, json));
            }
        }

        public void Dispose()
        {
            process.StandardInput.Close();
            if (!process.WaitForExit(20000)) process.Kill();
            process.Dispose();
        }
    }
}
