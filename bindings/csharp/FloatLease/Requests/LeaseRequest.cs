using System;
using System.Collections.Generic;

namespace FloatLease
{
    /// <summary>
    /// For <see cref="Client.AcquireLease"/>. Timeout is the deadline of each request about the lease, renewals too.
    /// </summary>
    public sealed class LeaseRequest : Request
    {
        /// <summary>The license's own slot, until you name features.</summary>
        public LeaseRequest()
        {
        }

        /// <summary>These features: all of them or none.</summary>
        public LeaseRequest(params string[] features)
        {
            Features = features;
        }

        /// <summary>The floating feature to take; without it, the license's own slot.</summary>
        public string Feature
        {
            get => Text("feature");
            set => Set("feature", value);
        }

        /// <summary>Several features, 64 at most: all of them or none.</summary>
        public IReadOnlyList<string> Features
        {
            get => Texts("features");
            set => Set("features", value);
        }

        /// <summary>
        /// "thread" (default): the library renews. "host": your program calls <see cref="Lease.Renew"/>, and
        /// <see cref="Client.Pump"/> every second or so.
        /// </summary>
        public string KeepAlive
        {
            get => Text("keep_alive");
            set => Set("keep_alive", value);
        }

        /// <summary>How long you may run on when the slot is no longer surely yours; by default 5 minutes.</summary>
        public TimeSpan? Grace
        {
            get => Length("grace_ms");
            set => Set("grace_ms", value);
        }

        /// <summary>How long before its end a borrow is announced to end; by default 2.</summary>
        public long? BorrowEndingHours
        {
            get => Integer("borrow_ending_hours");
            set => Set("borrow_ending_hours", value);
        }

        /// <summary>How long to queue for a slot while all are taken; by default not at all.</summary>
        public TimeSpan? Wait
        {
            get => Length("wait_ms");
            set => Set("wait_ms", value);
        }

        /// <summary>How long the slot may still be given back after the lease was disposed; by default 5 s.</summary>
        public TimeSpan? ReleaseOnClose
        {
            get => Length("release_on_close_ms");
            set => Set("release_on_close_ms", value);
        }

        /// <summary>Reads a request from JSON, for example with keys that have no property here.</summary>
        /// <exception cref="System.FormatException">It is no JSON object.</exception>
        public static LeaseRequest Parse(string json)
        {
            var request = new LeaseRequest();
            request.Load(json);
            return request;
        }
    }
}
