using System.Collections.Generic;

namespace FloatLease
{
    /// <summary>
    /// The result of <see cref="Client.ReleaseAll"/>. Leases are named by their numbers, as <see cref="Lease.Number"/>
    /// gives them.
    /// </summary>
    public sealed class ReleaseAllReply : Reply
    {
        internal ReleaseAllReply(string json) : base(json)
        {
        }

        /// <summary>The leases that were released.</summary>
        public IReadOnlyList<long> Released => Numbers(Members["released"]);

        /// <summary>The leases that are borrowed: their slots stay borrowed until their dates.</summary>
        public IReadOnlyList<long> Kept => Numbers(Members["kept"]);

        /// <summary>
        /// The leases that could not be released in time. The server frees their slots after their timeout, or the next
        /// start releases them.
        /// </summary>
        public IReadOnlyList<UnreleasedLease> Left
        {
            get
            {
                var left = new List<UnreleasedLease>();
                foreach (JsonValue lease in Members["left"].Items) left.Add(new UnreleasedLease(lease));
                return left;
            }
        }

        private static IReadOnlyList<long> Numbers(JsonValue list)
        {
            var numbers = new List<long>();
            foreach (JsonValue number in list.Items) numbers.Add(number.Int64 ?? 0);
            return numbers;
        }
    }
}
