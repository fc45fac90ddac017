/* A sandbox and clients on it, for the programs that test the sandbox's library. */
#ifndef SANDBOX_H
#define SANDBOX_H

#include "expect.h"

#include <floatlease_sandbox.h>
#include <string.h>
#include <time.h>

struct sandbox {
    floatlease_sandbox *handle;
    char *json; /* what a client needs */
};

static inline struct sandbox started(void)
{
    struct sandbox sandbox = {NULL, NULL};

    EXPECT(floatlease_sandbox_start(NULL, &sandbox.handle, &sandbox.json), FLOATLEASE_OK);
    HOLD(sandbox.handle && sandbox.json);
    return sandbox;
}

static inline void stopped(struct sandbox sandbox)
{
    floatlease_sandbox_stop(sandbox.handle);
    floatlease_sandbox_string_free(sandbox.json);
}

/* The text of the member called `name` as it stands between its quotes, escapes and all. */
static inline int text_of(const char *json, const char *name, const char **text)
{
    char key[64];
    int length = 0;

    snprintf(key, sizeof key, "\"%s\":\"", name);
    *text = strstr(json, key);
    HOLD(*text != NULL);
    *text += strlen(key);
    while ((*text)[length] != '"')
        length += (*text)[length] == '\\' ? 2 : 1;
    return length;
}

/* A client of the machine `hardware_id` on that sandbox, configured with what the sandbox said, and with `more`, which is
   empty or members with a comma before each. */
static inline floatlease_client *client_with(struct sandbox sandbox, const char *hardware_id, const char *more)
{
    static const char *const members[] = {"base_url", "api_key", "shared_key", "public_key", "product", "license_key"};
    floatlease_client *client = NULL;
    char config[4096];
    int used = snprintf(config, sizeof config, "{\"hardware_id\":\"%s\"", hardware_id);

    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        const char *text;
        int length = text_of(sandbox.json, members[i], &text);

        used += snprintf(config + used, sizeof config - used, ",\"%s\":\"%.*s\"", members[i], length, text);
        HOLD(used + 2 < (int)sizeof config);
    }
    used += snprintf(config + used, sizeof config - used, "%s}", more);
    HOLD(used < (int)sizeof config);
    EXPECT(floatlease_client_open(config, &client, NULL), FLOATLEASE_OK);
    return client;
}

static inline floatlease_client *client_on(struct sandbox sandbox, const char *hardware_id)
{
    return client_with(sandbox, hardware_id, "");
}

static inline double seconds_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

#endif
