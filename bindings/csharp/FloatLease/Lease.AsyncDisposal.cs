#if NETSTANDARD2_1_OR_GREATER || NETCOREAPP3_0_OR_GREATER
using System;
using System.Threading.Tasks;

namespace FloatLease
{
    public sealed partial class Lease : IAsyncDisposable
    {
        /// <summary>
        /// Gives the slots back, waits for that, and then disposes the lease: <c>await using var lease = …</c>
        /// </summary>
        /// <remarks>
        /// Borrowed slots stay borrowed; <see cref="ReleaseAsync"/> ends a borrow. It throws nothing. If the server
        /// can't be reached, the library goes on trying in the background, as after Dispose.
        /// </remarks>
        public ValueTask DisposeAsync() => new ValueTask(ReleaseAndDispose());

        private async Task ReleaseAndDispose()
        {
            try
            {
                LeaseState state = State;
                bool isOver = state == LeaseState.None || state == LeaseState.Released;
                if (!isOver && state != LeaseState.Borrowed) await ReleaseAsync().ConfigureAwait(false);
            }
            catch (Exception exception) when (IsReleaseFailure(exception))
            {
                // Rethrown, it would replace the exception that the body of the `await using` has thrown. The server
                // frees the slot after its timeout.
            }
            finally
            {
                Dispose();
            }
        }

        // True if the server refused or did not answer, or if the lease or its client was disposed.
        private static bool IsReleaseFailure(Exception exception) =>
            exception is FloatLeaseException || exception is FloatLeaseCanceledException
            || exception is ObjectDisposedException;
    }
}
#endif
