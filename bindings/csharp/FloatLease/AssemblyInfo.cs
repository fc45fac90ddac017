using System.Runtime.CompilerServices;

// The sandbox has the same strings, answers and failures, in another native library; the tests look inside.
[assembly: InternalsVisibleTo("FloatLease.Sandbox")]
[assembly: InternalsVisibleTo("FloatLease.Tests")]
