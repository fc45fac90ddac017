namespace FloatLease
{
    /// <summary>The request of <see cref="Client.CheckLicense"/> and <see cref="Client.CheckBundle"/>.</summary>
    public sealed class CheckRequest : DeviceRequest
    {
        /// <summary>True makes the reply list expired features too.</summary>
        public bool? IncludeExpiredFeatures
        {
            get => Boolean("include_expired_features");
            set => Set("include_expired_features", value);
        }

        /// <summary>The environment whose latest version the reply names, for example "win64" or "linux64".</summary>
        public string Environment
        {
            get => Text("env");
            set => Set("env", value);
        }

        /// <summary>The release channel whose latest version the reply names.</summary>
        public string Channel
        {
            get => Text("channel");
            set => Set("channel", value);
        }
    }
}
