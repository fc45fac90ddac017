namespace FloatLease
{
    /// <summary>For <see cref="Client.DeactivateLicense"/>.</summary>
    public sealed class DeactivationRequest : Request
    {
        /// <summary>An object of what the license keeps about the device.</summary>
        public JsonValue Variables
        {
            get => Members["variables"];
            set => Members["variables"] = value;
        }
    }
}
