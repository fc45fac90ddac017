using System;

namespace FloatLease
{
    /// <summary>A feature as the server describes it.</summary>
    public sealed class FeatureReply : FloatingReply
    {
        internal FeatureReply(string json) : base(json)
        {
        }

        internal FeatureReply(JsonValue members) : base(members)
        {
        }

        /// <summary>The server's number of the license that has the feature; null in the list of a license.</summary>
        public long? LicenseId => Members["license_id"].Int64;

        /// <summary>The code that names the feature in requests.</summary>
        public string Code => Members["code"].Text;

        /// <summary>The name of the feature, for people.</summary>
        public string Name => Members["name"].Text;

        /// <summary>The type of the feature: "activation" or "consumption".</summary>
        public string FeatureType => Members["feature_type"].Text;

        /// <summary>The date at which the feature expires; null if it never does.</summary>
        public DateTimeOffset? ExpiryDate => Members["expiry_date"].Date;

        /// <summary>The consumptions that the feature includes.</summary>
        public long? MaxConsumptions => Members["max_consumption"].Int64;
    }
}
