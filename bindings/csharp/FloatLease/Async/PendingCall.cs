using System.Threading.Tasks;

namespace FloatLease
{
    /// <summary>
    /// A submitted call whose Task somebody awaits. It keeps its client from being collected meanwhile.
    /// </summary>
    internal class PendingCall
    {
        // Continuations run elsewhere: one that takes its time, or throws, must not hold up the events.
        private readonly TaskCompletionSource<CompletedEvent> source =
            new TaskCompletionSource<CompletedEvent>(TaskCreationOptions.RunContinuationsAsynchronously);

        internal PendingCall(Client client)
        {
            Client = client;
        }

        internal Client Client { get; }

        internal ulong Ticket { get; set; }

        /// <summary>Its completion; null if the client was closed before it came.</summary>
        internal Task<CompletedEvent> Done => source.Task;

        internal virtual void Complete(CompletedEvent completed) => source.TrySetResult(completed);

        internal void Abandon() => source.TrySetResult(null);
    }
}
