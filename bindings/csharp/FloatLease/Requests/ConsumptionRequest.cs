using System.Collections.Generic;

namespace FloatLease
{
    /// <summary>
    /// The request of <see cref="Client.AddConsumption"/> and <see cref="Client.AddFeatureConsumption"/>.
    /// </summary>
    public sealed class ConsumptionRequest : Request
    {
        /// <summary>
        /// The code of the feature to count on. <see cref="Client.AddFeatureConsumption"/> requires it; the other does
        /// not take it.
        /// </summary>
        public string Feature
        {
            get => Text("feature");
            set => Set("feature", value);
        }

        /// <summary>
        /// The number of consumptions to book; by default 1. Negative numbers are allowed if the license says so.
        /// </summary>
        public long? Consumptions
        {
            get => Integer("consumptions");
            set => Set("consumptions", value);
        }

        /// <summary>
        /// The number of consumptions that may be booked beyond those that the license includes. Not for features.
        /// </summary>
        public long? MaxOverages
        {
            get => Integer("max_overages");
            set => Set("max_overages", value);
        }

        /// <summary>
        /// True allows more consumptions than the license includes. Not for features.
        /// </summary>
        public bool? AllowOverages
        {
            get => Boolean("allow_overages");
            set => Set("allow_overages", value);
        }

        /// <summary>
        /// A list of one kind of booking: "consumption_add" (default), or "offline_floating_consumptions_sync" for what
        /// was consumed offline.
        /// </summary>
        public IReadOnlyList<string> Events
        {
            get => Texts("event");
            set => Set("event", value);
        }

        /// <summary>True counts the consumptions whatever <see cref="Events"/> says. Not for features.</summary>
        public bool? IgnoreEvents
        {
            get => Boolean("ignore_events");
            set => Set("ignore_events", value);
        }

        /// <summary>
        /// "queue" keeps the consumptions in <see cref="ClientConfig.StorageDir"/> while the server can't be reached,
        /// and books them later.
        /// </summary>
        public string Offline
        {
            get => Text("offline");
            set => Set("offline", value);
        }
    }
}
