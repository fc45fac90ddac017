// What Il.cs must find, one of each kind.
using System;
using System.Linq.Expressions;
using System.Reflection;
using System.Runtime.InteropServices;

public static class Forbidden
{
    [DllImport("c")]
    private static extern int TakesAText(string text);

    [DllImport("c")]
    private static extern int TakesABool(ref bool flag);

    [DllImport("c")]
    private static extern string GivesAText();

    [DllImport("c")]
    private static extern void TakesAFunction(Callback function);

    [DllImport("c")]
    private static extern int TakesWhatItMay(byte[] text, out IntPtr json, out ulong ticket, uint number);

    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    private delegate void Callback();

    public static object Reflects(object what) => what.GetType().GetMethod("ToString");

    public static object Makes(Type type) => Activator.CreateInstance(type);

    public static object Compiles() => Expression.Lambda(Expression.Constant(1)).Compile();

    public static object Decides(dynamic what) => what.Name;

    public static string Locates() => Assembly.GetExecutingAssembly().Location;

    public static IntPtr Points(Action action) => Marshal.GetFunctionPointerForDelegate(action);

    public static class Generic<T>
    {
        public static object Makes() => Activator.CreateInstance<T>();
    }

    public static void Calls()
    {
        bool flag = TakesAText(GivesAText()) > 0;
        TakesABool(ref flag);
        TakesAFunction(Calls);
        TakesWhatItMay(null, out _, out _, 0);
    }
}
