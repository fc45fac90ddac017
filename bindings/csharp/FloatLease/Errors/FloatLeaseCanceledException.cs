using System;
using System.Threading;

namespace FloatLease
{
    /// <summary>
    /// The exception of a cancelled call. Its token, <see cref="Client.Cancel()"/> or the client's Dispose has
    /// cancelled it.
    /// </summary>
    public sealed partial class FloatLeaseCanceledException : OperationCanceledException
    {
        internal FloatLeaseCanceledException(FloatLeaseException failure, CancellationToken cancellation)
            : base(failure.Message, failure, cancellation)
        {
            Failure = failure;
        }

        /// <summary>The failure with all its details, such as the status and the advice.</summary>
        public FloatLeaseException Failure { get; }

        /// <summary>
        /// The progress of the cancelled call. After <see cref="FloatLease.Outcome.Unknown"/> the server may have
        /// carried it out.
        /// </summary>
        public Outcome Outcome => Failure.Outcome;

        /// <summary>The whole error object, as the library gave it.</summary>
        public string Json => Failure.Json;
    }
}
