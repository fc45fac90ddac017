using System;
using System.Threading;

namespace FloatLease
{
    /// <summary>Which exception a status is.</summary>
    internal static class Failure
    {
        internal static Exception Of(
            int status, string json, CancellationToken cancellation = default(CancellationToken))
        {
            var failure = new FloatLeaseException(status, json);
            if (status != (int)Status.Cancelled) return failure;
            // Who asks whose token it was must not be told of one that nobody cancelled.
            bool isByToken = cancellation.IsCancellationRequested;
            return new FloatLeaseCanceledException(failure, isByToken ? cancellation : CancellationToken.None);
        }

        /// <summary>A status without an error object, from the functions that give none.</summary>
        internal static void ThrowUnlessOk(int status)
        {
            if (status != (int)Status.Ok) throw Of(status, null);
        }

        /// <summary>A call that was cancelled on this side of the library.</summary>
        internal static Exception Cancelled(string outcome, string message, CancellationToken cancellation)
        {
            JsonValue error = JsonValue.NewObject();
            error["status"] = (long)Status.Cancelled;
            error["name"] = StatusNames.Of((int)Status.Cancelled);
            error["message"] = message;
            error["outcome"] = outcome;
            return Of((int)Status.Cancelled, error.ToString(), cancellation);
        }
    }
}
