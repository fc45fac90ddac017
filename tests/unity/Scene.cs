// What the plays in Life.cs and Editor.cs share: a server of their own, the game on my-desk, and the time.
using System;
using System.IO;
using System.Threading;
using FloatLease;
using FloatLease.Unity;
using UnityEngine;

internal sealed class Scene : IDisposable
{
    internal const string Desk = "my-desk";

    internal readonly Sandbox Sandbox;
    internal readonly string Folder = Path.Combine(Path.GetTempPath(), "floatlease-" + Guid.NewGuid().ToString("N"));
    internal LicenseManager Manager;
    internal LicenseBanner Game;

    internal Scene(string options = "{\"rate\":0}")
    {
        Sandbox = Sandbox.Start(SandboxOptions.Parse(options));
        Directory.CreateDirectory(Folder);
        Application.persistentDataPath = Folder;
        Debug.Logged.Clear();
        GUI.Shown = GUI.Pressed = "";
        Stage.Initialize(typeof(LicenseManager).Assembly, typeof(RuntimeInitializeOnLoadMethodAttribute));
    }

    /// <summary>A config that remembers on disk what is held, or not.</summary>
    internal ClientConfig Config(bool onDisk = false)
    {
        ClientConfig config = Sandbox.ClientConfig(Desk);
        if (onDisk) config.StorageDir = Path.Combine(Folder, "floatlease");
        return config;
    }

    /// <summary>The first scene is loaded: its object has a manager and a banner.</summary>
    internal GameObject Load(Action<LicenseManager> prepare = null)
    {
        GameObject made = Stage.Object(typeof(LicenseManager), typeof(LicenseBanner));
        var manager = (LicenseManager)made.Component(0);
        manager.acquireOnStart = false;
        prepare?.Invoke(manager);
        Stage.Enter(made);
        if (Manager == null)
        {
            Manager = manager;
            Game = (LicenseBanner)made.Component(1);
        }
        return made;
    }

    /// <summary>It is loaded, and the game has its license.</summary>
    internal GameObject Play(bool onDisk = false)
    {
        GameObject made = Load();
        Manager.AcquireLease(Config(onDisk), new LeaseRequest { Wait = TimeSpan.FromMinutes(1) });
        Soon("it plays", Plays);
        return made;
    }

    internal bool Plays()
    {
        int before = Game.score;
        Stage.Frame();
        return Game.score > before;
    }

    internal bool Shows(string banner)
    {
        GUI.Shown = "";
        Stage.Frame();
        return banner == "" ? GUI.Shown == "" : GUI.Shown.Contains(banner);
    }

    internal void Outage() =>
        Sandbox.Control("POST /faults/profile", "{\"profile\":\"outage\",\"match\":{\"hardware_id\":\"" + Desk + "\"}}");

    /// <summary>Time passes at once, as it does while the machine sleeps.</summary>
    internal void Pass(string by) => Sandbox.Advance(by, Manager.Client);

    internal string Saved
    {
        get
        {
            string path = Path.Combine(Folder, "saved_game.txt");
            return File.Exists(path) ? File.ReadAllText(path) : null;
        }
    }

    internal int Slots
    {
        get
        {
            int mine = 0;
            foreach (JsonValue slot in Sandbox.Slots().Items) if (slot["hardware_id"].Text == Desk) mine++;
            return mine;
        }
    }

    internal long Asked(string filter) =>
        Sandbox.Control("POST /journal/count", "{\"filter\":" + filter + "}")["count"].Int64.Value;

    internal void ColleaguesCome()
    {
        foreach (string desk in new[] { "office-1", "office-2" })
        {
            using (var client = new Client(Sandbox.ClientConfig(desk)))
            {
                client.ActivateLicense();
                client.CheckLicense();
            }
        }
    }

    internal void AColleagueLeaves()
    {
        using (var client = new Client(Sandbox.ClientConfig("office-1"))) client.ReleaseLicense();
    }

    /// <summary>The game has ended; nothing of it is left here, and nothing strange has happened at the server.</summary>
    public void Dispose()
    {
        Stage.Quit();
        Hold("nobody is left on the stage", ReferenceEquals(LicenseManager.Current, null));
        Sandbox.ClearFaults();
        Hold("nothing impossible happened", Sandbox.Control("GET /invariants")["ok"].Boolean == true);
        Sandbox.Dispose();
        // For a while: a thread that has just begun has no name yet.
        int quiet = 0;
        Soon("no thread of the library is left", () => (quiet = Threads() == 0 ? quiet + 1 : 0) == 20);
        Directory.Delete(Folder, true);
    }

    /// <summary>How many threads the library and the sandbox have: all are named so.</summary>
    private static int Threads()
    {
        int found = 0;
        foreach (string task in Directory.GetDirectories("/proc/self/task"))
        {
            try
            {
                string name = File.ReadAllText(Path.Combine(task, "comm"));
                if (name.StartsWith("floatlease", StringComparison.Ordinal)) found++;
            }
            catch (IOException)
            {
                // It has ended meanwhile.
            }
        }
        return found;
    }

    internal static void Hold(string what, bool isSo)
    {
        if (!isSo) throw new InvalidOperationException("not so: " + what + "\n" + string.Join("\n", Debug.Logged));
    }

    /// <summary>It does not come: as far as a fifth of a second tells.</summary>
    internal static void Stays(string what, Func<bool> isSo)
    {
        for (int naps = 0; naps < 200; naps++)
        {
            Hold(what, isSo());
            Thread.Sleep(1);
        }
    }

    /// <summary>Waits for what comes of itself: not long, but longer than any machine should need.</summary>
    internal static void Soon(string what, Func<bool> isSo)
    {
        for (int naps = 0; !isSo(); naps++)
        {
            Hold("soon " + what, naps < 20000);
            Thread.Sleep(1);
        }
    }
}

internal static class Components
{
    internal static Component Component(this GameObject made, int number) => Stage.ComponentOf(made, number);
}

internal static class Program
{
    private static int Main()
    {
#if UNITY_EDITOR
        Stage.Initialize(typeof(LicenseManager).Assembly, typeof(UnityEditor.InitializeOnLoadMethodAttribute));
#endif
        foreach (Action play in Plays.All)
        {
            var watch = System.Diagnostics.Stopwatch.StartNew();
            play();
            Console.WriteLine("{0} {1}", play.Method.Name.Replace('_', ' '), watch.Elapsed);
        }
        Console.WriteLine("every play ended well");
        return 0;
    }
}
