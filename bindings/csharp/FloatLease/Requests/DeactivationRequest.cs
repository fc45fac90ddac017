namespace FloatLease
{
    /// <summary>
    /// The request of <see cref="Client.DeactivateLicense"/> and <see cref="Client.DeactivateBundle"/>.
    /// </summary>
    public sealed class DeactivationRequest : Request
    {
        /// <summary>Device variables that the license keeps for this device: an object of names and values.</summary>
        public JsonValue Variables
        {
            get => Members["variables"];
            set => Members["variables"] = value;
        }
    }
}
