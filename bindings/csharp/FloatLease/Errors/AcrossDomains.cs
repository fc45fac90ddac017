// .NET Framework serializes an exception that leaves an application domain, for example a plugin's. One that can't be
// serialized arrives as another exception. Unity's players have one domain only, and .NET 8 has dropped the feature.
#if !UNITY_5_3_OR_NEWER && !NET8_0_OR_GREATER
using System;
using System.Runtime.Serialization;

namespace FloatLease
{
    [Serializable]
    public partial class FloatLeaseException
    {
        /// <summary>Reads an exception that comes from another application domain.</summary>
        protected FloatLeaseException(SerializationInfo info, StreamingContext context) : base(info, context)
        {
            StatusNumber = info.GetInt32(nameof(StatusNumber));
            Json = info.GetString(nameof(Json));
            error = JsonValue.ParseOrNull(Json);
        }

        /// <summary>Writes the exception for another application domain.</summary>
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
