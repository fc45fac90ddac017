using System.Collections.Generic;
using System;

namespace FloatLease
{
    /// <summary>A license as the server describes it: the reply of an activation or a check.</summary>
    public sealed class LicenseReply : Reply
    {
        internal LicenseReply(string json) : base(json)
        {
        }

        /// <summary>The server's number of the license.</summary>
        public long? Id => Members["id"].Int64;

        /// <summary>The license key; null for a license that belongs to a user.</summary>
        public string LicenseKey => Members["license_key"].Text;

        /// <summary>The type of the license: "perpetual", "subscription", "time-limited" or "consumption".</summary>
        public string LicenseType => Members["license_type"].Text;

        /// <summary>True if the license is active. The vendor activates it.</summary>
        public bool IsActive => Is(Members["license_active"]);

        /// <summary>True if the license is enabled. The vendor can disable it.</summary>
        public bool IsEnabled => Is(Members["license_enabled"]);

        /// <summary>True if the license has expired.</summary>
        public bool IsExpired => Is(Members["is_expired"]);

        /// <summary>True if the license is a trial.</summary>
        public bool IsTrial => Is(Members["is_trial"]);

        /// <summary>
        /// True if the license floats: the server counts its slots, and <see cref="Client.AcquireLease"/> takes one.
        /// </summary>
        public bool IsFloating => Is(Members["is_floating_cloud"]);

        /// <summary>The date at which the license expires; null if it never does.</summary>
        public DateTimeOffset? ValidityPeriod => Members["validity_period"].Date;

        /// <summary>The date at which the maintenance of the license ends; null if it never does.</summary>
        public DateTimeOffset? MaintenancePeriod => Members["maintenance_period"].Date;

        /// <summary>The server's number of this device.</summary>
        public long? DeviceId => Members["device_id"].Int64;

        /// <summary>The number of slots that the license has.</summary>
        public long? FloatingUsers => Members["floating_users"].Int64;

        /// <summary>The number of slots that are in use.</summary>
        public long? FloatingInUseDevices => Members["floating_in_use_devices"].Int64;

        /// <summary>Minutes without a renewal after which the server frees a slot.</summary>
        public long? FloatingTimeoutMinutes => Members["floating_timeout"].Int64;

        /// <summary>True if a slot of the license may be borrowed.</summary>
        public bool CanBorrow => Is(Members["can_borrow"]);

        /// <summary>The longest borrow in hours.</summary>
        public long? MaxBorrowTimeHours => Members["max_borrow_time"].Int64;

        /// <summary>True if this device has borrowed a slot.</summary>
        public bool IsBorrowed => Is(Members["is_borrowed"]);

        /// <summary>The date until which this device has borrowed its slot; null if it has not.</summary>
        public DateTimeOffset? BorrowedUntil => Members["borrowed_until"].Date;

        /// <summary>The consumptions that were booked so far.</summary>
        public long? TotalConsumptions => Members["total_consumptions"].Int64;

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
