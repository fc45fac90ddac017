namespace FloatLease
{
    /// <summary>The reply to what is just done.</summary>
    public sealed class EmptyReply : Reply
    {
        internal EmptyReply(string json) : base(json)
        {
        }

        /// <summary>What the server said, if anything.</summary>
        public string Message => Members["message"].Text;
    }
}
