namespace FloatLease
{
    /// <summary>The request of <see cref="Client.TrackDeviceVariables"/>.</summary>
    public sealed class DeviceVariablesRequest : Request
    {
        /// <summary>The values to keep: an object of names and texts, numbers or booleans. Required.</summary>
        public JsonValue Variables
        {
            get => Members["variables"];
            set => Members["variables"] = value;
        }
    }
}
