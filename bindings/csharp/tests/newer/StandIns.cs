// As much of newer frameworks as the binding uses there.
namespace System
{
    internal interface IAsyncDisposable
    {
        Threading.Tasks.ValueTask DisposeAsync();
    }
}

namespace System.Threading.Tasks
{
#pragma warning disable 1591
    public struct ValueTask
    {
        public ValueTask(Task task)
        {
            Task = task;
        }

        public Task Task { get; }
    }
}
