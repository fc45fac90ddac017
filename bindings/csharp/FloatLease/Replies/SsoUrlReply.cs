using System.Collections.Generic;

namespace FloatLease
{
    /// <summary>The place where a user signs in by single sign-on.</summary>
    public sealed class SsoUrlReply : Reply
    {
        internal SsoUrlReply(string json) : base(json)
        {
        }

        /// <summary>The address to open in a browser.</summary>
        public string Url => Members["url"].Text;

        /// <summary>The addresses of the identity provider.</summary>
        public OpenidConfiguration OpenidConfiguration => new OpenidConfiguration(Members["openid_configuration"]);

        /// <summary>
        /// One sign-in for each address that the browser may come back to. Each has <c>url</c>, <c>redirect_uri</c> and
        /// <c>is_default</c>.
        /// </summary>
        public IReadOnlyList<JsonValue> AlternateUrls => Members["alternate_urls"].Items;
    }
}
