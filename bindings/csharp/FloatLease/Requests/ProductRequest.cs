namespace FloatLease
{
    /// <summary>The request of <see cref="Client.ProductDetails"/>.</summary>
    public sealed class ProductRequest : Request
    {
        /// <summary>True makes the reply name the latest version of the product.</summary>
        public bool? IncludeLatestVersion
        {
            get => Boolean("include_latest_version");
            set => Set("include_latest_version", value);
        }

        /// <summary>True makes the reply include the product's custom fields.</summary>
        public bool? IncludeCustomFields
        {
            get => Boolean("include_custom_fields");
            set => Set("include_custom_fields", value);
        }

        /// <summary>The environment whose latest version the reply names, for example "win64" or "linux64".</summary>
        public string Environment
        {
            get => Text("env");
            set => Set("env", value);
        }

        /// <summary>The release channel whose latest version the reply names, for example "beta".</summary>
        public string Channel
        {
            get => Text("channel");
            set => Set("channel", value);
        }
    }
}
