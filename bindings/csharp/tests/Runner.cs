using System;
using System.Collections.Generic;
using System.Reflection;
using System.Threading;

namespace FloatLease.Tests
{
    // Runs every public static method of the classes below, or the one of AloneTests that is named.
    internal static class Runner
    {
        private static readonly Type[] Classes =
        {
            typeof(JsonTests), typeof(RequestTests), typeof(ErrorTests), typeof(VerbTests),
            typeof(OperationTests), typeof(AsyncTests), typeof(ParallelTests), typeof(ReleaseAllTests),
            typeof(EventTests), typeof(LifetimeTests), typeof(SandboxTests), typeof(HostedServiceTests),
        };

        private static int Main(string[] arguments)
        {
            if (arguments.Length == 2 && arguments[0] == "--child") return Children.Run(arguments[1]);
            int failed = 0;
            foreach (MethodInfo test in Tests(arguments))
            {
                using (new Timer(GiveUp, test.Name, TimeSpan.FromMinutes(4), Timeout.InfiniteTimeSpan))
                try
                {
                    test.Invoke(null, null);
                    Console.WriteLine("ok " + test.Name);
                }
                catch (TargetInvocationException exception)
                {
                    failed++;
                    Console.WriteLine("FAILED " + test.DeclaringType.Name + "." + test.Name + ": " + exception.InnerException);
                }
            }
            Console.WriteLine(failed == 0 ? "every test holds" : failed + " failed");
            return failed == 0 ? 0 : 1;
        }

        private static void GiveUp(object test)
        {
            Console.WriteLine("FAILED " + test + ": it does not end");
            Environment.Exit(3);
        }

        private static IEnumerable<MethodInfo> Tests(string[] named)
        {
            if (named.Length > 0)
            {
                foreach (string name in named) yield return typeof(AloneTests).GetMethod(name);
                yield break;
            }
            foreach (Type type in Classes)
            {
                foreach (MethodInfo test in type.GetMethods(BindingFlags.Public | BindingFlags.Static)) yield return test;
            }
        }
    }
}
