namespace FloatLease
{
    /// <summary>What the server says of a product.</summary>
    public sealed class ProductReply : Reply
    {
        internal ProductReply(string json) : base(json)
        {
        }

        /// <summary>Its number,</summary>
        public long? ProductId => Members["product_id"].Int64;

        /// <summary>its name,</summary>
        public string Name => Members["product_name"].Text;

        /// <summary>its code.</summary>
        public string ShortCode => Members["short_code"].Text;

        /// <summary>How licenses of it are named.</summary>
        public string AuthorizationMethod => Members["authorization_method"].Text;

        /// <summary>Whether there are trials of it.</summary>
        public bool AllowsTrial => Is(Members["allow_trial"]);

        /// <summary>
        /// After how many minutes without a renewal a slot is freed, unless the license says otherwise.
        /// </summary>
        public long? FloatingTimeoutMinutes => Members["floating_timeout"].Int64;
    }
}
