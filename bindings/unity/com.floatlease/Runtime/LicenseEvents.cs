using System;
using UnityEngine;
using UnityEngine.Events;

namespace FloatLease.Unity
{
    /// <summary>For the Inspector: the lease stands otherwise than in the last frame.</summary>
    [Serializable]
    public sealed class LeaseStateEvent : UnityEvent<LeaseState>
    {
    }

    /// <summary>For the Inspector: a sentence for the player.</summary>
    [Serializable]
    public sealed class LicenseMessageEvent : UnityEvent<string>
    {
    }

    /// <summary>Tells everybody, though one of them throws.</summary>
    internal static class Everybody
    {
        internal static void Hears<T>(Action<T> handlers, T what)
        {
            if (handlers == null) return;
            foreach (Delegate one in handlers.GetInvocationList()) Try((Action<T>)one, what);
        }

        internal static void Hears(Action handlers)
        {
            if (handlers == null) return;
            foreach (Delegate one in handlers.GetInvocationList()) Try(each => each(), (Action)one);
        }

        internal static void Try<T>(Action<T> handler, T what)
        {
            try
            {
                handler(what);
            }
            catch (Exception exception)
            {
                Debug.LogException(exception);
            }
        }
    }
}
