using System;

namespace FloatLease
{
    /// <summary>
    /// The properties that every request may have. Each is taken from the client's config if it is null.
    /// </summary>
    public class Request : LicenseIdentity
    {
        /// <summary>The short code of another product than the config's.</summary>
        public string Product
        {
            get => Text("product");
            set => Set("product", value);
        }

        /// <summary>The id of another device than the config's.</summary>
        public string HardwareId
        {
            get => Text("hardware_id");
            set => Set("hardware_id", value);
        }

        /// <summary>The version of the library that the server is told, if it should not be this one's.</summary>
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
        /// A name of your choice for this change. floatlease-server books a consumption once for each key.
        /// </summary>
        public string IdempotencyKey
        {
            get => Text("idempotency_key");
            set => Set("idempotency_key", value);
        }

        /// <summary>
        /// An object whose members are sent to the server unchanged. Use it for keys that this library does not know.
        /// </summary>
        public JsonValue Extra
        {
            get => Members["extra"];
            set => Members["extra"] = value;
        }
    }
}
