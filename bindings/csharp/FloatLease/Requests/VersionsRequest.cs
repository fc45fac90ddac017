namespace FloatLease
{
    /// <summary>The request of <see cref="Client.Versions"/>.</summary>
    public class VersionsRequest : Request
    {
        /// <summary>
        /// The environment whose versions are meant, for example "win64" or "linux64". Null means every environment.
        /// </summary>
        public string Environment
        {
            get => Text("env");
            set => Set("env", value);
        }

        /// <summary>
        /// The release channel whose versions are meant, for example "beta". Null means those that are in none.
        /// </summary>
        public string Channel
        {
            get => Text("channel");
            set => Set("channel", value);
        }
    }
}
