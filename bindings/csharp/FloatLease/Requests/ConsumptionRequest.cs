using System.Collections.Generic;

namespace FloatLease
{
    /// <summary>For <see cref="Client.AddConsumption"/> and <see cref="Client.AddFeatureConsumption"/>.</summary>
    public sealed class ConsumptionRequest : Request
    {
        /// <summary>The feature's code, for <see cref="Client.AddFeatureConsumption"/> alone.</summary>
        public string Feature
        {
            get => Text("feature");
            set => Set("feature", value);
        }

        /// <summary>How many; by default 1, negative if the license allows it.</summary>
        public long? Consumptions
        {
            get => Integer("consumptions");
            set => Set("consumptions", value);
        }

        /// <summary>Of a license: how many more than it has.</summary>
        public long? MaxOverages
        {
            get => Integer("max_overages");
            set => Set("max_overages", value);
        }

        /// <summary>Of a license: whether more than it has.</summary>
        public bool? AllowOverages
        {
            get => Boolean("allow_overages");
            set => Set("allow_overages", value);
        }

        /// <summary>One name of what was consumed for.</summary>
        public IReadOnlyList<string> Events
        {
            get => Texts("event");
            set => Set("event", value);
        }

        /// <summary>Of a license: count whatever the event.</summary>
        public bool? IgnoreEvents
        {
            get => Boolean("ignore_events");
            set => Set("ignore_events", value);
        }

        /// <summary>
        /// "queue": if the server can't be reached it is kept in the config's StorageDir and booked later.
        /// </summary>
        public string Offline
        {
            get => Text("offline");
            set => Set("offline", value);
        }
    }
}
