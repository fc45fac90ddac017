using System;
using UnityEngine;
using UnityEngine.Events;

namespace FloatLease.Unity
{
    /// <summary>
    /// Holds the game's license. Put it on an object of the first scene. No frame ever waits for it, but the last one:
    /// see <see cref="quitPatienceSeconds"/>.
    /// </summary>
    /// <remarks>
    /// All of it is for the main thread, and all events are raised there, in Update. It runs on no thread of its own
    /// here; the library's one thread renews, also while the game is paused.
    /// </remarks>
    [AddComponentMenu("FloatLease/License Manager")]
    [DisallowMultipleComponent]
    public sealed class LicenseManager : MonoBehaviour
    {
        /// <summary>Which license.</summary>
        public LicenseSettings settings = new LicenseSettings();

        /// <summary>Whether it asks by itself; otherwise call Acquire, for example when a key was typed in.</summary>
        [Tooltip("Off: your script calls Acquire, for example when the user has typed a key in.")]
        public bool acquireOnStart = true;

        /// <summary>Whether the license is held on when another scene is loaded.</summary>
        [Tooltip("Hold the license when another scene is loaded. The object must be at the scene's top.")]
        public bool keepAcrossScenes = true;

        /// <summary>
        /// How long the end of the game may wait until the slot is given back. 0: not at all; then, and when the server
        /// does not answer in time, the slot is free when its time is up, or taken over by the next start.
        /// </summary>
        [Tooltip("How long quitting may wait until the slot is given back."), Range(0, 10)]
        public float quitPatienceSeconds = 2;

        /// <summary>See <see cref="TimeToSave"/>.</summary>
        public UnityEvent onTimeToSave = new UnityEvent();

        /// <summary>See <see cref="StateChanged"/>.</summary>
        public LeaseStateEvent onStateChanged = new LeaseStateEvent();

        /// <summary>See <see cref="Refused"/>; with what to tell the player.</summary>
        public LicenseMessageEvent onRefused = new LicenseMessageEvent();

        private static LicenseManager current;

        // Unity keeps these when scripts change in Play mode, and the session not: it is opened anew from them.
        private string configJson;
        private string requestJson;
        private LeaseState shown;

        [NonSerialized] private LicenseSession session;

        /// <summary>
        /// Save now: the license may soon be gone (<see cref="LeaseState.Grace"/>), or it is
        /// (<see cref="LeaseState.Lost"/>).
        /// </summary>
        public event Action TimeToSave;

        /// <summary>The lease stands otherwise than in the last frame.</summary>
        public event Action<LeaseState> StateChanged;

        /// <summary>Something happened to the lease: for a queue's progress, and for logs.</summary>
        public event Action<LeaseEvent> Happened;

        /// <summary>There is no license; the message says why. Acquire asks again.</summary>
        public event Action<FloatLeaseException> Refused;

        /// <summary>The one of the game; null before its Awake and after its end.</summary>
        public static LicenseManager Current => current;

        /// <summary>How the lease stands: costs nothing, ask in every frame. None: there is none (yet).</summary>
        public LeaseState State => session == null ? LeaseState.None : session.State;

        /// <summary>Whether licensed work goes on.</summary>
        public bool IsLicensed
        {
            get
            {
                LeaseState state = State;
                return state >= LeaseState.Active && state <= LeaseState.Borrowed;
            }
        }

        /// <summary>The time until licensed work must stop; costs nothing.</summary>
        public TimeSpan Remaining => session == null ? TimeSpan.Zero : session.Remaining;

        /// <summary>Whether the answer to an Acquire is awaited.</summary>
        public bool IsAsking => session != null && session.IsAsking;

        /// <summary>Why there is no license; null if there is one, or none was refused.</summary>
        public FloatLeaseException Failure => session?.Failure;

        /// <summary>For the API's other calls; null before Acquire. It is pumped in Update.</summary>
        public Client Client => session?.Client;

        /// <summary>The lease; null if there is none.</summary>
        public Lease Lease => session?.Lease;

        /// <summary>Asks for a license as the settings say. Waits for nothing.</summary>
        /// <exception cref="FloatLeaseException">The settings are wrong; the message names the key.</exception>
        public void Acquire() => Acquire(settings.ToConfig(), settings.ToRequest());

        /// <summary>
        /// Asks for a license, in the place of any there is. Waits for nothing. If that one is held and its config has no
        /// <see cref="ClientConfig.StorageDir"/>, <see cref="Release"/> it first: it is given back in the background,
        /// and might take the new one along.
        /// </summary>
        /// <exception cref="FloatLeaseException">The config is wrong; the message names the key.</exception>
        public void Acquire(ClientConfig config, LeaseRequest request = null)
        {
            Close();
            Open(config.ToJson(), request?.ToJson());
        }

        /// <summary>Gives the license back, in the background. Acquire takes one again.</summary>
        public void Release()
        {
            if (session?.Lease == null)
            {
                Close();
                return;
            }
            ForgetSession();
            session.Release();
        }

        internal static void ForgetPlay()
        {
            if (!ReferenceEquals(current, null)) current.Close();
            current = null;
        }

        private void Awake()
        {
            // The first scene is loaded again: the one that holds the license stays.
            if (current != null && current != this)
            {
                Destroy(gameObject);
                return;
            }
            current = this;
            if (keepAcrossScenes) DontDestroyOnLoad(gameObject);
        }

        // After Awake, and again when scripts have changed in Play mode.
        private void OnEnable()
        {
            if (current == null) current = this;
            if (string.IsNullOrEmpty(configJson) || session != null) return;
            Everybody.Try(manager => manager.Open(configJson, requestJson), this);
        }

        private void Start()
        {
            if (acquireOnStart && current == this && session == null) Everybody.Try(manager => manager.Acquire(), this);
        }

        private void Update()
        {
            if (session != null) Everybody.Try(one => one.Pump(), session);
            Look();
        }

        private void OnApplicationPause(bool isPaused)
        {
            if (!isPaused) session?.RenewIfDue();
        }

        private void OnApplicationFocus(bool hasFocus)
        {
            if (hasFocus) session?.RenewIfDue();
        }

        private void OnApplicationQuit()
        {
            if (session != null) Everybody.Try(one => one.ReleaseWithin(quitPatienceSeconds), session);
            Close();
        }

        private void OnDestroy()
        {
            Close();
            if (ReferenceEquals(current, this)) current = null;
        }

        private void Open(string config, string request)
        {
            // Unity has brought null back as "".
            session = new LicenseSession(config, string.IsNullOrEmpty(request) ? null : request);
            configJson = config;
            requestJson = request;
            session.Happened += happened => Everybody.Hears(Happened, happened);
            session.Refused += Refuse;
        }

        private void Close()
        {
            ForgetSession();
            session?.Dispose();
            session = null;
        }

        // What was given back must not be taken again because scripts have changed.
        private void ForgetSession() => configJson = requestJson = null;

        private void Look()
        {
            LeaseState before = shown;
            shown = State;
            if (shown == before) return;
            // A script may have released the lease itself, or closed the client.
            if (shown == LeaseState.Released) ForgetSession();
            // First what must not be missed, and each though another throws.
            if (shown == LeaseState.Grace || shown == LeaseState.Lost)
            {
                Everybody.Hears(TimeToSave);
                Everybody.Try(handlers => handlers.Invoke(), onTimeToSave);
            }
            Everybody.Hears(StateChanged, shown);
            Everybody.Try(handlers => handlers.Invoke(shown), onStateChanged);
        }

        private void Refuse(FloatLeaseException failure)
        {
            Everybody.Hears(Refused, failure);
            Everybody.Try(handlers => handlers.Invoke(failure.Message + " " + failure.Advice), onRefused);
        }
    }
}
