using UnityEngine;

namespace FloatLease.Unity
{
    /// <summary>
    /// The native library stays loaded as long as the editor runs, while scripts come and go. So nothing of ours may
    /// outlive the scripts that opened it.
    /// </summary>
    internal static class DomainReload
    {
        // With "Enter Play Mode Options" statics survive from one play to the next.
        [RuntimeInitializeOnLoadMethod(RuntimeInitializeLoadType.SubsystemRegistration)]
        private static void BeginPlay() => LicenseManager.ForgetPlay();

#if UNITY_EDITOR
        // Sooner than AppDomain.DomainUnload, which closes them too but which not every editor raises.
        [UnityEditor.InitializeOnLoadMethod]
        private static void BeginDomain()
        {
            UnityEditor.AssemblyReloadEvents.beforeAssemblyReload += OpenClients.CloseAll;
        }
#endif
    }
}
