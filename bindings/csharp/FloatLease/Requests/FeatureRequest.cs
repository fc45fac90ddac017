namespace FloatLease
{
    /// <summary>For <see cref="Client.CheckFeature"/> and <see cref="Client.ReleaseFeature"/>.</summary>
    public sealed class FeatureRequest : Request
    {
        /// <summary>A request about no feature yet.</summary>
        public FeatureRequest()
        {
        }

        /// <summary>A request about this feature.</summary>
        public FeatureRequest(string feature)
        {
            Feature = feature;
        }

        /// <summary>Required: the feature's code.</summary>
        public string Feature
        {
            get => Text("feature");
            set => Set("feature", value);
        }

        /// <summary>Whether a check tells the metadata as a text too.</summary>
        public bool? IncludeMetadataString
        {
            get => Boolean("include_metadata_string");
            set => Set("include_metadata_string", value);
        }
    }
}
