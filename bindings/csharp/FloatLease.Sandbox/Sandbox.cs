using System;

namespace FloatLease
{
    /// <summary>
    /// A license server inside your test, with a clock that the test sets and faults that it injects.
    /// </summary>
    /// <remarks>
    /// For tests only: it grants a license to every program that asks. Each sandbox has data of its own and starts in
    /// milliseconds. docs/testing-your-integration.md lists the calls of its control interface.
    /// </remarks>
    public sealed class Sandbox : IDisposable
    {
        private readonly SandboxHandle handle;

        private Sandbox(SandboxHandle handle, JsonValue info)
        {
            this.handle = handle;
            Info = info;
        }

        /// <summary>The server's description for its clients: base_url, public_key, license_key and more.</summary>
        public JsonValue Info { get; }

        /// <summary>Starts a sandbox. It accepts requests when this returns.</summary>
        /// <exception cref="FloatLeaseException">An option is invalid; the message names it.</exception>
        public static Sandbox Start(SandboxOptions options = null)
        {
            int status = SandboxNative.Start(Utf8.ToNative(options?.Members.ToString()), out var token, out var json);
            string info = Answer(status, json);
            return new Sandbox(new SandboxHandle(token), JsonValue.Parse(info));
        }

        /// <summary>
        /// Performs a call of the control interface: <c>Control("POST /clock/advance", "{\"by\":\"121m\"}")</c>.
        /// </summary>
        /// <exception cref="FloatLeaseException">
        /// The sandbox refused the call, or what the call asserts does not hold.
        /// </exception>
        public JsonValue Control(string methodPath, string requestJson = null)
        {
            int status = SandboxNative.Control(handle, Utf8.ToNative(methodPath), Utf8.ToNative(requestJson), out var json);
            return JsonValue.Parse(Answer(status, json));
        }

        /// <summary>
        /// Lets time pass at once for the server and for the leases of these clients: "90s", "121m", "2h 30m" or
        /// "30days".
        /// </summary>
        /// <returns>What happened at the server meanwhile, in order.</returns>
        public JsonValue Advance(string by, params Client[] clients)
        {
            JsonValue before = Control("GET /clock")["now"];
            JsonValue request = JsonValue.NewObject();
            request["by"] = by;
            JsonValue reply = Control("POST /clock/advance", request.ToString());
            TimeSpan passed = reply["now"].Date.Value - before.Date.Value;
            foreach (Client client in clients) client.AdvanceClock(passed);
            return reply["happened"];
        }

        /// <summary>Lets time pass at once for the server and for the leases of these clients.</summary>
        /// <returns>What happened at the server meanwhile, in order.</returns>
        public JsonValue Advance(TimeSpan by, params Client[] clients) =>
            Advance((by.Ticks / TimeSpan.TicksPerMillisecond) + "ms", clients);

        /// <summary>Injects a fault: <c>Fault("{\"do\":{\"before\":\"hang\"}}")</c>.</summary>
        public JsonValue Fault(string faultJson) => Control("POST /faults", faultJson);

        /// <summary>Ends all faults.</summary>
        public void ClearFaults() => Control("DELETE /faults");

        /// <summary>Returns the slots that are held, each with its license, feature and hardware_id.</summary>
        public JsonValue Slots() => Control("GET /slots")["slots"];

        /// <summary>
        /// Returns a complete config for a client of this server. The hardware id names its device; null takes the
        /// sandbox's own.
        /// </summary>
        public ClientConfig ClientConfig(string hardwareId = null)
        {
            ClientConfig config = FloatLease.ClientConfig.Parse(Control("GET /client_config").ToString());
            if (hardwareId != null) config.HardwareId = hardwareId;
            return config;
        }

        /// <summary>
        /// Stops the server within a second. Calls in flight fail as they would if a server went away.
        /// </summary>
        public void Dispose() => handle.Dispose();

        private static string Answer(int status, IntPtr json)
        {
            string text;
            try
            {
                text = Utf8.Copy(json);
            }
            finally
            {
                SandboxNative.StringFree(json);
            }
            if (status != (int)Status.Ok) throw Failure.FromStatus(status, text);
            return text;
        }
    }
}
