using System;
using System.Threading;

namespace FloatLease
{
    /// <summary>Makes the exception for a status.</summary>
    internal static class Failure
    {
        internal static Exception FromStatus(
            int status, string json, CancellationToken cancellation = default(CancellationToken))
        {
            var failure = new FloatLeaseException(status, json);
            if (status != (int)Status.Cancelled) return failure;
            // The exception names the token only if the token was cancelled: the client may have been disposed instead.
            bool isByToken = cancellation.IsCancellationRequested;
            return new FloatLeaseCanceledException(failure, isByToken ? cancellation : CancellationToken.None);
        }

        /// <summary>Makes the exception for a call that this assembly has cancelled, not the library.</summary>
        internal static Exception Cancelled(string outcome, string message, CancellationToken cancellation)
        {
            JsonValue error = JsonValue.NewObject();
            error["status"] = (long)Status.Cancelled;
            error["name"] = StatusNames.Of((int)Status.Cancelled);
            error["message"] = message;
            error["outcome"] = outcome;
            return FromStatus((int)Status.Cancelled, error.ToString(), cancellation);
        }
    }
}
