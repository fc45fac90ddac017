using System;

namespace FloatLease
{
    /// <summary>The trial of a product that this device has.</summary>
    public sealed class TrialReply : Reply
    {
        internal TrialReply(string json) : base(json)
        {
        }

        /// <summary>
        /// The key of the trial's license, for <see cref="LicenseIdentity.LicenseKey"/>. A device that asks again gets
        /// the same.
        /// </summary>
        public string License => Members["license"].Text;

        /// <summary>The type of the license, for example "time-limited".</summary>
        public string LicenseType => Members["license_type"].Text;

        /// <summary>True if the license is a trial.</summary>
        public bool IsTrial => Is(Members["is_trial"]);

        /// <summary>
        /// The server's number of the license; null if this device had the trial already, as in all properties below.
        /// </summary>
        public long? Id => Members["id"].Int64;

        /// <summary>The number of days that a new trial lasts from its activation on.</summary>
        public long? TrialDays => Members["trial_days"].Int64;

        /// <summary>The time at which a new trial was given.</summary>
        public DateTimeOffset? CreatedAt => Moment(Members["created_at"]);

        /// <summary>The number of devices that may activate a new trial.</summary>
        public long? MaxActivations => Members["max_activations"].Int64;

        /// <summary>
        /// True if the server counts slots of a new trial: <see cref="Client.AcquireLease"/> takes one.
        /// </summary>
        public bool IsFloating => Is(Members["is_floating_cloud"]);
    }
}
