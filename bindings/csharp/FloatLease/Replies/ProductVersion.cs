using System;

namespace FloatLease
{
    /// <summary>A version of a product, as <see cref="Client.Versions"/> lists it.</summary>
    public sealed class ProductVersion : Reply
    {
        internal ProductVersion(JsonValue members) : base(members)
        {
        }

        /// <summary>
        /// The name of the version, for example "1.0.0". <see cref="InstallationFileRequest.Version"/> takes it.
        /// </summary>
        public string Version => Members["version"].Text;

        /// <summary>The date of the release; null if the server knows none.</summary>
        public DateTimeOffset? ReleaseDate => Members["release_date"].Date;
    }
}
