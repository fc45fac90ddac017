using System;
using System.Collections.Generic;

namespace FloatLease
{
    /// <summary>The request of <see cref="Client.AcquireLease"/>.</summary>
    /// <remarks><see cref="Request.Timeout"/> is the deadline of each request about the lease, renewals too.</remarks>
    public sealed class LeaseRequest : Request
    {
        /// <summary>Makes a request for the license's own slot, unless features are set.</summary>
        public LeaseRequest()
        {
        }

        /// <summary>Makes a request for the slots of these features: all of them or none.</summary>
        public LeaseRequest(params string[] features)
        {
            Features = features;
        }

        /// <summary>
        /// The code of the floating feature to take. Without it the lease takes the license's own slot.
        /// </summary>
        public string Feature
        {
            get => Text("feature");
            set => Set("feature", value);
        }

        /// <summary>The codes of up to 64 features. The lease takes the slots of all of them, or none.</summary>
        public IReadOnlyList<string> Features
        {
            get => Texts("features");
            set => Set("features", value);
        }

        /// <summary>
        /// A text of your own, of up to 256 bytes in UTF-8, which the events and the info of the lease repeat.
        /// </summary>
        public string Tag
        {
            get => Text("tag");
            set => Set("tag", value);
        }

        /// <summary>
        /// True activates a machine that is new to the license first, as part of the same call. By default the acquire
        /// fails there with <see cref="Status.DeviceNotFound"/>.
        /// </summary>
        public bool? Activate
        {
            get => Boolean("activate");
            set => Set("activate", value);
        }

        /// <summary>
        /// "thread" (default): a thread of the library renews the lease. "host": your program calls
        /// <see cref="Lease.Renew"/>, and <see cref="Client.Pump"/> every second or so.
        /// </summary>
        public string KeepAlive
        {
            get => Text("keep_alive");
            set => Set("keep_alive", value);
        }

        /// <summary>
        /// The time that licensed work may go on after the slot may have gone to another device; by default 5 minutes.
        /// </summary>
        public TimeSpan? Grace
        {
            get => Length("grace_ms");
            set => Set("grace_ms", value);
        }

        /// <summary>
        /// Hours before the end of a borrow, or before a license expires, at which an event announces it; by default 2.
        /// </summary>
        public long? BorrowEndingHours
        {
            get => Integer("borrow_ending_hours");
            set => Set("borrow_ending_hours", value);
        }

        /// <summary>The time to queue for a slot while all are taken. By default the acquire fails at once.</summary>
        public TimeSpan? Wait
        {
            get => Length("wait_ms");
            set => Set("wait_ms", value);
        }

        /// <summary>
        /// The time within which the library gives the slot back in the background after the lease was disposed; by
        /// default 5 seconds. With zero, or with <c>"host"</c> as <see cref="KeepAlive"/>, the library gives nothing back.
        /// </summary>
        public TimeSpan? ReleaseOnClose
        {
            get => Length("release_on_close_ms");
            set => Set("release_on_close_ms", value);
        }

        /// <summary>Reads a request from a JSON object, for example one with keys that have no property here.</summary>
        /// <exception cref="System.FormatException">The text is not a JSON object.</exception>
        public static LeaseRequest Parse(string json)
        {
            var request = new LeaseRequest();
            request.Load(json);
            return request;
        }
    }
}
