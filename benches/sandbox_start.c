/* What a test pays for a sandbox in its own process: the first start, a stop, another start, and a hundred worlds. */

#include "measure.h"

#include <floatlease_sandbox.h>
#include <unistd.h>

#define WORLDS 100

static double resident_mb(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    long pages;

    if (file == NULL || fscanf(file, "%*s %ld", &pages) != 1)
        fail("resident memory", NULL);
    fclose(file);
    return (double)pages * (double)sysconf(_SC_PAGESIZE) / 1e6;
}

static floatlease_sandbox *started(void)
{
    floatlease_sandbox *sandbox;
    char *json;

    if (floatlease_sandbox_start(NULL, &sandbox, &json) != FLOATLEASE_OK)
        fail("floatlease_sandbox_start", json);
    floatlease_sandbox_string_free(json);
    return sandbox;
}

int main(void)
{
    double host_mb = resident_mb(), begin = wall_us();
    floatlease_sandbox *sandbox = started();
    double first = wall_us();
    floatlease_sandbox_stop(sandbox);
    double stopped = wall_us();
    sandbox = started();
    double again = wall_us(), one_mb = resident_mb();
    for (int i = 0; i < WORLDS; i++) {
        char *json;
        if (floatlease_sandbox_control(sandbox, "POST /worlds", NULL, &json) != FLOATLEASE_OK)
            fail("POST /worlds", json);
        floatlease_sandbox_string_free(json);
    }
    double worlds = wall_us(), worlds_mb = resident_mb();
    floatlease_sandbox_stop(sandbox);
    printf("{\"first_start_us\":%.0f,\"stop_us\":%.0f,\"start_us\":%.0f,\"resident_mb\":%.2f,\"world_us\":%.0f,"
           "\"world_mb\":%.3f}\n",
           first - begin, stopped - first, again - stopped, one_mb - host_mb, (worlds - again) / WORLDS,
           (worlds_mb - one_mb) / WORLDS);
}
