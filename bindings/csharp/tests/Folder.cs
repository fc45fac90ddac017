using System;
using System.IO;

namespace FloatLease.Tests
{
    // A folder of a test's own, which goes with it.
    internal sealed class Folder : IDisposable
    {
        internal readonly string Path =
            System.IO.Path.Combine(System.IO.Path.GetTempPath(), "floatlease-" + Guid.NewGuid().ToString("N"));

        internal Folder()
        {
            Directory.CreateDirectory(Path);
        }

        public void Dispose() => Directory.Delete(Path, true);
    }
}
