namespace FloatLease
{
    /// <summary>What a <see cref="JsonValue"/> is.</summary>
    public enum JsonKind
    {
        /// <summary>null, and what is not there.</summary>
        Null,

        /// <summary>true or false.</summary>
        Boolean,

        /// <summary>A number, kept as it was written.</summary>
        Number,

        /// <summary>A text.</summary>
        Text,

        /// <summary>A list of values.</summary>
        Array,

        /// <summary>Members with names, in the order they were written.</summary>
        Object,
    }
}
