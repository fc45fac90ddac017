using System;
using System.Threading;

namespace FloatLease
{
    /// <summary>
    /// A call was cancelled: by its token, by <see cref="Client.Cancel()"/>, or because its client was disposed.
    /// </summary>
    public sealed partial class FloatLeaseCanceledException : OperationCanceledException
    {
        internal FloatLeaseCanceledException(FloatLeaseException failure, CancellationToken cancellation)
            : base(failure.Message, failure, cancellation)
        {
            Failure = failure;
        }

        /// <summary>All that is known of it.</summary>
        public FloatLeaseException Failure { get; }

        /// <summary>
        /// How far it got: with <see cref="FloatLease.Outcome.Unknown"/> it may have been carried out.
        /// </summary>
        public Outcome Outcome => Failure.Outcome;

        /// <summary>The whole error object, as the library gave it.</summary>
        public string Json => Failure.Json;
    }
}
