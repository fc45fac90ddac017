using System;

namespace FloatLease
{
    /// <summary>Something happened to a lease.</summary>
    public class LeaseEvent : ClientEvent
    {
        internal LeaseEvent(string json, JsonValue members) : base(json, members)
        {
        }

        /// <summary>
        /// What happened; <see cref="LeaseEventKind.Other"/> for what this version does not know: see Name.
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

        /// <summary>Whether this is the time to save: the license is about to be lost, or is.</summary>
        public bool IsTimeToSave => Kind == LeaseEventKind.GraceStarted || Kind == LeaseEventKind.Lost;

        /// <summary>The lease, or null if it is not acquired yet, or was disposed or dropped.</summary>
        public Lease Lease { get; internal set; }

        /// <summary>Its number.</summary>
        public long LeaseNumber => Members["lease"].Int64 ?? 0;

        /// <summary>How it stands.</summary>
        public LeaseState State => LeaseStates.Named(Members["state"].Text);

        /// <summary>The time until licensed work must stop.</summary>
        public TimeSpan Remaining => Dates.Length(Members["remaining_ms"].Int64) ?? TimeSpan.Zero;

        /// <summary>Why: the last failure, or Ok.</summary>
        public Status Status => (Status)(Members["status"].Int64 ?? 0);

        /// <summary>The last failure in a sentence; null without one.</summary>
        public string Reason => Members["reason"].Text;

        /// <summary>Until when it is borrowed.</summary>
        public DateTimeOffset? BorrowedUntil => Members["borrowed_until"].Date;

        /// <summary>When it happened.</summary>
        public DateTimeOffset? At => Members["at"].Date;
    }
}
