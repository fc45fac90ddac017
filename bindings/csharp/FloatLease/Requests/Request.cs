using System;

namespace FloatLease
{
    /// <summary>What every request may say. All of it has its default in the client's config.</summary>
    public class Request : JsonBag
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

        /// <summary>Another license than the config's; or</summary>
        public string LicenseKey
        {
            get => Text("license_key");
            set => Set("license_key", value);
        }

        /// <summary>the user of a user-based product, with his</summary>
        public string Username
        {
            get => Text("username");
            set => Set("username", value);
        }

        /// <summary>password; or</summary>
        public string Password
        {
            get => Text("password");
            set => Set("password", value);
        }

        /// <summary>an SSO token, or</summary>
        public string IdToken
        {
            get => Text("id_token");
            set => Set("id_token", value);
        }

        /// <summary>an SSO code, either with</summary>
        public string Code
        {
            get => Text("code");
            set => Set("code", value);
        }

        /// <summary>the customer account, and with a code perhaps</summary>
        public string CustomerAccountCode
        {
            get => Text("customer_account_code");
            set => Set("customer_account_code", value);
        }

        /// <summary>where the code came to.</summary>
        public string RedirectUri
        {
            get => Text("redirect_uri");
            set => Set("redirect_uri", value);
        }

        /// <summary>Which of several licenses of a user.</summary>
        public long? LicenseId
        {
            get => Integer("license_id");
            set => Set("license_id", value);
        }

        /// <summary>The bundle the license came with.</summary>
        public string BundleCode
        {
            get => Text("bundle_code");
            set => Set("bundle_code", value);
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
