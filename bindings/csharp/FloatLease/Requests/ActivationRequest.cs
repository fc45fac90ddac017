namespace FloatLease
{
    /// <summary>For <see cref="Client.ActivateLicense"/>.</summary>
    public sealed class ActivationRequest : DeviceRequest
    {
        /// <summary>An object of what the license keeps about the device.</summary>
        public JsonValue Variables
        {
            get => Members["variables"];
            set => Members["variables"] = value;
        }
    }
}
