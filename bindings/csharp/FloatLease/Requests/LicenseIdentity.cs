namespace FloatLease
{
    /// <summary>
    /// The properties that name a license. In a config they name the client's license; in a request, another one for
    /// that call.
    /// </summary>
    /// <remarks>
    /// A license is named by its key; by a user with a password; or by an SSO token or code with a customer account.
    /// </remarks>
    public abstract class LicenseIdentity : JsonMembers
    {
        internal LicenseIdentity()
        {
        }

        /// <summary>The license key. It names the license of a key-based product.</summary>
        public string LicenseKey
        {
            get => Text("license_key");
            set => Set("license_key", value);
        }

        /// <summary>The user whose license is used, for a user-based product. Needs <see cref="Password"/>.</summary>
        public string Username
        {
            get => Text("username");
            set => Set("username", value);
        }

        /// <summary>The password of <see cref="Username"/>. Needed for a user-based license.</summary>
        public string Password
        {
            get => Text("password");
            set => Set("password", value);
        }

        /// <summary>An SSO token that names the user. Needs <see cref="CustomerAccountCode"/>.</summary>
        public string IdToken
        {
            get => Text("id_token");
            set => Set("id_token", value);
        }

        /// <summary>
        /// An SSO code that names the user. Needs <see cref="CustomerAccountCode"/>, and perhaps
        /// <see cref="RedirectUri"/>.
        /// </summary>
        public string Code
        {
            get => Text("code");
            set => Set("code", value);
        }

        /// <summary>The customer account that an SSO token or code belongs to.</summary>
        public string CustomerAccountCode
        {
            get => Text("customer_account_code");
            set => Set("customer_account_code", value);
        }

        /// <summary>The address to which the SSO provider sent <see cref="Code"/>.</summary>
        public string RedirectUri
        {
            get => Text("redirect_uri");
            set => Set("redirect_uri", value);
        }

        /// <summary>The server's number of the license, for a user who has several.</summary>
        public long? LicenseId
        {
            get => Integer("license_id");
            set => Set("license_id", value);
        }

        /// <summary>The code of the bundle that the license came with.</summary>
        public string BundleCode
        {
            get => Text("bundle_code");
            set => Set("bundle_code", value);
        }
    }
}
