// Unity's part of the play: it gives objects their components and calls Awake, Start, Update and the rest, by name and in
// the order that Unity's manual has.
using System;
using System.Collections.Generic;
using System.Reflection;

namespace UnityEngine
{
    public static class Stage
    {
        private const BindingFlags Any =
            BindingFlags.Instance | BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic;

        private static readonly List<MonoBehaviour> Playing = new List<MonoBehaviour>();
        private static readonly HashSet<MonoBehaviour> Started = new HashSet<MonoBehaviour>(new SameObject());
        private static readonly List<Object> Doomed = new List<Object>();

        public static readonly List<Object> Kept = new List<Object>();

        /// <summary>What has this attribute, anywhere in the assembly, is called.</summary>
        public static void Initialize(Assembly assembly, Type attribute)
        {
            foreach (Type type in assembly.GetTypes())
            {
                foreach (MethodInfo method in type.GetMethods(Any | BindingFlags.DeclaredOnly))
                {
                    if (method.IsDefined(attribute, false)) method.Invoke(null, null);
                }
            }
        }

        public static GameObject Object(params Type[] components)
        {
            var made = new GameObject();
            foreach (Type type in components)
            {
                var component = (MonoBehaviour)Activator.CreateInstance(type);
                component.gameObject = made;
                made.Components.Add(component);
            }
            return made;
        }

        public static Component ComponentOf(GameObject made, int number) => made.Components[number];

        /// <summary>It comes onto the stage.</summary>
        public static void Enter(GameObject made)
        {
            foreach (MonoBehaviour component in Behaviours(made))
            {
                Playing.Add(component);
                Call(component, "Awake");
                Call(component, "OnEnable");
            }
        }

        public static void Frame()
        {
            foreach (MonoBehaviour one in Playing.ToArray()) if (!one.IsDestroyed && Started.Add(one)) Call(one, "Start");
            foreach (MonoBehaviour one in Playing.ToArray()) if (!one.IsDestroyed) Call(one, "Update");
            foreach (MonoBehaviour one in Playing.ToArray()) if (!one.IsDestroyed) Call(one, "OnGUI");
            foreach (Object one in Doomed.ToArray()) End(one);
            Doomed.Clear();
        }

        public static void Message(string name, params object[] arguments)
        {
            foreach (MonoBehaviour one in Playing.ToArray()) Call(one, name, arguments);
        }

        /// <summary>At the end of the frame, as in Unity.</summary>
        public static void Destroy(Object what) => Doomed.Add(what);

        public static void Quit()
        {
            Message("OnApplicationQuit");
            foreach (MonoBehaviour one in Playing.ToArray()) End(one.gameObject);
        }

        /// <summary>
        /// Scripts have changed in Play mode. Fields survive if Unity can write them down, null texts as empty ones.
        /// </summary>
        public static void Reload()
        {
            Message("OnDisable");
            foreach (MonoBehaviour one in Playing)
            {
                foreach (FieldInfo field in one.GetType().GetFields(Any))
                {
                    if (field.IsStatic) field.SetValue(null, null);
                    else if (field.FieldType == typeof(string)) field.SetValue(one, field.GetValue(one) ?? "");
                    else if (IsForgotten(field)) field.SetValue(one, null);
                }
            }
            Message("OnEnable");
        }

        private static bool IsForgotten(FieldInfo field) =>
            field.IsNotSerialized || typeof(Delegate).IsAssignableFrom(field.FieldType);

        private static void End(Object what)
        {
            var made = what as GameObject;
            if (ReferenceEquals(made, null) || made.IsDestroyed) return;
            foreach (MonoBehaviour component in Behaviours(made))
            {
                Call(component, "OnDisable");
                Call(component, "OnDestroy");
                component.IsDestroyed = true;
                Playing.RemoveAll(one => ReferenceEquals(one, component));
            }
            made.IsDestroyed = true;
        }

        private static List<MonoBehaviour> Behaviours(GameObject made)
        {
            var all = new List<MonoBehaviour>();
            foreach (Component one in made.Components) all.Add((MonoBehaviour)one);
            return all;
        }

        private static void Call(MonoBehaviour component, string name, params object[] arguments)
        {
            MethodInfo method = component.GetType().GetMethod(name, Any);
            try
            {
                method?.Invoke(component, arguments);
            }
            catch (TargetInvocationException thrown)
            {
                Debug.LogException(thrown.InnerException);
            }
        }

        private sealed class SameObject : IEqualityComparer<MonoBehaviour>
        {
            public bool Equals(MonoBehaviour a, MonoBehaviour b) => ReferenceEquals(a, b);

            public int GetHashCode(MonoBehaviour one) => System.Runtime.CompilerServices.RuntimeHelpers.GetHashCode(one);
        }
    }
}
