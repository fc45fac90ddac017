// A game with a floating license: it plays on through an outage, saves when the license may be lost, and stops when it
// is.
//
// Put a License Manager on an object of your first scene, fill in its settings, and put this beside it. Nothing here
// ever waits: the manager asks the server in the background, and all events come in its Update, on the main thread.
using System.IO;
using FloatLease;
using FloatLease.Unity;
using UnityEngine;

public sealed class LicenseBanner : MonoBehaviour
{
    public LicenseManager license;

    /// <summary>What is worth saving in this game.</summary>
    public int score;

    /// <summary>Over the picture; empty: nothing to say.</summary>
    public string banner = "";

    private string SavedGame => Path.Combine(Application.persistentDataPath, "saved_game.txt");

    private void OnEnable()
    {
        if (license == null) license = GetComponent<LicenseManager>();
        license.TimeToSave += Save;
        license.StateChanged += Tell;
        license.Happened += Queue;
        license.Refused += Refuse;
        banner = "Looking for a license.";
    }

    private void OnDisable()
    {
        license.TimeToSave -= Save;
        license.StateChanged -= Tell;
        license.Happened -= Queue;
        license.Refused -= Refuse;
    }

    private void Update()
    {
        // To read the state costs nothing: do it in every frame, wherever you like.
        if (license.IsLicensed) score++;
        if (license.State == LeaseState.Grace)
        {
            int seconds = (int)license.Remaining.TotalSeconds;
            banner = "The license may be gone. The game is saved; it ends in " + seconds + " s.";
        }
    }

    private void OnGUI()
    {
        if (banner != "") GUI.Box(new Rect(0, 0, Screen.width, 32), banner);
        // No license: the player may try again, for example when a colleague has left.
        if (license.Failure != null && GUI.Button(new Rect(0, 40, 120, 32), "Try again")) license.Acquire();
    }

    /// <summary>Called when the license may soon be gone, and again when it is. It is still the player's game.</summary>
    private void Save() => File.WriteAllText(SavedGame, "score " + score);

    /// <summary>What each state means for the player.</summary>
    private void Tell(LeaseState state)
    {
        switch (state)
        {
            case LeaseState.Active:
            case LeaseState.Borrowed:
                banner = "";
                break;
            case LeaseState.Degraded:
                banner = "The license server does not answer. Play on.";
                break;
            case LeaseState.Lost:
                // The library goes on asking: when the license is back, the state is Active again.
                banner = "The license is gone. The game is saved, and goes on when the license is back.";
                break;
            case LeaseState.Released:
                banner = "The license is given back.";
                break;
        }
    }

    private void Queue(LeaseEvent happened)
    {
        if (happened.Kind == LeaseEventKind.Waiting) banner = "Every license is in use. You are in the queue.";
    }

    /// <summary>What happened, and what to do about it: both are sentences for the player.</summary>
    private void Refuse(FloatLeaseException failure) => banner = failure.Message + " " + failure.Advice;
}
