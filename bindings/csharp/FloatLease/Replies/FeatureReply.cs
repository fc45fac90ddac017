using System;

namespace FloatLease
{
    /// <summary>How a feature stands.</summary>
    public sealed class FeatureReply : Reply
    {
        internal FeatureReply(string json) : base(json)
        {
        }

        internal FeatureReply(JsonValue members) : base(members)
        {
        }

        /// <summary>The feature's number.</summary>
        public long? Id => Members["id"].Int64;

        /// <summary>That of its license, of a check.</summary>
        public long? LicenseId => Members["license_id"].Int64;

        /// <summary>Its code,</summary>
        public string Code => Members["code"].Text;

        /// <summary>and its name.</summary>
        public string Name => Members["name"].Text;

        /// <summary>"activation" or "consumption".</summary>
        public string FeatureType => Members["feature_type"].Text;

        /// <summary>Whether it is expired,</summary>
        public bool IsExpired => Is(Members["is_expired"]);

        /// <summary>and when.</summary>
        public DateTimeOffset? ExpiryDate => Members["expiry_date"].Date;

        /// <summary>Whether it floats: its slots are counted by the server.</summary>
        public bool IsFloating => Is(Members["is_floating_cloud"]);

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
        public long? MaxConsumptions => Members["max_consumption"].Int64;
    }
}
