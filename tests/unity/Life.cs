// The life of a LicenseManager and of the sample beside it, in a player.
using System;
using System.Collections.Generic;
using System.IO;
using System.Reflection;
using FloatLease;
using FloatLease.Unity;
using UnityEngine;
using Stopwatch = System.Diagnostics.Stopwatch;

internal static partial class Plays
{
    private static void The_first_start_shows_its_picture_at_once()
    {
        using (var scene = new Scene())
        {
            scene.Load();
            scene.Manager.AcquireLease(scene.Config());
            Scene.Hold("it looks for a license", scene.Manager.IsAcquiring && scene.Shows("Looking for a license."));
            Scene.Hold("it does not play yet", !scene.Manager.IsLicensed && scene.Manager.Remaining == TimeSpan.Zero);
            Scene.Soon("it plays", scene.Plays);
            scene.Manager.Client.Cancel();
            Scene.Hold("nothing to say", scene.Shows("") && scene.Manager.State == LeaseState.Active);
            Scene.Hold("time is left", scene.Manager.Remaining > TimeSpan.FromHours(2));
            Scene.Hold("one slot", scene.Slots == 1 && !scene.Manager.IsAcquiring);
            Stage.Quit();
            Scene.Hold("it is given back before the game has ended", scene.Slots == 0);
            Scene.Hold("nothing was logged", Debug.Logged.Count == 0);
        }
    }

    private static void An_outage_is_played_through_saved_and_survived()
    {
        using (var scene = new Scene())
        {
            scene.Play();
            var states = new List<LeaseState>();
            int toSave = 0, heard = 0;
            scene.Manager.TimeToSave += () => { throw new InvalidOperationException("a handler of the game's"); };
            scene.Manager.TimeToSave += () => heard++;
            scene.Manager.onTimeToSave.AddListener(() => toSave++);
            scene.Manager.StateChanged += states.Add;
            scene.Manager.onStateChanged.AddListener(states.Add);
            scene.Outage();
            scene.Pass("119m");
            Scene.Soon("a notice", () => scene.Shows("does not answer. Play on."));
            Scene.Hold("it plays on", scene.Plays() && scene.Saved == null);
            scene.Pass("2m");
            Scene.Soon("a warning", () => scene.Shows("The game is saved; it ends in"));
            Scene.Hold("it is saved, and plays on", scene.Saved.StartsWith("score ") && scene.Plays() && toSave == 1);
            string before = scene.Saved;
            scene.Pass("5m");
            Scene.Soon("the end", () => scene.Shows("The license is gone."));
            Scene.Hold("it is saved again, and stands still", scene.Saved != before && !scene.Plays() && toSave == 2);
            scene.Sandbox.ClearFaults();
            scene.Pass("2m");
            Scene.Soon("it goes on", scene.Plays);
            Scene.Hold("nothing to say, and one slot", scene.Shows("") && scene.Slots == 1);
            var twice = new List<LeaseState>();
            var once = new[] { LeaseState.Degraded, LeaseState.Grace, LeaseState.Lost, LeaseState.Active };
            foreach (LeaseState one in once)
            {
                twice.AddRange(new[] { one, one });
            }
            Scene.Hold("each state is told once", string.Join(" ", states) == string.Join(" ", twice));
            Scene.Hold("all hear it, though one throws", heard == 2);
            Scene.Hold("who throws is logged", Debug.Logged.Count == 2 && Debug.Logged[0].Contains("of the game's"));
        }
    }

    private static void A_server_that_never_answers_holds_up_no_frame_and_not_the_end()
    {
        using (var scene = new Scene("{\"faults\":[{\"do\":{\"before\":\"hang\"}}]}"))
        {
            scene.Load();
            scene.Manager.AcquireLease(scene.Config());
            for (int frame = 0; frame < 20000; frame++)
            {
                Scene.Hold("asking", scene.Shows("Looking") && scene.Manager.IsAcquiring);
            }
            scene.Manager.ReleaseLease();
            Scene.Hold("it has given up", !scene.Manager.IsAcquiring && scene.Manager.Failure == null);
        }
        using (var scene = new Scene())
        {
            scene.Play();
            scene.Manager.quitTimeoutSeconds = 0.3f;
            scene.Sandbox.Fault("{\"do\":{\"before\":\"hang\"}}");
            var watch = Stopwatch.StartNew();
            Stage.Quit();
            Scene.Hold("the end waits for its patience, not for a deadline", watch.Elapsed < TimeSpan.FromSeconds(5));
            Scene.Hold("it was asked", scene.Asked("{\"operation\":\"release_license\"}") > 0 && scene.Slots == 1);
        }
        using (var scene = new Scene())
        {
            scene.Play();
            scene.Manager.quitTimeoutSeconds = 0;
            Stage.Quit();
            Scene.Soon("given back in the background", () => scene.Slots == 0);
        }
    }

    private static void A_quit_during_the_acquire_leaves_no_slot()
    {
        using (var scene = new Scene())
        {
            scene.Load();
            using (var known = new Client(scene.Config())) known.ActivateLicense();
            scene.Sandbox.Fault("{\"match\":{\"operation\":\"check_license\"},\"when\":{\"times\":1},"
                + "\"do\":{\"after_commit\":{\"delay\":{\"fixed_ms\":20000}}}}");
            bool wasRefused = false;
            scene.Manager.Refused += failure => wasRefused = true;
            scene.Manager.AcquireLease(scene.Config());
            Scene.Soon("the server has given a slot", () => scene.Slots == 1);
            Stage.Quit();
            Scene.Hold("it is given back before the game has ended", scene.Slots == 0);
            Scene.Hold("the player hears of no refusal", !wasRefused);
        }
    }

    private static void Every_slot_is_taken_so_it_queues()
    {
        using (var scene = new Scene())
        {
            scene.Load();
            using (var known = new Client(scene.Config())) known.ActivateLicense();
            scene.ColleaguesCome();
            scene.Manager.AcquireLease(scene.Config(), new LeaseRequest { Wait = TimeSpan.FromMinutes(1) });
            Scene.Soon("it queues", () => scene.Shows("You are in the queue."));
            scene.AColleagueLeaves();
            Scene.Soon("it plays", scene.Plays);
        }
    }

    private static void A_refusal_is_told_and_the_player_may_try_again()
    {
        using (var scene = new Scene())
        {
            string told = "";
            ClientConfig config = scene.Config();
            scene.ColleaguesCome();
            // As somebody fills in the Inspector.
            scene.Load(manager =>
            {
                manager.acquireOnStart = true;
                manager.settings.product = config.Product;
                manager.settings.apiKey = config.ApiKey;
                manager.settings.sharedKey = config.SharedKey;
                manager.settings.licenseKey = config.LicenseKey;
                manager.settings.baseUrl = config.BaseUrl;
                manager.settings.publicKey = config.PublicKey;
                manager.settings.waitSeconds = 0;
                manager.onRefused.AddListener(text => told = text);
                bool wasHeard = false;
                manager.Refused += failure =>
                {
                    if (!wasHeard) manager.AcquireLease(); // at once, while the old session tells of its end
                    wasHeard = true;
                };
            });
            Scene.Soon("it is refused twice", () => !scene.Shows("Looking") && scene.Manager.Failure != null);
            Scene.Hold("nothing is logged", Debug.Logged.Count == 0);
            Scene.Hold("why", scene.Manager.Failure.Status == Status.FloatingNotAvailable && !scene.Manager.IsAcquiring);
            Scene.Hold("what to do", scene.Shows("Wait until a colleague") && told == scene.Game.banner);
            scene.AColleagueLeaves();
            GUI.Pressed = "Try again";
            Stage.Frame();
            GUI.Pressed = "";
            Scene.Soon("it plays", scene.Plays);
            string[] kept = Directory.GetFiles(Path.Combine(scene.Folder, "floatlease"));
            Scene.Hold("the folder of the game remembers it", kept.Length > 0);

            scene.Manager.settings.features = new[] { "MESH", "SOLVER" };
            scene.Manager.AcquireLease();
            Scene.Soon("it has both features", () => scene.Plays() && scene.Manager.Lease.Info().Slots.Count == 2);
        }
    }

    private static void Settings_that_are_wrong_are_logged_and_the_game_goes_on()
    {
        using (var scene = new Scene())
        {
            scene.Load(manager => manager.acquireOnStart = true);
            Stage.Frame();
            Stage.Frame();
            Scene.Hold("the key is named", Debug.Logged.Count == 1 && Debug.Logged[0].Contains("\"api_key\""));
            Scene.Hold("there is none", scene.Manager.State == LeaseState.None && scene.Manager.Client == null);
        }
    }

    private static void After_a_pause_what_is_due_is_asked_at_once_and_else_nothing()
    {
        foreach (string message in new[] { "OnApplicationPause", "OnApplicationFocus" })
        {
            using (var scene = new Scene())
            {
                bool back = message == "OnApplicationFocus";
                scene.Play();
                long asked = scene.Asked("{\"operation\":\"check_license\"}");
                Stage.Message(message, !back);
                Stage.Message(message, back);
                Scene.Stays("what is not due is not asked", () => scene.Asked("{\"operation\":\"check_license\"}") == asked);

                // The library is told to come back in an hour and a half, and keeps to half of what is left.
                scene.Sandbox.Fault("{\"do\":{\"before\":{\"http\":{\"status\":503,\"retry_after_s\":6000}}}}");
                scene.Pass("75m");
                Scene.Soon("a notice", () => scene.Shows("does not answer."));
                scene.Sandbox.ClearFaults();
                Stage.Message(message, !back);
                Scene.Stays("nobody asks in a pause", () => scene.Shows("does not answer."));
                Stage.Message(message, back);
                Scene.Soon("it was asked at once", () => scene.Shows("") && scene.Manager.State == LeaseState.Active);
            }
        }
    }

    private static void The_first_scene_is_loaded_again_and_another_scene_too()
    {
        using (var scene = new Scene())
        {
            GameObject first = scene.Play();
            GameObject again = scene.Load();
            Stage.Frame();
            Stage.Frame();
            Scene.Hold("the first one stays", again == null && first != null && LicenseManager.Current == scene.Manager);
            Scene.Hold("it is kept", Stage.Kept.Contains(first) && scene.Plays() && scene.Slots == 1);
            UnityEngine.Object.Destroy(first);
            Stage.Frame();
            Scene.Hold("it has ended", first == null && LicenseManager.Current == null);
            Scene.Soon("its slot is given back in the background", () => scene.Slots == 0);
        }
        using (var scene = new Scene())
        {
            GameObject made = scene.Load(manager => manager.keepAcrossScenes = false);
            Scene.Hold("it goes with its scene", !Stage.Kept.Contains(made));
        }
    }

    private static void A_license_is_given_back_and_taken_again()
    {
        using (var scene = new Scene())
        {
            scene.Play();
            scene.Manager.ReleaseLease();
            Scene.Soon("it is given back", () => scene.Shows("The license is given back.") && scene.Slots == 0);
            Scene.Hold("it stands still", !scene.Plays() && scene.Manager.State == LeaseState.Released);
            scene.Manager.AcquireLease(scene.Config());
            Scene.Soon("it plays", scene.Plays);
            scene.Manager.Client.Dispose();
            Scene.Hold("a script has closed it", scene.Shows("The license is given back.") && Debug.Logged.Count > 0);
        }
        using (var scene = new Scene())
        {
            scene.Play(onDisk: true);
            Client before = scene.Manager.Client;
            scene.Manager.AcquireLease(scene.Config(onDisk: true));
            Scene.Hold("the old one is closed", scene.Manager.Client != before && scene.Manager.State == LeaseState.None);
            Scene.Soon("it plays", scene.Plays);
            scene.Pass("100m");
            Scene.Soon("it is renewed", () => scene.Plays() && scene.Manager.Lease.Info().RenewsIn > TimeSpan.Zero);
            Scene.Hold("one slot", scene.Slots == 1);
        }
    }

    private static void A_borrow_outlives_the_game()
    {
        using (var scene = new Scene())
        {
            scene.Play(onDisk: true);
            scene.Manager.Lease.Borrow();
            Scene.Hold("borrowed", scene.Plays() && scene.Manager.State == LeaseState.Borrowed && scene.Shows(""));
            Stage.Quit();
            Scene.Hold("it stays", scene.Slots == 1 && scene.Asked("{\"operation\":\"release_license\"}") == 0);
        }
    }

    private static void A_quiet_frame_makes_no_garbage()
    {
        using (var scene = new Scene())
        {
            scene.Play();
            const BindingFlags Private = BindingFlags.Instance | BindingFlags.NonPublic;
            MethodInfo update = typeof(LicenseManager).GetMethod("Update", Private);
            var frame = (Action)Delegate.CreateDelegate(typeof(Action), scene.Manager, update);
            long licensed = 0;
            GC.Collect();
            int before = GC.CollectionCount(0);
            for (int number = 0; number < 500000; number++)
            {
                frame();
                if (scene.Manager.IsLicensed && scene.Manager.Remaining > TimeSpan.Zero) licensed++;
            }
            // Sixteen bytes a frame would be 8 MB, twice the nursery.
            Scene.Hold("not once collected", GC.CollectionCount(0) == before && licensed == 500000);
        }
    }

    private static readonly Action[] InAPlayer =
    {
        The_first_start_shows_its_picture_at_once,
        An_outage_is_played_through_saved_and_survived,
        A_server_that_never_answers_holds_up_no_frame_and_not_the_end,
        A_quit_during_the_acquire_leaves_no_slot,
        Every_slot_is_taken_so_it_queues,
        A_refusal_is_told_and_the_player_may_try_again,
        Settings_that_are_wrong_are_logged_and_the_game_goes_on,
        After_a_pause_what_is_due_is_asked_at_once_and_else_nothing,
        The_first_scene_is_loaded_again_and_another_scene_too,
        A_license_is_given_back_and_taken_again,
        Calls_are_awaited_on_the_main_thread_and_no_frame_waits,
        A_borrow_outlives_the_game,
        A_quiet_frame_makes_no_garbage,
    };

#if !UNITY_EDITOR
    internal static Action[] All => InAPlayer;
#endif
}
