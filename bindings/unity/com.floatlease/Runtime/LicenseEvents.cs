using System;
using UnityEngine;
using UnityEngine.Events;

namespace FloatLease.Unity
{
    /// <summary>An event of the Inspector that carries the new state of the lease.</summary>
    [Serializable]
    public sealed class LeaseStateEvent : UnityEvent<LeaseState>
    {
    }

    /// <summary>An event of the Inspector that carries a sentence to show to the player.</summary>
    [Serializable]
    public sealed class LicenseMessageEvent : UnityEvent<string>
    {
    }

    /// <summary>
    /// Calls handlers of the game. An exception of a handler is logged, and the next handler is called.
    /// </summary>
    internal static class SafeInvoke
    {
        internal static void All<T>(Action<T> handlers, T argument)
        {
            if (handlers == null) return;
            foreach (Delegate one in handlers.GetInvocationList()) One((Action<T>)one, argument);
        }

        internal static void All(Action handlers)
        {
            if (handlers == null) return;
            foreach (Delegate one in handlers.GetInvocationList()) One(each => each(), (Action)one);
        }

        internal static void One<T>(Action<T> handler, T argument)
        {
            try
            {
                handler(argument);
            }
            catch (Exception exception)
            {
                Debug.LogException(exception);
            }
        }
    }
}
