using System.Collections.Generic;
using System;

namespace FloatLease
{
    /// <summary>A license as the server describes it, in the replies of activations and checks.</summary>
    public sealed class LicenseReply : FloatingReply
    {
        internal LicenseReply(string json) : base(json)
        {
        }

        internal LicenseReply(JsonValue members) : base(members)
        {
        }

        /// <summary>The license key; null for a license that belongs to a user.</summary>
        public string LicenseKey => Members["license_key"].Text;

        /// <summary>The type of the license: "perpetual", "subscription", "time-limited" or "consumption".</summary>
        public string LicenseType => Members["license_type"].Text;

        /// <summary>True if the license is active. The vendor activates it.</summary>
        public bool IsActive => Is(Members["license_active"]);

        /// <summary>True if the license is enabled. The vendor can disable it.</summary>
        public bool IsEnabled => Is(Members["license_enabled"]);

        /// <summary>True if the license is a trial.</summary>
        public bool IsTrial => Is(Members["is_trial"]);

        /// <summary>The date at which the license expires; null if it never does.</summary>
        public DateTimeOffset? ValidityPeriod => Members["validity_period"].Date;

        /// <summary>The date at which the maintenance of the license ends; null if it never does.</summary>
        public DateTimeOffset? MaintenancePeriod => Members["maintenance_period"].Date;

        /// <summary>The server's number of this device.</summary>
        public long? DeviceId => Members["device_id"].Int64;

        /// <summary>The consumptions that the license includes.</summary>
        public long? MaxConsumptions => Members["max_consumptions"].Int64;

        /// <summary>The features of the license.</summary>
        public IReadOnlyList<FeatureReply> Features
        {
            get
            {
                var features = new List<FeatureReply>();
                foreach (JsonValue one in Members["product_features"].Items) features.Add(new FeatureReply(one));
                return features;
            }
        }
    }
}
