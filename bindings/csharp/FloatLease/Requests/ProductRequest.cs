namespace FloatLease
{
    /// <summary>For <see cref="Client.ProductDetails"/>.</summary>
    public sealed class ProductRequest : Request
    {
        /// <summary>Whether the newest version is told.</summary>
        public bool? IncludeLatestVersion
        {
            get => Boolean("include_latest_version");
            set => Set("include_latest_version", value);
        }

        /// <summary>Whether custom fields are told.</summary>
        public bool? IncludeCustomFields
        {
            get => Boolean("include_custom_fields");
            set => Set("include_custom_fields", value);
        }

        /// <summary>Of which environment.</summary>
        public string Environment
        {
            get => Text("env");
            set => Set("env", value);
        }
    }
}
