/*
 * What the tests of the larger examples share: a sandbox, the time, and colleagues. Time passes for the server and for
 * the client's leases alike; the library's thread does what is due in the background, so it is waited for.
 */
#ifndef SCENE_H
#define SCENE_H

#include <floatlease_sandbox.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static inline void hold(bool so, const char *file, int line, const char *condition)
{
    if (!so) {
        fprintf(stderr, "%s:%d: not so: %s\n", file, line, condition);
        exit(1);
    }
}

static inline void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

#define HOLD(condition) hold(condition, __FILE__, __LINE__, #condition)

/* Waits for what comes of itself: not long, but longer than any machine should need. */
#define SOON(condition)                                          \
    for (int naps = 0; !(condition); nap())                      \
        hold(++naps < 20000, __FILE__, __LINE__, "soon " #condition)

struct scene {
    floatlease_sandbox *sandbox;
    floatlease_client *client; /* of the program under test, on the machine my-desk */
};

/* A call of the control interface that must succeed. The reply is in `reply` until the next one. */
static char reply[65536];

static inline const char *control(struct scene *scene, const char *call, const char *request)
{
    char *json = NULL;
    floatlease_status status = floatlease_sandbox_control(scene->sandbox, call, request, &json);

    snprintf(reply, sizeof reply, "%s", json ? json : "");
    floatlease_sandbox_string_free(json);
    if (status != FLOATLEASE_OK) {
        fprintf(stderr, "%s %s: %s\n", call, request ? request : "", reply);
        exit(1);
    }
    return reply;
}

/* A sandbox whose clock stands still, and the config of a client on my-desk. */
static inline const char *begin_scene(struct scene *scene)
{
    HOLD(floatlease_sandbox_start("{\"rate\":0}", &scene->sandbox, NULL) == FLOATLEASE_OK);
    return control(scene, "GET /client_config", "{\"hardware_id\":\"my-desk\"}");
}

/* Nothing impossible has happened, and the program leaves no slot behind, nor do its earlier starts. */
static inline void end_scene(struct scene *scene)
{
    SOON(!strstr(control(scene, "GET /invariants", NULL), "\"hardware_id\":\"my-desk\""));
    HOLD(strstr(reply, "\"ok\":true"));
    floatlease_client_close(scene->client);
    floatlease_sandbox_stop(scene->sandbox);
}

/* Time passes at once, as it does while the machine sleeps. */
static inline void pass(struct scene *scene, uint32_t minutes)
{
    char request[32];

    snprintf(request, sizeof request, "{\"by\":\"%um\"}", (unsigned)minutes);
    control(scene, "POST /clock/advance", request);
    HOLD(floatlease_client_advance_clock(scene->client, minutes * 60000) == FLOATLEASE_OK);
}

/* Waits until no renewal is due: the one that was has been answered, or has failed. */
static inline bool is_settled(floatlease_lease *lease)
{
    char *info = NULL;

    HOLD(floatlease_lease_info(lease, &info) == FLOATLEASE_OK);
    bool settled = !strstr(info, "\"renews_in_ms\":0,");

    floatlease_string_free(info);
    return settled;
}

/* Nothing gets through from my-desk; colleagues notice nothing. */
static inline void outage(struct scene *scene)
{
    control(scene, "POST /faults/profile", "{\"profile\":\"outage\",\"match\":{\"hardware_id\":\"my-desk\"}}");
}

/* Two colleagues take the two slots. */
static inline void colleagues_come(struct scene *scene)
{
    static const char *const desks[] = {"{\"hardware_id\":\"office-1\"}", "{\"hardware_id\":\"office-2\"}"};

    for (int i = 0; i < 2; i++) {
        HOLD(floatlease_activate_license(scene->client, desks[i], NULL) == FLOATLEASE_OK);
        HOLD(floatlease_check_license(scene->client, desks[i], NULL) == FLOATLEASE_OK);
    }
}

static inline int slots_of_my_desk(struct scene *scene)
{
    int count = 0;

    for (const char *at = control(scene, "GET /slots", NULL); (at = strstr(at, "\"my-desk\"")); at++)
        count++;
    return count;
}

/* Returns whether the file has this content; NULL asks for no file at all. */
static inline bool says(const char *path, const char *document)
{
    char text[256] = "";
    FILE *file = fopen(path, "rb");

    if (!file)
        return !document;
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    return document && !strcmp(text, document);
}

#endif
