using System;

namespace FloatLease
{
    /// <summary>The members that replies about a license and about a feature share.</summary>
    public abstract class FloatingReply : Reply
    {
        internal FloatingReply(string json) : base(json)
        {
        }

        internal FloatingReply(JsonValue members) : base(members)
        {
        }

        /// <summary>The server's number of the license, or of the feature.</summary>
        public long? Id => Members["id"].Int64;

        /// <summary>True if the license, or the feature, has expired.</summary>
        public bool IsExpired => Is(Members["is_expired"]);

        /// <summary>True if the server counts slots: <see cref="Client.AcquireLease"/> takes one.</summary>
        public bool IsFloating => Is(Members["is_floating_cloud"]);

        /// <summary>The number of slots that the license, or the feature, has.</summary>
        public long? FloatingUsers => Members["floating_users"].Int64;

        /// <summary>The number of slots that are in use.</summary>
        public long? FloatingInUseDevices => Members["floating_in_use_devices"].Int64;

        /// <summary>Minutes without a renewal after which the server frees a slot.</summary>
        public long? FloatingTimeoutMinutes => Members["floating_timeout"].Int64;

        /// <summary>True if a slot may be borrowed.</summary>
        public bool CanBorrow => Is(Members["can_borrow"]);

        /// <summary>The longest borrow in hours.</summary>
        public long? MaxBorrowTimeHours => Members["max_borrow_time"].Int64;

        /// <summary>True if this device has borrowed a slot.</summary>
        public bool IsBorrowed => Is(Members["is_borrowed"]);

        /// <summary>The date until which this device has borrowed its slot; null if it has not.</summary>
        public DateTimeOffset? BorrowedUntil => Members["borrowed_until"].Date;

        /// <summary>The consumptions that were booked so far.</summary>
        public long? TotalConsumptions => Members["total_consumptions"].Int64;
    }
}
