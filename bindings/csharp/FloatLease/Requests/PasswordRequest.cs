namespace FloatLease
{
    /// <summary>The request of <see cref="Client.ChangePassword"/>.</summary>
    public sealed class PasswordRequest : Request
    {
        /// <summary>The password that replaces <see cref="LicenseIdentity.Password"/>. Required.</summary>
        public string NewPassword
        {
            get => Text("new_password");
            set => Set("new_password", value);
        }
    }
}
