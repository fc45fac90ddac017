using System.Threading;

namespace FloatLease
{
    /// <summary>How a <see cref="Client"/> tells your program what happens by itself.</summary>
    public sealed class ClientOptions
    {
        /// <summary>
        /// Where your handlers run, for example a window's thread; null (default): on threads of the pool. One after
        /// another in either case, and one that takes its time holds up no Task.
        /// </summary>
        public SynchronizationContext SynchronizationContext { get; set; }

        /// <summary>
        /// true: there is no thread of the client's. Tasks are completed and events delivered in
        /// <see cref="Client.Pump"/>, which your program calls, a game in every frame.
        /// </summary>
        public bool ManualPump { get; set; }
    }
}
