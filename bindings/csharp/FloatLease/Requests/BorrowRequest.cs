using System;

namespace FloatLease
{
    /// <summary>
    /// The request of <see cref="Client.BorrowLicense"/>, <see cref="Client.BorrowFeature"/> and
    /// <see cref="Lease.Borrow"/>.
    /// </summary>
    public sealed class BorrowRequest : Request
    {
        /// <summary>
        /// The code of the feature to borrow. <see cref="Client.BorrowFeature"/> requires it; the others do not take
        /// it.
        /// </summary>
        public string Feature
        {
            get => Text("feature");
            set => Set("feature", value);
        }

        /// <summary>The date until which to borrow. Null borrows for as long as the license allows.</summary>
        public DateTimeOffset? BorrowedUntil
        {
            get => Date("borrowed_until");
            set => Set("borrowed_until", value);
        }

        /// <summary>Reads a request from a JSON object, for example one with keys that have no property here.</summary>
        /// <exception cref="System.FormatException">The text is not a JSON object.</exception>
        public static BorrowRequest Parse(string json)
        {
            var request = new BorrowRequest();
            request.Load(json);
            return request;
        }
    }
}
