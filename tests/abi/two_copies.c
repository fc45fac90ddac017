/*
 * Two copies of the library in one process, as two plug-ins bring them: a handle of one is invalid for the other, also
 * where both have opened the same number of clients. Run by tests/hosts.rs with the paths of two equal files.
 * FLOATLEASE_CONFIG names a server.
 */
#define _GNU_SOURCE
#include "expect.h"

#include <dlfcn.h>
#include <string.h>

struct copy {
    floatlease_status (*client_open)(const char *, floatlease_client **, char **);
    void (*client_close)(floatlease_client *);
    floatlease_status (*activate)(floatlease_client *, const char *, char **);
    floatlease_status (*check)(floatlease_client *, const char *, char **);
    floatlease_status (*acquire)(floatlease_client *, const char *, floatlease_lease **, char **);
    floatlease_status (*release)(floatlease_lease *, char **);
    floatlease_state (*state)(floatlease_lease *);
    void (*lease_free)(floatlease_lease *);
    void (*string_free)(char *);
    floatlease_client *client;
    floatlease_lease *lease;
};

static void find(void *library, const char *name, void *function)
{
    void *found = dlsym(library, name);

    HOLD(found != NULL);
    memcpy(function, &found, sizeof found);
}

static struct copy loaded(const char *path)
{
    struct copy copy;
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);

    if (!library)
        fprintf(stderr, "%s\n", dlerror());
    HOLD(library != NULL);
    find(library, "floatlease_client_open", &copy.client_open);
    find(library, "floatlease_client_close", &copy.client_close);
    find(library, "floatlease_activate_license", &copy.activate);
    find(library, "floatlease_check_license", &copy.check);
    find(library, "floatlease_lease_acquire", &copy.acquire);
    find(library, "floatlease_lease_release", &copy.release);
    find(library, "floatlease_lease_state", &copy.state);
    find(library, "floatlease_lease_free", &copy.lease_free);
    find(library, "floatlease_string_free", &copy.string_free);
    HOLD(copy.client_open(getenv("FLOATLEASE_CONFIG"), &copy.client, NULL) == FLOATLEASE_OK);
    HOLD(copy.activate(copy.client, NULL, NULL) == FLOATLEASE_OK);
    HOLD(copy.acquire(copy.client, NULL, &copy.lease, NULL) == FLOATLEASE_OK);
    return copy;
}

/* Neither uses nor ends what is of the other. */
static void expect_foreign(const struct copy *copy, const struct copy *other)
{
    floatlease_lease *lease = NULL;

    HOLD(other->client != copy->client && other->lease != copy->lease);
    HOLD(copy->check(other->client, NULL, NULL) == FLOATLEASE_E_HANDLE);
    HOLD(copy->acquire(other->client, NULL, &lease, NULL) == FLOATLEASE_E_HANDLE);
    HOLD(copy->release(other->lease, NULL) == FLOATLEASE_E_HANDLE);
    HOLD(copy->state(other->lease) == 0);
    copy->lease_free(other->lease);
    copy->client_close(other->client);
    HOLD(copy->state(copy->lease) == FLOATLEASE_STATE_ACTIVE);
    HOLD(copy->check(copy->client, NULL, NULL) == FLOATLEASE_OK);
}

int main(int argc, char **argv)
{
    struct copy copies[2];
    char *json = NULL;

    HOLD(argc == 3);
    for (int i = 0; i < 2; i++)
        copies[i] = loaded(argv[i + 1]);
    HOLD(copies[0].check != copies[1].check);
    expect_foreign(&copies[0], &copies[1]);
    expect_foreign(&copies[1], &copies[0]);
    /* A string is memory of the process, whichever copy frees it. */
    HOLD(copies[0].check(copies[0].client, NULL, &json) == FLOATLEASE_OK);
    copies[1].string_free(json);
    for (int i = 0; i < 2; i++) {
        HOLD(copies[i].release(copies[i].lease, NULL) == FLOATLEASE_OK);
        copies[i].lease_free(copies[i].lease);
        copies[i].client_close(copies[i].client);
    }
    printf("two_copies: %d checks hold\n", checks);
    return 0;
}
