using System;

namespace FloatLease
{
    /// <summary>A feature as the server describes it.</summary>
    public sealed class FeatureReply : Reply
    {
        internal FeatureReply(string json) : base(json)
        {
        }

        internal FeatureReply(JsonValue members) : base(members)
        {
        }

        /// <summary>The server's number of the feature.</summary>
        public long? Id => Members["id"].Int64;

        /// <summary>The server's number of the license that has the feature; null in the list of a license.</summary>
        public long? LicenseId => Members["license_id"].Int64;

        /// <summary>The code that names the feature in requests.</summary>
        public string Code => Members["code"].Text;

        /// <summary>The name of the feature, for people.</summary>
        public string Name => Members["name"].Text;

        /// <summary>The type of the feature: "activation" or "consumption".</summary>
        public string FeatureType => Members["feature_type"].Text;

        /// <summary>True if the feature has expired.</summary>
        public bool IsExpired => Is(Members["is_expired"]);

        /// <summary>The date at which the feature expires; null if it never does.</summary>
        public DateTimeOffset? ExpiryDate => Members["expiry_date"].Date;

        /// <summary>
        /// True if the feature floats: the server counts its slots, and <see cref="Client.AcquireLease"/> takes one.
        /// </summary>
        public bool IsFloating => Is(Members["is_floating_cloud"]);

        /// <summary>The number of slots that the feature has.</summary>
        public long? FloatingUsers => Members["floating_users"].Int64;

        /// <summary>The number of slots that are in use.</summary>
        public long? FloatingInUseDevices => Members["floating_in_use_devices"].Int64;

        /// <summary>Minutes without a renewal after which the server frees a slot.</summary>
        public long? FloatingTimeoutMinutes => Members["floating_timeout"].Int64;

        /// <summary>True if a slot of the feature may be borrowed.</summary>
        public bool CanBorrow => Is(Members["can_borrow"]);

        /// <summary>The longest borrow in hours.</summary>
        public long? MaxBorrowTimeHours => Members["max_borrow_time"].Int64;

        /// <summary>True if this device has borrowed a slot.</summary>
        public bool IsBorrowed => Is(Members["is_borrowed"]);

        /// <summary>The date until which this device has borrowed its slot; null if it has not.</summary>
        public DateTimeOffset? BorrowedUntil => Members["borrowed_until"].Date;

        /// <summary>The consumptions that were booked so far.</summary>
        public long? TotalConsumptions => Members["total_consumptions"].Int64;

        /// <summary>The consumptions that the feature includes.</summary>
        public long? MaxConsumptions => Members["max_consumption"].Int64;
    }
}
