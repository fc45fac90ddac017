using System.Collections.Generic;

namespace FloatLease
{
    /// <summary>How each step from here to the server's signature went. It holds no secret.</summary>
    public sealed class DiagnoseReport : Reply
    {
        internal DiagnoseReport(string json) : base(json)
        {
        }

        /// <summary>Whether no check failed.</summary>
        public bool IsOk => Is(Members["ok"]);

        /// <summary>The library's version,</summary>
        public string Version => Members["version"].Text;

        /// <summary>the server,</summary>
        public string BaseUrl => Members["base_url"].Text;

        /// <summary>the product</summary>
        public string Product => Members["product"].Text;

        /// <summary>and the device it was asked for.</summary>
        public string HardwareId => Members["hardware_id"].Text;

        /// <summary>
        /// The checks, each with <c>check</c>, <c>verdict</c> ("ok", "warning", "failed", "skipped"), <c>ms</c> and
        /// <c>detail</c>.
        /// </summary>
        public IReadOnlyList<JsonValue> Checks => Members["checks"].Items;
    }
}
