using System.Threading;

namespace FloatLease
{
    /// <summary>
    /// The options of a <see cref="Client"/>: on which threads your handlers run and its Tasks are completed.
    /// </summary>
    public sealed class ClientOptions
    {
        /// <summary>
        /// The context that your handlers run in, for example a window's thread. Null (default) runs them on threads of
        /// the pool. In either case they run one after another, and a slow handler holds up no Task.
        /// </summary>
        public SynchronizationContext SynchronizationContext { get; set; }

        /// <summary>
        /// true: the client has no thread of its own. <see cref="Client.Pump"/> completes its Tasks and calls its
        /// handlers, and your program calls it regularly; a game calls it in every frame.
        /// </summary>
        public bool ManualPump { get; set; }
    }
}
