using System;
using System.Collections.Generic;

namespace FloatLease
{
    /// <summary>An event of a lease, such as a failed renewal or the loss of the slot.</summary>
    public class LeaseEvent : ClientEvent
    {
        internal LeaseEvent(string json, JsonValue members) : base(json, members)
        {
        }

        /// <summary>
        /// The kind of the event; <see cref="LeaseEventKind.Other"/> for one that this version does not know, whose
        /// Name says more.
        /// </summary>
        public LeaseEventKind Kind
        {
            get
            {
                switch (Name)
                {
                    case "DEGRADED": return LeaseEventKind.Degraded;
                    case "RENEWED": return LeaseEventKind.Renewed;
                    case "GRACE_STARTED": return LeaseEventKind.GraceStarted;
                    case "LOST": return LeaseEventKind.Lost;
                    case "REGAINED": return LeaseEventKind.Regained;
                    case "BORROW_ENDING": return LeaseEventKind.BorrowEnding;
                    case "EXPIRING": return LeaseEventKind.Expiring;
                    case "WAITING": return LeaseEventKind.Waiting;
                    default: return LeaseEventKind.Other;
                }
            }
        }

        /// <summary>True if the user's work should be saved now: the license is about to be lost, or is lost.</summary>
        public bool IsTimeToSave => Kind == LeaseEventKind.GraceStarted || Kind == LeaseEventKind.Lost;

        /// <summary>
        /// The lease that the event is about; null if it is not acquired yet, or was disposed or dropped.
        /// </summary>
        public Lease Lease { get; internal set; }

        /// <summary>The number of the lease, as <see cref="Lease.Number"/> gives it.</summary>
        public long LeaseNumber => Members["lease"].Int64 ?? 0;

        /// <summary>The features of the lease; an empty list for the license's own slot.</summary>
        public IReadOnlyList<string> Features => Members["features"].Texts;

        /// <summary>The text of <see cref="LeaseRequest.Tag"/>; null if there was none.</summary>
        public string Tag => Members["tag"].Text;

        /// <summary>The state of the lease after the event.</summary>
        public LeaseState State => LeaseStates.Named(Members["state"].Text);

        /// <summary>The time until licensed work must stop.</summary>
        public TimeSpan Remaining => Dates.Length(Members["remaining_ms"].Int64) ?? TimeSpan.Zero;

        /// <summary>The status of the last failure; Ok if the last request succeeded.</summary>
        public Status Status => (Status)(Members["status"].Int64 ?? 0);

        /// <summary>A sentence about the last failure; null if the last request succeeded.</summary>
        public string Reason => Members["reason"].Text;

        /// <summary>The date until which the lease is borrowed; null if it is not.</summary>
        public DateTimeOffset? BorrowedUntil => Members["borrowed_until"].Date;

        /// <summary>The time of the event.</summary>
        public DateTimeOffset? At => Members["at"].Date;
    }
}
