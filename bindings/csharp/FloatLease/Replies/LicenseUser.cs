namespace FloatLease
{
    /// <summary>A user of a license.</summary>
    public sealed class LicenseUser : Reply
    {
        internal LicenseUser(JsonValue members) : base(members)
        {
        }

        /// <summary>The server's number of the user.</summary>
        public long? Id => Members["id"].Int64;

        /// <summary>The e-mail address, which is the user's name.</summary>
        public string Email => Members["email"].Text;

        /// <summary>The first name.</summary>
        public string FirstName => Members["first_name"].Text;

        /// <summary>The last name.</summary>
        public string LastName => Members["last_name"].Text;

        /// <summary>The phone number.</summary>
        public string PhoneNumber => Members["phone_number"].Text;

        /// <summary>True until the user changes the password that an administrator gave.</summary>
        public bool IsInitialPassword => Is(Members["is_initial_password"]);

        /// <summary>The number of devices on which the user may activate licenses.</summary>
        public long? MaxActivations => Members["max_activations"].Int64;

        /// <summary>True if the user may activate licenses on any number of devices.</summary>
        public bool AllowsUnlimitedActivations => Is(Members["allow_unlimited_activations"]);

        /// <summary>The number of devices on which the user has activated licenses.</summary>
        public long? TotalActivations => Members["total_activations"].Int64;
    }
}
