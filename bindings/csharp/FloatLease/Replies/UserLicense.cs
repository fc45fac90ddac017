namespace FloatLease
{
    /// <summary>A license that a user may use, as <see cref="Client.UserLicenses"/> lists it.</summary>
    public sealed class UserLicense : Reply
    {
        internal UserLicense(JsonValue members) : base(members)
        {
        }

        /// <summary>The license, apart from any device.</summary>
        public OwnedLicense License => new OwnedLicense(Members["license"]);

        /// <summary>The user.</summary>
        public LicenseUser User => new LicenseUser(Members["user"]);
    }
}
