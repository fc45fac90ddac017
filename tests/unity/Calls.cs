// The API's other calls, awaited by a script as Unity runs it.
using System;
using System.Collections.Concurrent;
using System.Threading;
using System.Threading.Tasks;
using FloatLease;
using UnityEngine;

internal static partial class Plays
{
    private static void Calls_are_awaited_on_the_main_thread_and_no_frame_waits()
    {
        using (var scene = new Scene())
        {
            scene.Play();
            var frames = new Frames();
            SynchronizationContext.SetSynchronizationContext(frames);
            try
            {
                int main = Thread.CurrentThread.ManagedThreadId;
                string told = null;
                Func<Task> ask = async () =>
                {
                    var wanted = new FeatureRequest { Feature = "MESH" };
                    FeatureReply mesh = await scene.Manager.Client.CheckFeatureAsync(wanted);
                    Scene.Hold("on the main thread", Thread.CurrentThread.ManagedThreadId == main);
                    try
                    {
                        await scene.Manager.Client.CheckFeatureAsync(new FeatureRequest { Feature = "NO-SUCH" });
                    }
                    catch (FloatLeaseException failure)
                    {
                        Scene.Hold("there too", Thread.CurrentThread.ManagedThreadId == main);
                        told = mesh.Code + " " + failure.Status;
                    }
                };
                Task asked = ask();
                Scene.Hold("it is not waited for", !asked.IsCompleted);
                Scene.Soon("it is answered", () =>
                {
                    Stage.Frame();
                    frames.Run();
                    return asked.IsCompleted;
                });
                asked.GetAwaiter().GetResult();
                Scene.Hold("what it is", told == "MESH " + Status.InvalidLicenseFeatureCode);
            }
            finally
            {
                SynchronizationContext.SetSynchronizationContext(null);
            }
        }
    }

    // As Unity's own: what comes from elsewhere is done on the main thread, once in a frame.
    private sealed class Frames : SynchronizationContext
    {
        private readonly ConcurrentQueue<Action> posted = new ConcurrentQueue<Action>();

        public override void Post(SendOrPostCallback callback, object state) => posted.Enqueue(() => callback(state));

        internal void Run()
        {
            while (posted.TryDequeue(out var one)) one();
        }
    }
}
