using System;
using System.Runtime.InteropServices;

namespace FloatLease
{
    /// <summary>The handle of an open client. Its finalizer closes the client, which waits for nothing.</summary>
    /// <remarks>
    /// Functions that take the token are called here, where the handle is kept alive until they return. Otherwise the
    /// collector could run the finalizer during the call.
    /// </remarks>
    internal sealed class ClientHandle : SafeHandle
    {
        // Keeps its value when the client is closed; the library then answers that the client is not open.
        private readonly IntPtr token;

        internal ClientHandle(IntPtr token) : base(IntPtr.Zero, true)
        {
            SetHandle(token);
            this.token = token;
            OpenClients.Add(token);
        }

        public override bool IsInvalid => handle == IntPtr.Zero;

        /// <summary>
        /// Closes the client while calls are in flight, so that they end. Dispose alone would wait for their end.
        /// </summary>
        internal void CloseNow()
        {
            Native.ClientClose(token);
            Dispose();
        }

        /// <summary>
        /// Throws unless the status is Ok, for functions that give no error object.
        /// </summary>
        internal void ThrowUnlessOk(int status)
        {
            if (status == (int)Status.Ok) return;
            string error = null;
            if (status == (int)Status.Handle)
            {
                // No operation has an empty name, so this call does nothing. The library says that the client was closed.
                Native.CallByToken(token, Utf8.ToNative(""), null, out var json);
                error = Answer.Take(json);
            }
            GC.KeepAlive(this);
            throw Failure.FromStatus(status, error);
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

        internal uint EventsWaiting()
        {
            uint count = Native.EventsWaiting(token);
            GC.KeepAlive(this);
            return count;
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
            Native.ClientClose(handle); // closing a second time does nothing
            return true;
        }
    }
}
