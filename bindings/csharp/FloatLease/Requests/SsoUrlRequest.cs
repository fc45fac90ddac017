namespace FloatLease
{
    /// <summary>
    /// The request of <see cref="Client.SsoUrl"/>. It requires <see cref="LicenseIdentity.CustomerAccountCode"/>.
    /// </summary>
    public sealed class SsoUrlRequest : Request
    {
        /// <summary>"code" or "token": what the browser brings back. Null asks for a code.</summary>
        public string ResponseType
        {
            get => Text("response_type");
            set => Set("response_type", value);
        }
    }
}
