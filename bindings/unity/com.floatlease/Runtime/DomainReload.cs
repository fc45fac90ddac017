using UnityEngine;

namespace FloatLease.Unity
{
    /// <summary>
    /// Closes all clients before Unity's editor unloads the scripts that opened them. The native library stays loaded
    /// as long as the editor runs, so clients and their threads would stay behind.
    /// </summary>
    internal static class DomainReload
    {
        // With "Enter Play Mode Options" static fields survive from one play to the next.
        [RuntimeInitializeOnLoadMethod(RuntimeInitializeLoadType.SubsystemRegistration)]
        private static void BeginPlay() => LicenseManager.ResetStatics();

#if UNITY_EDITOR
        // AppDomain.DomainUnload closes them too, but it comes later, and not every editor raises it.
        [UnityEditor.InitializeOnLoadMethod]
        private static void BeginDomain()
        {
            UnityEditor.AssemblyReloadEvents.beforeAssemblyReload += OpenClients.CloseAll;
        }
#endif
    }
}
