using System;

namespace FloatLease
{
    /// <summary>A handler of your program has thrown. The client and all other handlers go on.</summary>
    public sealed class HandlerFailedEvent : EventArgs
    {
        internal HandlerFailedEvent(Exception exception, ClientEvent cause)
        {
            Exception = exception;
            Cause = cause;
        }

        /// <summary>The exception that the handler has thrown.</summary>
        public Exception Exception { get; }

        /// <summary>The event that the handler was called for.</summary>
        public ClientEvent Cause { get; }
    }
}
