using System.Collections.Generic;

namespace FloatLease
{
    /// <summary>The versions of a product that a license includes.</summary>
    public sealed class VersionsReply : Reply
    {
        internal VersionsReply(string json) : base(json)
        {
        }

        /// <summary>The versions, the newest first.</summary>
        public IReadOnlyList<ProductVersion> Versions
        {
            get
            {
                var list = new List<ProductVersion>();
                foreach (JsonValue one in Members["items"].Items) list.Add(new ProductVersion(one));
                return list;
            }
        }
    }
}
