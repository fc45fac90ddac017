using System.Collections.Generic;
using System;

namespace FloatLease
{
    /// <summary>How a license stands, of an activation or a check.</summary>
    public sealed class LicenseReply : Reply
    {
        internal LicenseReply(string json) : base(json)
        {
        }

        /// <summary>The license's number.</summary>
        public long? Id => Members["id"].Int64;

        /// <summary>Its key, if it has one.</summary>
        public string LicenseKey => Members["license_key"].Text;

        /// <summary>For example "perpetual", "subscription", "time-limited" or "consumption".</summary>
        public string LicenseType => Members["license_type"].Text;

        /// <summary>Whether it is active,</summary>
        public bool IsActive => Is(Members["license_active"]);

        /// <summary>enabled,</summary>
        public bool IsEnabled => Is(Members["license_enabled"]);

        /// <summary>expired,</summary>
        public bool IsExpired => Is(Members["is_expired"]);

        /// <summary>a trial,</summary>
        public bool IsTrial => Is(Members["is_trial"]);

        /// <summary>or floating: its slots are counted by the server.</summary>
        public bool IsFloating => Is(Members["is_floating_cloud"]);

        /// <summary>When it expires.</summary>
        public DateTimeOffset? ValidityPeriod => Members["validity_period"].Date;

        /// <summary>When its maintenance ends.</summary>
        public DateTimeOffset? MaintenancePeriod => Members["maintenance_period"].Date;

        /// <summary>The server's number of this device.</summary>
        public long? DeviceId => Members["device_id"].Int64;

        /// <summary>How many slots there are.</summary>
        public long? FloatingUsers => Members["floating_users"].Int64;

        /// <summary>How many are taken.</summary>
        public long? FloatingInUseDevices => Members["floating_in_use_devices"].Int64;

        /// <summary>After how many minutes without a renewal the server frees a slot.</summary>
        public long? FloatingTimeoutMinutes => Members["floating_timeout"].Int64;

        /// <summary>Whether a slot may be borrowed,</summary>
        public bool CanBorrow => Is(Members["can_borrow"]);

        /// <summary>for how many hours at most;</summary>
        public long? MaxBorrowTimeHours => Members["max_borrow_time"].Int64;

        /// <summary>whether this device has borrowed one,</summary>
        public bool IsBorrowed => Is(Members["is_borrowed"]);

        /// <summary>and until when.</summary>
        public DateTimeOffset? BorrowedUntil => Members["borrowed_until"].Date;

        /// <summary>How much was consumed.</summary>
        public long? TotalConsumptions => Members["total_consumptions"].Int64;

        /// <summary>How much may be.</summary>
        public long? MaxConsumptions => Members["max_consumptions"].Int64;

        /// <summary>The license's features.</summary>
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
