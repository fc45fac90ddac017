using System;

namespace FloatLease
{
    /// <summary>The reply of a borrow.</summary>
    public sealed class BorrowReply : Reply
    {
        internal BorrowReply(string json) : base(json)
        {
        }

        /// <summary>The date until which the slot is this device's.</summary>
        public DateTimeOffset? BorrowedUntil => Members["borrowed_until"].Date;

        /// <summary>The longest borrow in hours.</summary>
        public long? MaxBorrowTimeHours => Members["max_borrow_time"].Int64;

        /// <summary>The server's number of the license.</summary>
        public long? LicenseId => Members["license_id"].Int64;

        /// <summary>The server's number of this device.</summary>
        public long? DeviceId => Members["device_id"].Int64;

        /// <summary>The number of slots that are in use.</summary>
        public long? FloatingInUseDevices => Members["floating_in_use_devices"].Int64;
    }
}
