using System;

namespace FloatLease
{
    /// <summary>Which product, license, server and device a <see cref="Client"/> is of.</summary>
    public sealed class ClientConfig : LicenseNaming
    {
        /// <summary>Reads a config from JSON, for example from a file; set further properties afterwards.</summary>
        /// <exception cref="System.FormatException">It is no JSON object.</exception>
        public static ClientConfig Parse(string json)
        {
            var config = new ClientConfig();
            config.Load(json);
            return config;
        }

        /// <summary>Required: the product's short code.</summary>
        public string Product
        {
            get => Text("product");
            set => Set("product", value);
        }

        /// <summary>Required: the key of the vendor's account, and</summary>
        public string ApiKey
        {
            get => Text("api_key");
            set => Set("api_key", value);
        }

        /// <summary>required: what signs requests under it.</summary>
        public string SharedKey
        {
            get => Text("shared_key");
            set => Set("shared_key", value);
        }

        /// <summary>The server; by default the vendor's cloud.</summary>
        public string BaseUrl
        {
            get => Text("base_url");
            set => Set("base_url", value);
        }

        /// <summary>
        /// PEM public key or certificate that proves replies; required for any server but the vendor's cloud.
        /// </summary>
        public string PublicKey
        {
            get => Text("public_key");
            set => Set("public_key", value);
        }

        /// <summary>"on" (default) or "off": believe replies without proof.</summary>
        public string Verify
        {
            get => Text("verify");
            set => Set("verify", value);
        }

        /// <summary>Names this device; by default derived from an id of the system.</summary>
        public string HardwareId
        {
            get => Text("hardware_id");
            set => Set("hardware_id", value);
        }

        /// <summary>The deadline of a call that names none; by default 15 s.</summary>
        public TimeSpan? Timeout
        {
            get => Length("timeout_ms");
            set => Set("timeout_ms", value);
        }

        /// <summary>The most of it for name, connection and TLS together; by default 5 s.</summary>
        public TimeSpan? ConnectTimeout
        {
            get => Length("connect_timeout_ms");
            set => Set("connect_timeout_ms", value);
        }

        /// <summary>"env" (default), "none" or "http://name:password@host:port".</summary>
        public string Proxy
        {
            get => Text("proxy");
            set => Set("proxy", value);
        }

        /// <summary>"platform" (default), "bundled" or PEM certificates.</summary>
        public string TlsRoots
        {
            get => Text("tls_roots");
            set => Set("tls_roots", value);
        }

        /// <summary>true: plain http:// also to other machines.</summary>
        public bool? AllowHttp
        {
            get => Boolean("allow_http");
            set => Set("allow_http", value);
        }

        /// <summary>
        /// The absolute path of a folder for what leases and consumptions keep beyond the process; without it no file
        /// is written.
        /// </summary>
        public string StorageDir
        {
            get => Text("storage_dir");
            set => Set("storage_dir", value);
        }

        /// <summary>Your program, and</summary>
        public string AppName
        {
            get => Text("app_name");
            set => Set("app_name", value);
        }

        /// <summary>its version, for the server's logs.</summary>
        public string AppVersion
        {
            get => Text("app_version");
            set => Set("app_version", value);
        }
    }
}
