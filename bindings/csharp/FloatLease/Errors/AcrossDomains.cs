// .NET Framework takes an exception from one application domain to another, out of a plugin say, by serialization; what
// can't be serialized arrives as a complaint about that. Unity's players have no other domain, and .NET 8 has given it up.
#if !UNITY_5_3_OR_NEWER && !NET8_0_OR_GREATER
using System;
using System.Runtime.Serialization;

namespace FloatLease
{
    [Serializable]
    public partial class FloatLeaseException
    {
        /// <summary>For serialization.</summary>
        protected FloatLeaseException(SerializationInfo info, StreamingContext context) : base(info, context)
        {
            StatusNumber = info.GetInt32(nameof(StatusNumber));
            Json = info.GetString(nameof(Json));
            error = JsonValue.ParseOrNull(Json);
        }

        /// <summary>For serialization.</summary>
        public override void GetObjectData(SerializationInfo info, StreamingContext context)
        {
            base.GetObjectData(info, context);
            info.AddValue(nameof(StatusNumber), StatusNumber);
            info.AddValue(nameof(Json), Json);
        }
    }

    [Serializable]
    public sealed partial class FloatLeaseCanceledException
    {
        private FloatLeaseCanceledException(SerializationInfo info, StreamingContext context) : base(info, context)
        {
            Failure = (FloatLeaseException)InnerException;
        }
    }

    [Serializable]
    public sealed partial class FloatLeaseLibraryException
    {
        private FloatLeaseLibraryException(SerializationInfo info, StreamingContext context) : base(info, context)
        {
        }
    }
}
#endif
