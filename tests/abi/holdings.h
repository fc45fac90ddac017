/* What a process holds: memory, threads, files. */
#ifndef HOLDINGS_H
#define HOLDINGS_H

#include "expect.h"

#include <dirent.h>
#include <unistd.h>

struct holdings {
    long resident_kb, threads, files;
};

static inline long entries(const char *folder)
{
    DIR *entries = opendir(folder);
    long count = 0;

    HOLD(entries != NULL);
    while (readdir(entries))
        count++;
    closedir(entries);
    return count - 2;
}

static inline struct holdings held(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    long pages = 0;

    HOLD(file && fscanf(file, "%*s %ld", &pages) == 1);
    fclose(file);
    return (struct holdings){pages * (sysconf(_SC_PAGESIZE) / 1024), entries("/proc/self/task"),
                             entries("/proc/self/fd") - 1};
}

#endif
