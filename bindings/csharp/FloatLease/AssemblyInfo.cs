using System.Runtime.CompilerServices;

// The sandbox uses the same strings, answers and failures for another native library. The tests look at internals.
[assembly: InternalsVisibleTo("FloatLease.Sandbox")]
[assembly: InternalsVisibleTo("FloatLease.Tests")]
