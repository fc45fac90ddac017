using System.Collections.Generic;

namespace FloatLease
{
    /// <summary>The values that the server keeps for a device.</summary>
    public sealed class DeviceVariablesReply : Reply
    {
        internal DeviceVariablesReply(string json) : base(json)
        {
        }

        /// <summary>
        /// The variables: all of the device, or those that <see cref="Client.TrackDeviceVariables"/> has set.
        /// </summary>
        public IReadOnlyList<DeviceVariable> Variables
        {
            get
            {
                var list = new List<DeviceVariable>();
                foreach (JsonValue one in Members["items"].Items) list.Add(new DeviceVariable(one));
                return list;
            }
        }
    }
}
