using System;
using System.Runtime.InteropServices;

namespace FloatLease
{
    /// <summary>A client of the library. Its finalizer closes it, which is local and waits for nothing.</summary>
    internal sealed class ClientHandle : SafeHandle
    {
        internal ClientHandle(IntPtr token) : base(IntPtr.Zero, true)
        {
            SetHandle(token);
            Token = token;
            OpenClients.Add(token);
        }

        /// <summary>Stays what it was when the client is closed: the library answers that it is.</summary>
        internal IntPtr Token { get; }

        public override bool IsInvalid => handle == IntPtr.Zero;

        /// <summary>
        /// Closes it under the calls that are in flight, so that they end; Dispose would wait for them.
        /// </summary>
        internal void CloseNow()
        {
            Native.ClientClose(Token);
            Dispose();
        }

        protected override bool ReleaseHandle()
        {
            OpenClients.Remove(handle);
            Native.ClientClose(handle); // a second time does nothing
            return true;
        }
    }
}
