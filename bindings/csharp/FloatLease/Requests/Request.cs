using System;

namespace FloatLease
{
    /// <summary>What every request may say. All of it has its default in the client's config.</summary>
    public class Request : LicenseNaming
    {
        /// <summary>Another product than the config's.</summary>
        public string Product
        {
            get => Text("product");
            set => Set("product", value);
        }

        /// <summary>Another device than the config's.</summary>
        public string HardwareId
        {
            get => Text("hardware_id");
            set => Set("hardware_id", value);
        }

        /// <summary>What the server is told of the library.</summary>
        public string SdkVersion
        {
            get => Text("sdk_ver");
            set => Set("sdk_ver", value);
        }

        /// <summary>The deadline of this call.</summary>
        public TimeSpan? Timeout
        {
            get => Length("timeout_ms");
            set => Set("timeout_ms", value);
        }

        /// <summary>
        /// Names this very wish, for what does more than ask: floatlease-server books a consumption once for each.
        /// </summary>
        public string IdempotencyKey
        {
            get => Text("idempotency_key");
            set => Set("idempotency_key", value);
        }

        /// <summary>An object whose members go to the server untouched.</summary>
        public JsonValue Extra
        {
            get => Members["extra"];
            set => Members["extra"] = value;
        }
    }
}
