namespace FloatLease
{
    /// <summary>The addresses of a customer account's identity provider.</summary>
    public sealed class OpenidConfiguration : Reply
    {
        internal OpenidConfiguration(JsonValue members) : base(members)
        {
        }

        /// <summary>The name of the provider in the tokens that it issues.</summary>
        public string Issuer => Members["issuer"].Text;

        /// <summary>The address that exchanges a code for a token.</summary>
        public string TokenEndpoint => Members["token_endpoint"].Text;

        /// <summary>The address that signs a user out.</summary>
        public string EndSessionEndpoint => Members["end_session_endpoint"].Text;

        /// <summary>The address that tells whether a token counts.</summary>
        public string IntrospectionEndpoint => Members["introspection_endpoint"].Text;
    }
}
