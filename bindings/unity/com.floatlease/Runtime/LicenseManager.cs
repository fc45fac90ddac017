using System;
using UnityEngine;
using UnityEngine.Events;

namespace FloatLease.Unity
{
    /// <summary>
    /// Holds the game's license: takes a lease when the game starts, keeps it, and gives it back at the end. Put it on
    /// an object of the first scene.
    /// </summary>
    /// <remarks>
    /// Use it on the main thread only; it raises its events there, in Update, and at the game's end those of the release. No frame waits for the server, except
    /// the last one: see <see cref="quitTimeoutSeconds"/>. The library's own thread renews the lease, also while the
    /// game is paused.
    /// </remarks>
    [AddComponentMenu("FloatLease/License Manager")]
    [DisallowMultipleComponent]
    public sealed class LicenseManager : MonoBehaviour
    {
        /// <summary>The license, the server and the features that <see cref="AcquireLease()"/> asks for.</summary>
        public LicenseSettings settings = new LicenseSettings();

        /// <summary>
        /// True if the manager acquires a lease in Start. Otherwise your script calls <see cref="AcquireLease()"/>, for
        /// example when the user has typed a license key in.
        /// </summary>
        [Tooltip("Off: your script calls AcquireLease, for example when the user has typed a key in.")]
        public bool acquireOnStart = true;

        /// <summary>
        /// True if the manager, and with it the lease, stays when another scene is loaded. Its object must be at the
        /// top of the scene then.
        /// </summary>
        [Tooltip("Hold the license when another scene is loaded. The object must be at the scene's top.")]
        public bool keepAcrossScenes = true;

        /// <summary>
        /// The longest time in seconds that the end of the game waits for the slot to be given back; 0 does not wait.
        /// If the server does not answer in time, it frees the slot after its timeout, or the next start takes the slot
        /// over.
        /// </summary>
        [Tooltip("The longest time that quitting waits for the slot to be given back."), Range(0, 10)]
        public float quitTimeoutSeconds = 2;

        /// <summary>The Inspector's form of <see cref="TimeToSave"/>.</summary>
        public UnityEvent onTimeToSave = new UnityEvent();

        /// <summary>The Inspector's form of <see cref="StateChanged"/>.</summary>
        public LeaseStateEvent onStateChanged = new LeaseStateEvent();

        /// <summary>The Inspector's form of <see cref="Refused"/>, with a sentence to show to the player.</summary>
        public LicenseMessageEvent onRefused = new LicenseMessageEvent();

        private static LicenseManager current;

        // Unity keeps these fields when scripts change in Play mode, but not the session: it is opened again from them.
        private string configJson;
        private string requestJson;
        private LeaseState lastState;

        [NonSerialized] private LicenseSession session;

        /// <summary>
        /// Raised when the game should be saved: the license may soon be gone (<see cref="LeaseState.Grace"/>), or is
        /// gone (<see cref="LeaseState.Lost"/>).
        /// </summary>
        public event Action TimeToSave;

        /// <summary>
        /// Raised in Update if <see cref="State"/> differs from the last frame's, with the new state. Changes within one
        /// frame raise it once.
        /// </summary>
        public event Action<LeaseState> StateChanged;

        /// <summary>
        /// Raised for each event of the client, as <see cref="FloatLease.Client.EventReceived"/> is: a
        /// <see cref="WaitingEvent"/> shows the progress in a queue, and all of them are worth a line in a log.
        /// </summary>
        public event Action<ClientEvent> EventReceived;

        /// <summary>
        /// Raised when no lease could be acquired; the exception says why and what to do.
        /// <see cref="AcquireLease()"/> tries again.
        /// </summary>
        public event Action<FloatLeaseException> Refused;

        /// <summary>The game's manager; null before its Awake and after its end.</summary>
        public static LicenseManager Current => current;

        /// <summary>
        /// The state of the lease; None while there is no lease. Reading it costs nothing: read it in every frame.
        /// </summary>
        public LeaseState State => session == null ? LeaseState.None : session.State;

        /// <summary>
        /// True if licensed work may go on: the state is Active, Degraded, Grace or Borrowed. Reading it costs nothing.
        /// </summary>
        public bool IsLicensed
        {
            get
            {
                LeaseState state = State;
                return state >= LeaseState.Active && state <= LeaseState.Borrowed;
            }
        }

        /// <summary>
        /// The time until licensed work must stop; zero while there is no lease. Reading it costs nothing.
        /// </summary>
        public TimeSpan Remaining => session == null ? TimeSpan.Zero : session.Remaining;

        /// <summary>True if an acquire is under way: neither a lease nor a refusal has come yet.</summary>
        public bool IsAcquiring => session != null && session.IsAcquiring;

        /// <summary>The reason why the last acquire failed; null if it succeeded, or if there was none.</summary>
        public FloatLeaseException Failure => session?.Failure;

        /// <summary>
        /// The client of the lease, for the API's other calls; null before <see cref="AcquireLease()"/>. The manager
        /// pumps it in Update.
        /// </summary>
        public Client Client => session?.Client;

        /// <summary>The lease; null while there is none.</summary>
        public Lease Lease => session?.Lease;

        /// <summary>Acquires a lease as <see cref="settings"/> says. It waits for nothing: see the events.</summary>
        /// <exception cref="FloatLeaseException">The settings are invalid; the message names the key.</exception>
        public void AcquireLease() => AcquireLease(settings.ToConfig(), settings.ToRequest());

        /// <summary>
        /// Acquires a lease with this config and request, and disposes the one that the manager had. It waits for
        /// nothing: see the events.
        /// </summary>
        /// <remarks>
        /// If a lease is held and its config has no <see cref="ClientConfig.StorageDir"/>, call
        /// <see cref="ReleaseLease"/> first. The old slot is given back in the background, and without the folder that
        /// might free the new slot too. The first start on a machine activates it, unless the request has false as its
        /// <see cref="LeaseRequest.Activate"/>.
        /// </remarks>
        /// <exception cref="FloatLeaseException">The config is invalid; the message names the key.</exception>
        public void AcquireLease(ClientConfig config, LeaseRequest request = null)
        {
            LeaseRequest complete = LeaseRequest.Parse(request == null ? "{}" : request.ToJson());
            if (complete.Activate == null) complete.Activate = true;
            Close();
            Open(config.ToJson(), complete.ToJson());
        }

        /// <summary>
        /// Gives the lease back in the background. <see cref="AcquireLease()"/> takes one again.
        /// </summary>
        public void ReleaseLease()
        {
            if (session?.Lease == null)
            {
                Close();
                return;
            }
            ForgetRequest();
            session.Release();
        }

        internal static void ResetStatics()
        {
            if (!ReferenceEquals(current, null)) current.Close();
            current = null;
        }

        private void Awake()
        {
            // The first scene was loaded again: the manager that holds the license stays.
            if (current != null && current != this)
            {
                Destroy(gameObject);
                return;
            }
            current = this;
            if (keepAcrossScenes) DontDestroyOnLoad(gameObject);
        }

        // Unity calls it after Awake, and again when scripts have changed in Play mode.
        private void OnEnable()
        {
            if (current == null) current = this;
            if (string.IsNullOrEmpty(configJson) || session != null) return;
            SafeInvoke.One(manager => manager.Open(configJson, requestJson), this);
        }

        private void Start()
        {
            if (!acquireOnStart || current != this || session != null) return;
            SafeInvoke.One(manager => manager.AcquireLease(), this);
        }

        private void Update()
        {
            if (session != null) SafeInvoke.One(one => one.Pump(), session);
            RaiseIfStateChanged();
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
            if (session != null) SafeInvoke.One(one => one.ReleaseWithin(quitTimeoutSeconds), session);
            Close();
        }

        private void OnDestroy()
        {
            Close();
            if (ReferenceEquals(current, this)) current = null;
        }

        private void Open(string config, string request)
        {
            // Unity serializes null as "".
            session = new LicenseSession(config, string.IsNullOrEmpty(request) ? null : request);
            configJson = config;
            requestJson = request;
            session.EventReceived += received => SafeInvoke.All(EventReceived, received);
            session.Refused += Refuse;
        }

        private void Close()
        {
            ForgetRequest();
            session?.Dispose();
            session = null;
        }

        // A lease that was given back must not be acquired again because scripts have changed.
        private void ForgetRequest() => configJson = requestJson = null;

        private void RaiseIfStateChanged()
        {
            LeaseState before = lastState;
            lastState = State;
            if (lastState == before) return;
            // A script may have released the lease itself, or closed the client.
            if (lastState == LeaseState.Released) ForgetRequest();
            // TimeToSave comes first, because it must not be missed.
            if (lastState == LeaseState.Grace || lastState == LeaseState.Lost)
            {
                SafeInvoke.All(TimeToSave);
                SafeInvoke.One(handlers => handlers.Invoke(), onTimeToSave);
            }
            SafeInvoke.All(StateChanged, lastState);
            SafeInvoke.One(handlers => handlers.Invoke(lastState), onStateChanged);
        }

        private void Refuse(FloatLeaseException failure)
        {
            SafeInvoke.All(Refused, failure);
            SafeInvoke.One(handlers => handlers.Invoke(failure.Message + " " + failure.Advice), onRefused);
        }
    }
}
