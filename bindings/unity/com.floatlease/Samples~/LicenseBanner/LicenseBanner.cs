// A game with a floating license: it plays on through an outage, saves when the license may be lost, and stops when the
// license is lost.
//
// Put a License Manager on an object of your first scene, fill in its settings, and put this beside it. Nothing here
// waits: the manager asks the server in the background, and raises all events in its Update, on the main thread.
using System.IO;
using FloatLease;
using FloatLease.Unity;
using UnityEngine;

public sealed class LicenseBanner : MonoBehaviour
{
    public LicenseManager license;

    /// <summary>The score, which is all that this game saves.</summary>
    public int score;

    /// <summary>The text shown over the picture; empty for none.</summary>
    public string banner = "";

    private string SavedGame => Path.Combine(Application.persistentDataPath, "saved_game.txt");

    private void OnEnable()
    {
        if (license == null) license = GetComponent<LicenseManager>();
        license.TimeToSave += Save;
        license.StateChanged += Tell;
        license.EventReceived += ShowQueue;
        license.Refused += Refuse;
        banner = "Looking for a license.";
    }

    private void OnDisable()
    {
        license.TimeToSave -= Save;
        license.StateChanged -= Tell;
        license.EventReceived -= ShowQueue;
        license.Refused -= Refuse;
    }

    private void Update()
    {
        // Reading the state costs nothing: do it in every frame, wherever you like.
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
        if (license.Failure != null && GUI.Button(new Rect(0, 40, 120, 32), "Try again")) license.AcquireLease();
    }

    /// <summary>
    /// Saves when the license may soon be gone, and again when it is: the game is still the player's.
    /// </summary>
    private void Save() => File.WriteAllText(SavedGame, "score " + score);

    /// <summary>Shows what the new state means for the player.</summary>
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

    private void ShowQueue(ClientEvent received)
    {
        if (received is WaitingEvent) banner = "Every license is in use. You are in the queue.";
    }

    /// <summary>Shows why there is no license and what to do: both are sentences for the player.</summary>
    private void Refuse(FloatLeaseException failure) => banner = failure.Message + " " + failure.Advice;
}
