namespace FloatLease
{
    /// <summary>The request of <see cref="Client.ActivateLicense"/> and <see cref="Client.ActivateBundle"/>.</summary>
    public sealed class ActivationRequest : DeviceRequest
    {
        /// <summary>Device variables that the license keeps for this device: an object of names and values.</summary>
        public JsonValue Variables
        {
            get => Members["variables"];
            set => Members["variables"] = value;
        }
    }
}
