using System;

namespace FloatLease
{
    /// <summary>A handler of your program threw. Nothing stops because of it.</summary>
    public sealed class HandlerFailedEvent : EventArgs
    {
        internal HandlerFailedEvent(Exception exception, ClientEvent cause)
        {
            Exception = exception;
            Cause = cause;
        }

        /// <summary>What it threw,</summary>
        public Exception Exception { get; }

        /// <summary>and at which event.</summary>
        public ClientEvent Cause { get; }
    }
}
