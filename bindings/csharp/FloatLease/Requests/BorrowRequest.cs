using System;

namespace FloatLease
{
    /// <summary>
    /// For <see cref="Client.BorrowLicense"/>, <see cref="Client.BorrowFeature"/> and <see cref="Lease.Borrow"/>.
    /// </summary>
    public sealed class BorrowRequest : Request
    {
        /// <summary>The feature's code, for <see cref="Client.BorrowFeature"/> alone.</summary>
        public string Feature
        {
            get => Text("feature");
            set => Set("feature", value);
        }

        /// <summary>Until when; null: as long as the license allows.</summary>
        public DateTimeOffset? BorrowedUntil
        {
            get => Date("borrowed_until");
            set => Set("borrowed_until", value);
        }

        /// <summary>Reads a request from JSON, for example with keys that have no property here.</summary>
        /// <exception cref="System.FormatException">It is no JSON object.</exception>
        public static BorrowRequest Parse(string json)
        {
            var request = new BorrowRequest();
            request.Load(json);
            return request;
        }
    }
}
