/* Opening a client and insisting on success. The text is passed by its address: C may evaluate the arguments of
   insist in any order, the call that sets the text last. */

#ifndef FLOATLEASE_BENCH_FLOATLEASE_CLIENT_H
#define FLOATLEASE_BENCH_FLOATLEASE_CLIENT_H

#include "measure.h"

#include <floatlease.h>

static inline void insist(floatlease_status status, char **json)
{
    if (status != FLOATLEASE_OK)
        fail(floatlease_status_name(status), *json);
    floatlease_string_free(*json);
}

static inline floatlease_client *open_client(void)
{
    floatlease_client *client;
    char *json;
    insist(floatlease_client_open(setting("FLOATLEASE_CONFIG"), &client, &json), &json);
    return client;
}

#endif
