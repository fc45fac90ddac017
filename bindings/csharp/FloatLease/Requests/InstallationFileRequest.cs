namespace FloatLease
{
    /// <summary>The request of <see cref="Client.InstallationFile"/>.</summary>
    public sealed class InstallationFileRequest : VersionsRequest
    {
        /// <summary>The version whose file is meant, for example "1.0.0". Null means the newest.</summary>
        public string Version
        {
            get => Text("version");
            set => Set("version", value);
        }
    }
}
