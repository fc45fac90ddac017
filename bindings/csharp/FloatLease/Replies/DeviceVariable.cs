using System;

namespace FloatLease
{
    /// <summary>A value that the server keeps for a device.</summary>
    public sealed class DeviceVariable : Reply
    {
        internal DeviceVariable(JsonValue members) : base(members)
        {
        }

        /// <summary>The name of the variable.</summary>
        public string Name => Members["variable"].Text;

        /// <summary>The value. The server keeps numbers and booleans as texts.</summary>
        public string Value => Members["value"].Text;

        /// <summary>The server's number of the device.</summary>
        public long? DeviceId => Members["device_id"].Int64;

        /// <summary>The time at which the value was set.</summary>
        public DateTimeOffset? CreatedAt => Moment(Members["created_at"]);
    }
}
