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
        /// If the server can't be reached, the library goes on trying as after Dispose. A borrow ends too.
        /// </remarks>
        public ValueTask DisposeAsync() => new ValueTask(ReleaseAndDispose());

        private async Task ReleaseAndDispose()
        {
            try
            {
                if (IsHeld) await ReleaseAsync().ConfigureAwait(false);
            }
            catch (FloatLeaseException)
            {
            }
            finally
            {
                Dispose();
            }
        }
    }
}
#endif
