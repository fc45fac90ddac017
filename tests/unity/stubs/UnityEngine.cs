// As much of UnityEngine as the packages and their samples use, for a compiler without Unity. What it does by itself is
// what tests/unity/Stage.cs makes it do.
using System;
using System.Collections.Generic;

namespace UnityEngine
{
    public class Object
    {
        internal bool IsDestroyed;

        // A destroyed object is equal to null, as in Unity.
        public static bool operator ==(Object a, Object b) =>
            ReferenceEquals(a, b) || IsGone(a) && IsGone(b);

        public static bool operator !=(Object a, Object b) => !(a == b);

        public override bool Equals(object other) => this == (other as Object);

        public override int GetHashCode() => 0;

        public static void Destroy(Object what) => Stage.Destroy(what);

        public static void DontDestroyOnLoad(Object what) => Stage.Kept.Add(what);

        private static bool IsGone(Object what) => ReferenceEquals(what, null) || what.IsDestroyed;
    }

    public class GameObject : Object
    {
        internal readonly List<Component> Components = new List<Component>();
    }

    public class Component : Object
    {
        public GameObject gameObject { get; internal set; }

        public T GetComponent<T>() where T : Component
        {
            foreach (Component one in gameObject.Components)
            {
                var found = one as T;
                if (!ReferenceEquals(found, null)) return found;
            }
            return null;
        }
    }

    public class MonoBehaviour : Component
    {
    }

    public static class Debug
    {
        public static readonly List<string> Logged = new List<string>();

        public static void LogException(Exception exception) => Logged.Add(exception.ToString());
    }

    public static class Application
    {
        public static string persistentDataPath { get; set; } = "";

        public static string productName => "A game";

        public static string version => "1.2";
    }

    public static class Screen
    {
        public static int width => 640;
    }

    public struct Rect
    {
        public Rect(float x, float y, float width, float height)
        {
        }
    }

    public static class GUI
    {
        public static string Shown = "";
        public static string Pressed = "";

        public static void Box(Rect position, string text) => Shown = text;

        public static bool Button(Rect position, string text) => Pressed == text;
    }

    public enum RuntimeInitializeLoadType
    {
        AfterSceneLoad = 0,
        SubsystemRegistration = 4,
    }

    [AttributeUsage(AttributeTargets.Method)]
    public sealed class RuntimeInitializeOnLoadMethodAttribute : Attribute
    {
        public RuntimeInitializeOnLoadMethodAttribute(RuntimeInitializeLoadType loadType)
        {
            this.loadType = loadType;
        }

        public RuntimeInitializeLoadType loadType { get; }
    }

    [AttributeUsage(AttributeTargets.Class)]
    public sealed class AddComponentMenu : Attribute
    {
        public AddComponentMenu(string menuName)
        {
        }
    }

    [AttributeUsage(AttributeTargets.Class)]
    public sealed class DisallowMultipleComponent : Attribute
    {
    }

    [AttributeUsage(AttributeTargets.Field)]
    public sealed class TooltipAttribute : Attribute
    {
        public TooltipAttribute(string tooltip)
        {
        }
    }

    [AttributeUsage(AttributeTargets.Field)]
    public sealed class TextAreaAttribute : Attribute
    {
    }

    [AttributeUsage(AttributeTargets.Field)]
    public sealed class MinAttribute : Attribute
    {
        public MinAttribute(float min)
        {
        }
    }

    [AttributeUsage(AttributeTargets.Field)]
    public sealed class RangeAttribute : Attribute
    {
        public RangeAttribute(float min, float max)
        {
        }
    }

    [AttributeUsage(AttributeTargets.Method)]
    public sealed class ContextMenu : Attribute
    {
        public ContextMenu(string itemName)
        {
        }
    }
}

namespace UnityEngine.Events
{
    public delegate void UnityAction();

    public delegate void UnityAction<T>(T what);

    public class UnityEvent
    {
        private UnityAction all;

        public void AddListener(UnityAction call) => all += call;

        public void Invoke() => all?.Invoke();
    }

    public abstract class UnityEvent<T>
    {
        private UnityAction<T> all;

        public void AddListener(UnityAction<T> call) => all += call;

        public void Invoke(T what) => all?.Invoke(what);
    }
}
