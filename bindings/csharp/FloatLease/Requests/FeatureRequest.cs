namespace FloatLease
{
    /// <summary>The request of <see cref="Client.CheckFeature"/> and <see cref="Client.ReleaseFeature"/>.</summary>
    public sealed class FeatureRequest : Request
    {
        /// <summary>Makes a request whose <see cref="Feature"/> is to be set.</summary>
        public FeatureRequest()
        {
        }

        /// <summary>Makes a request about this feature.</summary>
        public FeatureRequest(string feature)
        {
            Feature = feature;
        }

        /// <summary>The code of the feature. Required.</summary>
        public string Feature
        {
            get => Text("feature");
            set => Set("feature", value);
        }

        /// <summary>True makes the reply of a check include the feature's metadata as a text too.</summary>
        public bool? IncludeMetadataString
        {
            get => Boolean("include_metadata_string");
            set => Set("include_metadata_string", value);
        }
    }
}
