namespace FloatLease
{
    /// <summary>For <see cref="Client.CheckLicense"/>.</summary>
    public sealed class CheckRequest : DeviceRequest
    {
        /// <summary>Whether the reply lists expired features too.</summary>
        public bool? IncludeExpiredFeatures
        {
            get => Boolean("include_expired_features");
            set => Set("include_expired_features", value);
        }

        /// <summary>Of which environment the newest version is told.</summary>
        public string Environment
        {
            get => Text("env");
            set => Set("env", value);
        }

        /// <summary>Of which channel.</summary>
        public string Channel
        {
            get => Text("channel");
            set => Set("channel", value);
        }
    }
}
