using System;

namespace FloatLease
{
    /// <summary>What was borrowed.</summary>
    public sealed class BorrowReply : Reply
    {
        internal BorrowReply(string json) : base(json)
        {
        }

        /// <summary>The slot is this device's until then.</summary>
        public DateTimeOffset? BorrowedUntil => Members["borrowed_until"].Date;

        /// <summary>The most hours that could be had.</summary>
        public long? MaxBorrowTimeHours => Members["max_borrow_time"].Int64;

        /// <summary>Of which license,</summary>
        public long? LicenseId => Members["license_id"].Int64;

        /// <summary>for which device.</summary>
        public long? DeviceId => Members["device_id"].Int64;

        /// <summary>How many slots are taken.</summary>
        public long? FloatingInUseDevices => Members["floating_in_use_devices"].Int64;
    }
}
