/* Checks that tell what was expected where, and count. */
#ifndef EXPECT_H
#define EXPECT_H

#include <floatlease.h>

#include <stdio.h>
#include <stdlib.h>

static _Atomic int checks;

static inline void expect(const char *file, int line, const char *what, floatlease_status got, floatlease_status wanted)
{
    checks++;
    if (got != wanted) {
        fprintf(stderr, "%s:%d: %s gave %s, not %s\n", file, line, what, floatlease_status_name(got),
                floatlease_status_name(wanted));
        exit(1);
    }
}

static inline void hold(const char *file, int line, const char *what, int holds)
{
    checks++;
    if (!holds) {
        fprintf(stderr, "%s:%d: not so: %s\n", file, line, what);
        exit(1);
    }
}

#define EXPECT(call, wanted) expect(__FILE__, __LINE__, #call, (call), (wanted))
#define HOLD(condition) hold(__FILE__, __LINE__, #condition, (condition))

#endif
