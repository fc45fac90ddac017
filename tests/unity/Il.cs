// What IL2CPP can't do, or does only with luck, must not be in an assembly that ships in a player:
//
//     Il.exe ASSEMBLY.dll
//
// prints a line for each native function whose parameters are not passed as they lie in memory, and for each use of
// reflection, of code made at run time, and of functions that are called from outside; then how much it has looked at.
using System;
using System.Collections.Generic;
using System.Reflection;
using System.Reflection.Emit;
using System.Runtime.InteropServices;

internal static class Il
{
    private const BindingFlags Any = BindingFlags.Instance | BindingFlags.Static | BindingFlags.Public
        | BindingFlags.NonPublic | BindingFlags.DeclaredOnly;

    // As they lie in memory: whole numbers (a bool is of one byte or four), addresses, and arrays of bytes, which are
    // pinned.
    private static readonly HashSet<Type> Plain = new HashSet<Type>
    {
        typeof(void), typeof(int), typeof(uint), typeof(long), typeof(ulong), typeof(IntPtr), typeof(byte[]),
    };

    private static readonly string[] Spaces =
    {
        "System.Reflection", "System.Linq.Expressions", "System.Dynamic", "Microsoft.CSharp",
        "System.Runtime.Serialization",
    };

    // Of a type, or one member of it. Type.GetType and the like find by a name what stripping may have removed.
    private static readonly HashSet<string> Names = new HashSet<string>
    {
        "System.Activator", "System.Type.GetType",
        "System.Type.GetMethod", "System.Type.GetField", "System.Type.GetProperty", "System.Type.GetMembers",
        "System.Type.MakeGenericType", "System.Type.InvokeMember", "System.Type.get_Assembly",
        "System.Delegate.CreateDelegate", "System.Delegate.DynamicInvoke", "System.Runtime.InteropServices.Marshal.GetFunctionPointerForDelegate",
        "System.Runtime.InteropServices.Marshal.GetDelegateForFunctionPointer",
        "System.Runtime.InteropServices.Marshal.PtrToStructure", "System.Runtime.InteropServices.Marshal.StructureToPtr",
        "System.Threading.Thread.Abort",
    };

    private static readonly Dictionary<short, OpCode> OpCodes = Known();

    private static int native;
    private static int methods;
    private static int members;

    private static int Main(string[] arguments)
    {
        Assembly assembly = Assembly.LoadFrom(arguments[0]);
        var found = new SortedSet<string>(StringComparer.Ordinal);
        foreach (Type type in assembly.GetTypes())
        {
            if (type.IsDefined(typeof(UnmanagedFunctionPointerAttribute), false))
            {
                found.Add(type.FullName + ": is called from outside");
            }
            foreach (MethodBase method in Methods(type))
            {
                methods++;
                string name = type.FullName + "." + method.Name;
                if ((method.Attributes & MethodAttributes.PinvokeImpl) != 0) Native((MethodInfo)method, name, found);
                else if (method.GetMethodBody() != null) Managed(method, name, found);
            }
        }
        foreach (string one in found) Console.WriteLine(one);
        Console.WriteLine("{0} native functions, {1} methods, {2} members that they use", native, methods, members);
        return found.Count == 0 ? 0 : 1;
    }

    private static IEnumerable<MethodBase> Methods(Type type)
    {
        foreach (MethodBase method in type.GetMethods(Any)) yield return method;
        foreach (MethodBase constructor in type.GetConstructors(Any)) yield return constructor;
    }

    private static void Native(MethodInfo method, string name, ISet<string> found)
    {
        native++;
        if (!IsPlain(method.ReturnType)) found.Add(name + ": gives " + method.ReturnType);
        foreach (ParameterInfo parameter in method.GetParameters())
        {
            Type type = parameter.ParameterType;
            bool isHandle = typeof(SafeHandle).IsAssignableFrom(type);
            if (!isHandle && !IsPlain(type.IsByRef ? type.GetElementType() : type)) found.Add(name + ": takes " + type);
        }
    }

    private static bool IsPlain(Type type) => Plain.Contains(type);

    // Every instruction that names a member or a type.
    private static void Managed(MethodBase method, string name, ISet<string> found)
    {
        byte[] code = method.GetMethodBody().GetILAsByteArray();
        for (int at = 0; at < code.Length;)
        {
            short number = code[at++];
            if (number == 0xfe) number = (short)(0xfe00 | code[at++]);
            OpCode instruction = OpCodes[number];
            switch (instruction.OperandType)
            {
                case OperandType.InlineMethod:
                case OperandType.InlineField:
                case OperandType.InlineType:
                case OperandType.InlineTok:
                    MemberInfo used = Resolved(method, BitConverter.ToInt32(code, at));
                    members++;
                    if (IsForbidden(used)) found.Add(name + ": uses " + (used.DeclaringType ?? used) + "." + used.Name);
                    break;
                case OperandType.InlineSig:
                    found.Add(name + ": calls an address");
                    break;
            }
            at += Size(instruction.OperandType, code, at);
        }
    }

    private static MemberInfo Resolved(MethodBase method, int token)
    {
        Type[] ofType = method.DeclaringType.IsGenericType ? method.DeclaringType.GetGenericArguments() : null;
        Type[] ofMethod = method.IsGenericMethod ? method.GetGenericArguments() : null;
        return method.Module.ResolveMember(token, ofType, ofMethod);
    }

    private static bool IsForbidden(MemberInfo used)
    {
        Type type = used as Type ?? used.DeclaringType;
        foreach (string space in Spaces)
        {
            string own = type.Namespace ?? "";
            if (own == space || own.StartsWith(space + ".", StringComparison.Ordinal)) return true;
        }
        return Names.Contains(type.FullName ?? "") || Names.Contains(type.FullName + "." + used.Name);
    }

    private static int Size(OperandType operand, byte[] code, int at)
    {
        switch (operand)
        {
            case OperandType.InlineNone: return 0;
            case OperandType.ShortInlineBrTarget:
            case OperandType.ShortInlineI:
            case OperandType.ShortInlineVar: return 1;
            case OperandType.InlineVar: return 2;
            case OperandType.InlineI8:
            case OperandType.InlineR: return 8;
            case OperandType.InlineSwitch: return 4 + 4 * BitConverter.ToInt32(code, at);
            default: return 4;
        }
    }

    private static Dictionary<short, OpCode> Known()
    {
        var known = new Dictionary<short, OpCode>();
        foreach (FieldInfo field in typeof(System.Reflection.Emit.OpCodes).GetFields())
        {
            var instruction = (OpCode)field.GetValue(null);
            known[instruction.Value] = instruction;
        }
        return known;
    }
}
