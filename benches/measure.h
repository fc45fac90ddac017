/* What every measured C program has in common: its settings, its clocks, its one line of result. */

#ifndef FLOATLEASE_BENCH_MEASURE_H
#define FLOATLEASE_BENCH_MEASURE_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

static inline void fail(const char *what, const char *detail)
{
    fprintf(stderr, "%s: %s\n", what, detail ? detail : "");
    exit(1);
}

static inline const char *setting(const char *name)
{
    const char *value = getenv(name);
    if (value == NULL)
        fail("missing from the environment", name);
    return value;
}

static inline double wall_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1e6 + now.tv_nsec / 1e3;
}

/* Of this process, in user and in kernel mode. */
static inline double cpu_us(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 + usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
}

/* Runs `request` once to connect, then as often as the first argument says, and prints what one cost. */
static inline void measure(int argc, char **argv, void (*request)(void *), void *context)
{
    int requests = argc > 1 ? atoi(argv[1]) : 20000;
    if (requests < 1)
        fail("not a number of requests", argv[1]);
    request(context);
    double wall = wall_us(), cpu = cpu_us();
    for (int i = 0; i < requests; i++)
        request(context);
    wall = wall_us() - wall;
    cpu = cpu_us() - cpu;
    printf("{\"requests\":%d,\"wall_us\":%.3f,\"cpu_us\":%.3f}\n", requests, wall / requests, cpu / requests);
}

#endif
