// What is different in the editor: scripts come and go, plays begin anew, and there may be a sandbox.
#if UNITY_EDITOR
using System;
using System.Reflection;
using FloatLease;
using FloatLease.Unity;
using UnityEngine;

internal static partial class Plays
{
    private static void Scripts_change_in_play_mode()
    {
        using (var scene = new Scene())
        {
            scene.Play(onDisk: true);
            Client before = scene.Manager.Client;
            UnityEditor.AssemblyReloadEvents.Raise();
            Scene.Hold("it is closed before its scripts go", scene.Manager.State == LeaseState.Released);
            Stage.Reload();
            Scene.Hold("the same manager", LicenseManager.Current == scene.Manager && scene.Manager.Client != before);
            Scene.Soon("it plays", scene.Plays);
            scene.Pass("100m");
            Scene.Soon("it was renewed", () => scene.Plays() && scene.Manager.Lease.Info().RenewsIn > TimeSpan.Zero);
            Scene.Hold("one slot", scene.Slots == 1 && Debug.Logged.Count == 0);
        }
        using (var scene = new Scene())
        {
            scene.Load();
            scene.Manager.AcquireLease(scene.Config(onDisk: true));
            UnityEditor.AssemblyReloadEvents.Raise();
            Stage.Reload();
            Scene.Soon("it plays, though it had said nothing of a request", scene.Plays);
        }
        using (var scene = new Scene())
        {
            scene.Load();
            UnityEditor.AssemblyReloadEvents.Raise();
            Stage.Reload();
            Scene.Hold("nobody asked, nobody asks", scene.Manager.Client == null && Debug.Logged.Count == 0);
            Scene.Hold("it is the one of the game", LicenseManager.Current == scene.Manager);
        }
    }

    private static void Scripts_change_after_the_license_was_given_back()
    {
        var ways = new Action<LicenseManager>[]
        {
            manager => manager.ReleaseLease(),
            manager => manager.Lease.Release(),
            manager => manager.Client.Submit("lease_release", "{\"lease\":" + manager.Lease.Number + "}"),
        };
        foreach (Action<LicenseManager> way in ways)
        {
            using (var scene = new Scene())
            {
                scene.Play(onDisk: true);
                way(scene.Manager);
                Scene.Soon("it is given back", () => !scene.Plays() && scene.Slots == 0);
                UnityEditor.AssemblyReloadEvents.Raise();
                Stage.Reload();
                Scene.Stays("nobody asks for it again", () => !scene.Plays() && scene.Manager.Client == null);
                Scene.Hold("no slot", scene.Slots == 0 && Debug.Logged.Count == 0);
                scene.Manager.AcquireLease(scene.Config(onDisk: true));
                Scene.Soon("it plays again", scene.Plays);
            }
        }
        using (var scene = new Scene())
        {
            scene.Play(onDisk: true);
            scene.Manager.ReleaseLease();
            UnityEditor.AssemblyReloadEvents.Raise();
            Stage.Reload();
            Scene.Stays("nobody asks, though there was no frame between", () => scene.Manager.Client == null);
        }
    }

    private static void A_play_begins_while_statics_live_on()
    {
        using (var scene = new Scene())
        {
            scene.Play();
            LicenseManager old = scene.Manager;
            Stage.Initialize(typeof(LicenseManager).Assembly, typeof(RuntimeInitializeOnLoadMethodAttribute));
            Scene.Hold("the one of the play before is closed", LicenseManager.Current == null && old.Client == null);
            Scene.Soon("its slot is given back", () => scene.Slots == 0);
            scene.Manager = null;
            scene.Play();
            Scene.Hold("the new one holds it", LicenseManager.Current == scene.Manager && scene.Slots == 1);
        }
    }

    private static void The_domain_is_unloaded_and_leaves_no_thread()
    {
        using (var scene = new Scene())
        {
            AppDomainSetup here = AppDomain.CurrentDomain.SetupInformation;
            AppDomain scripts = AppDomain.CreateDomain("scripts", null, here);
            var inside = (InAnotherDomain)scripts.CreateInstanceAndUnwrap(
                Assembly.GetExecutingAssembly().FullName, typeof(InAnotherDomain).FullName);
            Scene.Hold("it holds a lease there", inside.Hold(scene.Config().ToJson()) == "Active" && scene.Slots == 1);
            AppDomain.Unload(scripts);
            Scene.Soon("the slot is given back", () => scene.Slots == 0);
        }
    }

    private static void A_play_on_a_sandbox_goes_through_all_states()
    {
        using (var scene = new Scene())
        {
            GameObject made = Stage.Object(typeof(LicenseManager), typeof(LicenseBanner), typeof(PlayOnASandbox));
            scene.Manager = (LicenseManager)made.Component(0);
            scene.Manager.acquireOnStart = false;
            scene.Game = (LicenseBanner)made.Component(1);
            var play = (PlayOnASandbox)made.Component(2);
            Stage.Enter(made);
            Scene.Soon("it plays", scene.Plays);
            play.GoAway();
            Scene.Soon("a notice", () => scene.Shows("does not answer. Play on."));
            play.PassHalfAnHour();
            Scene.Soon("a warning", () => scene.Shows("it ends in"));
            play.PassFiveMinutes();
            Scene.Soon("the end", () => scene.Shows("The license is gone."));
            play.ComeBack();
            Scene.Soon("it goes on", scene.Plays);
        }
    }

    private static readonly Action[] InTheEditor =
    {
        Scripts_change_in_play_mode,
        Scripts_change_after_the_license_was_given_back,
        A_play_begins_while_statics_live_on,
        The_domain_is_unloaded_and_leaves_no_thread,
        A_play_on_a_sandbox_goes_through_all_states,
    };

    internal static Action[] All
    {
        get
        {
            var all = new Action[InAPlayer.Length + InTheEditor.Length];
            InAPlayer.CopyTo(all, 0);
            InTheEditor.CopyTo(all, InAPlayer.Length);
            return all;
        }
    }
}

/// <summary>What scripts do in the domain that is unloaded under them: one with events on its own thread too.</summary>
public sealed class InAnotherDomain : MarshalByRefObject
{
    private static Client listening;

    public string Hold(string config)
    {
        Stage.Initialize(typeof(LicenseManager).Assembly, typeof(UnityEditor.InitializeOnLoadMethodAttribute));
        GameObject made = Stage.Object(typeof(LicenseManager));
        var manager = (LicenseManager)made.Component(0);
        manager.acquireOnStart = false;
        Stage.Enter(made);
        manager.AcquireLease(ClientConfig.Parse(config));
        Scene.Soon("it has a license", () =>
        {
            Stage.Frame();
            return manager.IsLicensed;
        });
        listening = new Client(config);
        listening.EventReceived += (sender, happened) => { };
        return manager.State.ToString();
    }
}
#endif
