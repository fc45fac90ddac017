using System;

namespace FloatLease
{
    /// <summary>A license apart from any device.</summary>
    public sealed class OwnedLicense : Reply
    {
        internal OwnedLicense(JsonValue members) : base(members)
        {
        }

        /// <summary>The server's number of the license, for <see cref="LicenseIdentity.LicenseId"/>.</summary>
        public long? Id => Members["id"].Int64;

        /// <summary>The type of the license: "perpetual", "subscription", "time-limited" or "consumption".</summary>
        public string LicenseType => Members["license_type"].Text;

        /// <summary>True if the license is active. The vendor activates it.</summary>
        public bool IsActive => Is(Members["license_active"]);

        /// <summary>True if the license is enabled. The vendor can disable it.</summary>
        public bool IsEnabled => Is(Members["license_enabled"]);

        /// <summary>True if the license is a trial.</summary>
        public bool IsTrial => Is(Members["is_trial"]);

        /// <summary>True if the license has expired.</summary>
        public bool IsExpired => Is(Members["is_expired"]);

        /// <summary>True if the server counts slots: <see cref="Client.AcquireLease"/> takes one.</summary>
        public bool IsFloating => Is(Members["is_floating_cloud"]);

        /// <summary>The date at which the license begins; null if it has begun from the first.</summary>
        public DateTimeOffset? StartDate => Members["start_date"].Date;

        /// <summary>The date at which the license expires; null if it never does.</summary>
        public DateTimeOffset? ValidityPeriod => Members["validity_period"].Date;

        /// <summary>The date at which the maintenance of the license ends; null if it never does.</summary>
        public DateTimeOffset? MaintenancePeriod => Members["maintenance_period"].Date;

        /// <summary>The number of devices that may activate the license.</summary>
        public long? MaxActivations => Members["max_activations"].Int64;

        /// <summary>True if any number of devices may activate the license.</summary>
        public bool AllowsUnlimitedActivations => Is(Members["allow_unlimited_activations"]);

        /// <summary>The number of devices that have activated the license.</summary>
        public long? TimesActivated => Members["times_activated"].Int64;
    }
}
