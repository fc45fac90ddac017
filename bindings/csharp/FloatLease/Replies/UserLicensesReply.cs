using System.Collections.Generic;

namespace FloatLease
{
    /// <summary>The licenses of a product that a user may use.</summary>
    public sealed class UserLicensesReply : Reply
    {
        internal UserLicensesReply(string json) : base(json)
        {
        }

        /// <summary>The licenses, the newest first, each with the user.</summary>
        public IReadOnlyList<UserLicense> Licenses
        {
            get
            {
                var list = new List<UserLicense>();
                foreach (JsonValue one in Members["items"].Items) list.Add(new UserLicense(one));
                return list;
            }
        }
    }
}
