using System;

namespace FloatLease
{
    /// <summary>The config of a <see cref="Client"/>: one product, one license, one server, one device.</summary>
    /// <remarks>
    /// Required are <see cref="Product"/>, what names the license, such as <see cref="LicenseIdentity.LicenseKey"/>, and
    /// what authorises requests: <see cref="ApiKey"/> and <see cref="SharedKey"/>, or <see cref="ClientId"/> and
    /// <see cref="ClientSecret"/>.
    /// </remarks>
    public sealed class ClientConfig : LicenseIdentity
    {
        /// <summary>
        /// Reads a config from a JSON object, for example from a file. Its properties can be set afterwards.
        /// </summary>
        /// <exception cref="System.FormatException">The text is not a JSON object.</exception>
        public static ClientConfig Parse(string json)
        {
            var config = new ClientConfig();
            config.Load(json);
            return config;
        }

        /// <summary>The product's short code. Required.</summary>
        public string Product
        {
            get => Text("product");
            set => Set("product", value);
        }

        /// <summary>The API key of the vendor's account. Needs <see cref="SharedKey"/>.</summary>
        public string ApiKey
        {
            get => Text("api_key");
            set => Set("api_key", value);
        }

        /// <summary>The secret that belongs to <see cref="ApiKey"/>; it signs requests.</summary>
        public string SharedKey
        {
            get => Text("shared_key");
            set => Set("shared_key", value);
        }

        /// <summary>
        /// The OAuth client of the vendor, by which the library fetches access tokens. Needs <see cref="ClientSecret"/>.
        /// </summary>
        public string ClientId
        {
            get => Text("client_id");
            set => Set("client_id", value);
        }

        /// <summary>The secret that belongs to <see cref="ClientId"/>.</summary>
        public string ClientSecret
        {
            get => Text("client_secret");
            set => Set("client_secret", value);
        }

        /// <summary>
        /// The address of the token endpoint for <see cref="ClientId"/>; by default the server names it.
        /// </summary>
        public string OauthUrl
        {
            get => Text("oauth_url");
            set => Set("oauth_url", value);
        }

        /// <summary>The address of the server's API, which ends in "/api/v4"; by default the vendor's cloud.</summary>
        public string BaseUrl
        {
            get => Text("base_url");
            set => Set("base_url", value);
        }

        /// <summary>
        /// The PEM public key or certificate that proves the server's replies. Required for any server but the vendor's
        /// cloud.
        /// </summary>
        public string PublicKey
        {
            get => Text("public_key");
            set => Set("public_key", value);
        }

        /// <summary>"on" (default), or "off" to believe replies without proof.</summary>
        public string Verify
        {
            get => Text("verify");
            set => Set("verify", value);
        }

        /// <summary>The id that names this device; by default derived from an id of the system.</summary>
        public string HardwareId
        {
            get => Text("hardware_id");
            set => Set("hardware_id", value);
        }

        /// <summary>The deadline of a call that names none; by default 15 seconds.</summary>
        public TimeSpan? Timeout
        {
            get => Length("timeout_ms");
            set => Set("timeout_ms", value);
        }

        /// <summary>
        /// The longest time for resolving the name, connecting and TLS together; by default 5 seconds.
        /// </summary>
        public TimeSpan? ConnectTimeout
        {
            get => Length("connect_timeout_ms");
            set => Set("connect_timeout_ms", value);
        }

        /// <summary>
        /// How many calls of the "Async" methods and of <see cref="Client.Submit"/> run at the same time, from 1 to 1,000;
        /// by default 64. As many again release or renew.
        /// </summary>
        public long? MaxParallel
        {
            get => Integer("max_parallel");
            set => Set("max_parallel", value);
        }

        /// <summary>
        /// "env" (default) for the proxy of the environment, "none", or "http://name:password@host:port".
        /// </summary>
        public string Proxy
        {
            get => Text("proxy");
            set => Set("proxy", value);
        }

        /// <summary>
        /// The trusted certificate authorities: "platform" (default), "bundled", or PEM certificates.
        /// </summary>
        public string TlsRoots
        {
            get => Text("tls_roots");
            set => Set("tls_roots", value);
        }

        /// <summary>true allows plain http:// to another machine, where others can read the license key.</summary>
        public bool? AllowHttp
        {
            get => Boolean("allow_http");
            set => Set("allow_http", value);
        }

        /// <summary>
        /// The absolute path of a folder for leases and consumptions that outlive the process. Without it the library
        /// writes no file.
        /// </summary>
        public string StorageDir
        {
            get => Text("storage_dir");
            set => Set("storage_dir", value);
        }

        /// <summary>The name of your program, for the server's logs.</summary>
        public string AppName
        {
            get => Text("app_name");
            set => Set("app_name", value);
        }

        /// <summary>The version of your program, for the server's logs.</summary>
        public string AppVersion
        {
            get => Text("app_version");
            set => Set("app_version", value);
        }
    }
}
