/* What a program pays at its start: dlopen of the library and floatlease_client_open, once, in a fresh process. */

#include "measure.h"

#include <dlfcn.h>
#include <floatlease.h>

typedef floatlease_status open_function(const char *, floatlease_client **, char **);

int main(int argc, char **argv)
{
    if (argc != 2)
        fail("usage", "floatlease_open LIBRARY");
    const char *config = setting("FLOATLEASE_CONFIG");
    double start = wall_us();
    void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        fail("dlopen", dlerror());
    double loaded = wall_us();
    open_function *client_open;
    *(void **)&client_open = dlsym(library, "floatlease_client_open"); /* as POSIX has it: C knows no such cast */
    floatlease_client *client;
    char *json;
    if (client_open == NULL || client_open(config, &client, &json) != FLOATLEASE_OK)
        fail("floatlease_client_open", client_open ? json : NULL);
    double opened = wall_us();
    printf("{\"dlopen_us\":%.1f,\"client_open_us\":%.1f}\n", loaded - start, opened - loaded);
}
