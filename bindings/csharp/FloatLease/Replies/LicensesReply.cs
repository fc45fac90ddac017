using System.Collections.Generic;

namespace FloatLease
{
    /// <summary>
    /// Several licenses, as <see cref="Client.DeviceLicenses"/> and the operations on bundles reply them.
    /// </summary>
    public sealed class LicensesReply : Reply
    {
        internal LicensesReply(string json) : base(json)
        {
        }

        /// <summary>The licenses.</summary>
        public IReadOnlyList<LicenseReply> Licenses
        {
            get
            {
                var list = new List<LicenseReply>();
                foreach (JsonValue one in Members["items"].Items) list.Add(new LicenseReply(one));
                return list;
            }
        }
    }
}
