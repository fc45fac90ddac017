using System.Threading.Tasks;

namespace FloatLease
{
    /// <summary>
    /// A submitted call with the Task that its caller awaits. Until it is completed it keeps its client from being
    /// collected.
    /// </summary>
    internal class PendingCall
    {
        // Continuations run on threads of the pool: one that is slow or throws must not hold up the events.
        private readonly TaskCompletionSource<CompletedEvent> source =
            new TaskCompletionSource<CompletedEvent>(TaskCreationOptions.RunContinuationsAsynchronously);

        internal PendingCall(Client client)
        {
            Client = client;
        }

        internal Client Client { get; }

        internal ulong Ticket { get; set; }

        /// <summary>The call's completion; null if the client was closed before it came.</summary>
        internal Task<CompletedEvent> Done => source.Task;

        internal virtual void Complete(CompletedEvent completed) => source.TrySetResult(completed);

        internal void Abandon() => source.TrySetResult(null);
    }
}
