using System.Collections.Generic;

namespace FloatLease
{
    /// <summary>The report of <see cref="Client.Diagnose"/>. It holds no secret, so it may be shown and sent.</summary>
    public sealed class DiagnoseReport : Reply
    {
        internal DiagnoseReport(string json) : base(json)
        {
        }

        /// <summary>True if no check failed.</summary>
        public bool IsOk => Is(Members["ok"]);

        /// <summary>The version of the library.</summary>
        public string Version => Members["version"].Text;

        /// <summary>The address of the server.</summary>
        public string BaseUrl => Members["base_url"].Text;

        /// <summary>The product's short code.</summary>
        public string Product => Members["product"].Text;

        /// <summary>The id that names this device to the server.</summary>
        public string HardwareId => Members["hardware_id"].Text;

        /// <summary>
        /// The checks in their order. Each has <c>check</c>, <c>verdict</c> ("ok", "warning", "failed" or "skipped"),
        /// <c>ms</c> and <c>detail</c>.
        /// </summary>
        public IReadOnlyList<JsonValue> Checks => Members["checks"].Items;
    }
}
