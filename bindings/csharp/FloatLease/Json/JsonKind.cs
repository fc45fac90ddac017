namespace FloatLease
{
    /// <summary>The kinds of a <see cref="JsonValue"/>.</summary>
    public enum JsonKind
    {
        /// <summary>The value null, and a member that does not exist.</summary>
        Null,

        /// <summary>The value true or false.</summary>
        Boolean,

        /// <summary>A number, kept as it was written.</summary>
        Number,

        /// <summary>A JSON string.</summary>
        Text,

        /// <summary>A list of values.</summary>
        Array,

        /// <summary>Members with names, in the order in which they were written.</summary>
        Object,
    }
}
