/* What the programs have in common that play an unusual host: clients by the name of a variable that has their config. */
#ifndef HOST_H
#define HOST_H

#include "expect.h"

#include <string.h>

static inline floatlease_client *client_of(const char *variable)
{
    floatlease_client *client = NULL;

    HOLD(getenv(variable) != NULL);
    EXPECT(floatlease_client_open(getenv(variable), &client, NULL), FLOATLEASE_OK);
    return client;
}

static inline floatlease_client *activated_of(const char *variable)
{
    floatlease_client *client = client_of(variable);

    EXPECT(floatlease_activate_license(client, NULL, NULL), FLOATLEASE_OK);
    return client;
}

static inline floatlease_lease *leased_of(floatlease_client *client, const char *request)
{
    floatlease_lease *lease = NULL;

    EXPECT(floatlease_lease_acquire(client, request, &lease, NULL), FLOATLEASE_OK);
    return lease;
}

/* Whether the text, which is freed, has all of this. */
static inline int freed_text_has(char *json, const char *first, const char *second)
{
    int has = json && strstr(json, first) && strstr(json, second);

    if (!has)
        fprintf(stderr, "%s and %s are not both in %s\n", first, second, json ? json : "no text");
    floatlease_string_free(json);
    return has;
}

#endif
