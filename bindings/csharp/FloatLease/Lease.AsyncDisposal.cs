#if NETSTANDARD2_1_OR_GREATER || NETCOREAPP3_0_OR_GREATER
using System;
using System.Threading.Tasks;

namespace FloatLease
{
    public sealed partial class Lease : IAsyncDisposable
    {
        /// <summary>
        /// Gives its slots back and waits for that, then lets go of it: <c>await using var lease = …</c>
        /// </summary>
        /// <remarks>
        /// A borrow stays, as after Dispose: <see cref="ReleaseAsync"/> ends it. If the server can't be reached, the
        /// library goes on trying as after Dispose. It throws nothing.
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
                // It would replace the exception that the body of the `await using` has thrown. Time gives the slot back.
            }
            finally
            {
                Dispose();
            }
        }

        // The server refused or did not answer; or the lease or its client was disposed, before or meanwhile.
        private static bool IsReleaseFailure(Exception exception) =>
            exception is FloatLeaseException || exception is FloatLeaseCanceledException
            || exception is ObjectDisposedException;
    }
}
#endif
