/*
 * A host that loads the library itself: it may unload it as long as it has not used it, and later that does nothing, for
 * threads of the library's may still run. Run by scripts/windows/test.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <windows.h>

#define HOLD(condition)                                                       \
    do {                                                                      \
        if (!(condition)) {                                                   \
            fprintf(stderr, "%s:%d: not so: " #condition "\n", __FILE__, __LINE__); \
            exit(1);                                                          \
        }                                                                     \
    } while (0)

typedef int32_t open_function(const char *, void **, char **);

static void use_and_unload(const wchar_t *name, const char *function)
{
    HMODULE library = LoadLibraryW(name);

    HOLD(library && FreeLibrary(library) && !GetModuleHandleW(name));
    library = LoadLibraryW(name);
    HOLD(library);
    open_function *open = (open_function *)(void (*)(void))GetProcAddress(library, function);
    HOLD(open && open("no JSON", NULL, NULL) > 0);
    HOLD(FreeLibrary(library) && FreeLibrary(library));
    HOLD(GetModuleHandleW(name) == library && open("no JSON", NULL, NULL) > 0);
}

int main(void)
{
    use_and_unload(L"floatlease.dll", "floatlease_client_open");
    use_and_unload(L"floatlease_sandbox.dll", "floatlease_sandbox_start");
    printf("Both libraries stay loaded once they were used.\n");
    return 0;
}
