/*
 * A stand-in for the one function of Windows' bcryptprimitives.dll that Rust's standard library needs: Wine 8 does not have
 * it. For scripts/windows/test alone.
 */
#include <windows.h>

/* advapi32's RtlGenRandom, by the name that it is exported under. */
BOOLEAN NTAPI SystemFunction036(PVOID bytes, ULONG count);

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE bytes, SIZE_T count)
{
    return SystemFunction036(bytes, (ULONG)count);
}
