namespace FloatLease
{
    /// <summary>The request of <see cref="Client.TrialKey"/>.</summary>
    public sealed class TrialRequest : Request
    {
        /// <summary>The trial's policy, if the product has several. Null takes the default one.</summary>
        public string LicensePolicy
        {
            get => Text("license_policy");
            set => Set("license_policy", value);
        }

        /// <summary>The e-mail address of the user. Some policies require it.</summary>
        public string Email
        {
            get => Text("email");
            set => Set("email", value);
        }

        /// <summary>The first name of the user.</summary>
        public string FirstName
        {
            get => Text("first_name");
            set => Set("first_name", value);
        }

        /// <summary>The last name of the user.</summary>
        public string LastName
        {
            get => Text("last_name");
            set => Set("last_name", value);
        }

        /// <summary>The phone number of the user.</summary>
        public string Phone
        {
            get => Text("phone");
            set => Set("phone", value);
        }

        /// <summary>The street and house number of the user.</summary>
        public string Address
        {
            get => Text("address");
            set => Set("address", value);
        }

        /// <summary>The postcode of the user.</summary>
        public string Postcode
        {
            get => Text("postcode");
            set => Set("postcode", value);
        }

        /// <summary>The state or province of the user.</summary>
        public string State
        {
            get => Text("state");
            set => Set("state", value);
        }

        /// <summary>The country of the user.</summary>
        public string Country
        {
            get => Text("country");
            set => Set("country", value);
        }

        /// <summary>The city of the user.</summary>
        public string City
        {
            get => Text("city");
            set => Set("city", value);
        }

        /// <summary>A text of yours that the vendor sees beside the user.</summary>
        public string Reference
        {
            get => Text("reference");
            set => Set("reference", value);
        }

        /// <summary>The company of the user.</summary>
        public string CompanyName
        {
            get => Text("company_name");
            set => Set("company_name", value);
        }
    }
}
