// Checks that tell what was expected where, and count.
#ifndef EXPECT_HPP
#define EXPECT_HPP

#include <floatlease.hpp>

#include <cstdio>
#include <cstdlib>

inline int checks = 0;

inline void hold(const char *file, int line, const char *what, bool holds)
{
    ++checks;
    if (!holds) {
        std::fprintf(stderr, "%s:%d: not so: %s\n", file, line, what);
        std::exit(1);
    }
}

inline void expect(const char *file, int line, const char *what, const floatlease::Result &got,
                   floatlease_status wanted)
{
    if (got.status() != wanted)
        std::fprintf(stderr, "%s gave %s\n", what, got.json().data());
    hold(file, line, what, got.status() == wanted);
}

#define HOLD(...) hold(__FILE__, __LINE__, #__VA_ARGS__, static_cast<bool>(__VA_ARGS__))
#define EXPECT(call, wanted) expect(__FILE__, __LINE__, #call, (call), (wanted))

#endif
