/* What a program holds beyond itself with one lease kept alive by its thread: the library is loaded by hand, so that the
   bare host is one without it. */

#include "measure.h"

#include <dlfcn.h>
#include <floatlease.h>
#include <unistd.h>

static void *library;

static double resident_mb(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    long pages;

    if (file == NULL || fscanf(file, "%*s %ld", &pages) != 1)
        fail("resident memory", NULL);
    fclose(file);
    return (double)pages * (double)sysconf(_SC_PAGESIZE) / 1e6;
}

/* Puts the function's address where it belongs, as POSIX has it: C knows no cast for it. */
static void find(const char *name, void *function)
{
    *(void **)function = dlsym(library, name);
    if (*(void **)function == NULL)
        fail("dlsym", name);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        fail("usage", "lease_memory LIBRARY");
    double bare = resident_mb();
    library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        fail("dlopen", dlerror());
    double loaded = resident_mb();
    floatlease_status (*open)(const char *, floatlease_client **, char **);
    floatlease_status (*activate)(floatlease_client *, const char *, char **);
    floatlease_status (*acquire)(floatlease_client *, const char *, floatlease_lease **, char **);
    floatlease_status (*renew)(floatlease_lease *, char **);
    find("floatlease_client_open", &open);
    find("floatlease_activate_license", &activate);
    find("floatlease_lease_acquire", &acquire);
    find("floatlease_lease_renew", &renew);
    floatlease_client *client;
    floatlease_lease *lease;
    if (open(setting("FLOATLEASE_CONFIG"), &client, NULL) || activate(client, NULL, NULL) ||
        acquire(client, NULL, &lease, NULL) || renew(lease, NULL))
        fail("the lease", NULL);
    printf("{\"library_mb\":%.2f,\"lease_mb\":%.2f}\n", loaded - bare, resident_mb() - bare);
}
