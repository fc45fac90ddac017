namespace FloatLease
{
    /// <summary>The reply of an operation that answers no data.</summary>
    public sealed class EmptyReply : Reply
    {
        internal EmptyReply(string json) : base(json)
        {
        }

        /// <summary>The server's message, for example "license_deactivated"; null if it sent none.</summary>
        public string Message => Members["message"].Text;
    }
}
