namespace FloatLease
{
    /// <summary>How a license is named: in a config the client's own, in a request another one for this call.</summary>
    public abstract class LicenseNaming : JsonBag
    {
        internal LicenseNaming()
        {
        }

        /// <summary>Names the license; or</summary>
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
    }
}
