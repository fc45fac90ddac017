using System;
using System.Runtime.InteropServices;

namespace FloatLease
{
    /// <summary>A client of the library. Its finalizer closes it, which is local and waits for nothing.</summary>
    /// <remarks>
    /// What is called by the token is called here, where the handle is kept alive until the function returns: otherwise
    /// the collector may run the finalizer under it.
    /// </remarks>
    internal sealed class ClientHandle : SafeHandle
    {
        // Stays what it was when the client is closed: the library answers that it is.
        private readonly IntPtr token;

        internal ClientHandle(IntPtr token) : base(IntPtr.Zero, true)
        {
            SetHandle(token);
            this.token = token;
            OpenClients.Add(token);
        }

        public override bool IsInvalid => handle == IntPtr.Zero;

        /// <summary>
        /// Closes it under the calls that are in flight, so that they end; Dispose would wait for them.
        /// </summary>
        internal void CloseNow()
        {
            Native.ClientClose(token);
            Dispose();
        }

        internal int Cancel(ulong ticket)
        {
            int status = Native.Cancel(token, ticket);
            GC.KeepAlive(this);
            return status;
        }

        internal int NextEvent(uint milliseconds, out IntPtr json)
        {
            int status = Native.NextEvent(token, milliseconds, out json);
            GC.KeepAlive(this);
            return status;
        }

        internal int Accept(ulong ticket, out IntPtr lease, out IntPtr json)
        {
            int status = Native.LeaseAccept(token, ticket, out lease, out json);
            GC.KeepAlive(this);
            return status;
        }

        protected override bool ReleaseHandle()
        {
            OpenClients.Remove(handle);
            Native.ClientClose(handle); // a second time does nothing
            return true;
        }
    }
}
