namespace FloatLease
{
    /// <summary>A product as the server describes it.</summary>
    public sealed class ProductReply : Reply
    {
        internal ProductReply(string json) : base(json)
        {
        }

        /// <summary>The server's number of the product.</summary>
        public long? ProductId => Members["product_id"].Int64;

        /// <summary>The name of the product, for people.</summary>
        public string Name => Members["product_name"].Text;

        /// <summary>The code that names the product in configs and requests.</summary>
        public string ShortCode => Members["short_code"].Text;

        /// <summary>The way in which licenses of the product are named: "license-key" or "user".</summary>
        public string AuthorizationMethod => Members["authorization_method"].Text;

        /// <summary>True if the product offers trials: <see cref="Client.TrialKey"/> gives one.</summary>
        public bool AllowsTrial => Is(Members["allow_trial"]);

        /// <summary>The number of days that a trial lasts.</summary>
        public long? TrialDays => Members["trial_days"].Int64;

        /// <summary>
        /// Minutes without a renewal after which the server frees a slot, unless the license says otherwise.
        /// </summary>
        public long? FloatingTimeoutMinutes => Members["floating_timeout"].Int64;

        /// <summary>
        /// The latest version, if <see cref="ProductRequest.IncludeLatestVersion"/> asked for it; null if there is none.
        /// </summary>
        public InstallationFileReply LatestVersion
        {
            get
            {
                JsonValue version = Members["latest_version"];
                return version.Kind == JsonKind.Object ? new InstallationFileReply(version) : null;
            }
        }
    }
}
