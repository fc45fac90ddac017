// Press Play, and the License Manager holds a license of a server inside the editor. Then let things happen from this
// component's menu (the three dots in the Inspector), and watch what your game makes of them.
//
// Put it beside a License Manager whose "Acquire On Start" is off. The sandbox exists in the editor alone, so all of it
// stands under UNITY_EDITOR.
#if UNITY_EDITOR
using FloatLease;
using FloatLease.Unity;
using UnityEngine;

public sealed class PlayOnASandbox : MonoBehaviour
{
    private LicenseManager license;

    /// <summary>
    /// The license server of this component. Its slots last 120 minutes, and no other device uses it.
    /// </summary>
    public Sandbox Sandbox { get; private set; }

    private void Start()
    {
        Sandbox = Sandbox.Start();
        license = GetComponent<LicenseManager>();
        license.AcquireLease(Sandbox.ClientConfig("my-desk"));
    }

    // In the next frames: Degraded, the library tries again and again.
    [ContextMenu("The server goes away, and an hour and a half passes")]
    public void GoAway()
    {
        Sandbox.Control("POST /faults/profile", "{\"profile\":\"outage\"}");
        Sandbox.Advance("90m", license.Client);
    }

    // Half an hour later: Grace, then Lost.
    [ContextMenu("31 minutes pass")]
    public void PassHalfAnHour() => Sandbox.Advance("31m", license.Client);

    [ContextMenu("Five minutes pass")]
    public void PassFiveMinutes() => Sandbox.Advance("5m", license.Client);

    // Active again, within the minute that the library waits between two tries.
    [ContextMenu("The server is back, and a minute passes")]
    public void ComeBack()
    {
        Sandbox.ClearFaults();
        Sandbox.Advance("1m", license.Client);
    }

    private void OnDestroy() => Sandbox?.Dispose();
}
#endif
