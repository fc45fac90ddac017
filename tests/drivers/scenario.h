/*
 * A scenario that is being performed, and whether what came is what ../scenarios/README.md says that it expects. The
 * functions of the library are not here: each driver, in C and in C++, defines these for itself. Clients, leases and
 * tickets have numbers there.
 */
#ifndef SCENARIO_H
#define SCENARIO_H

#include <cjson/cJSON.h>
#include <floatlease_sandbox.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A status, and its JSON text by strdup, or NULL. */
struct answer {
    floatlease_status status;
    char *json;
};

static struct answer sandbox_start(const char *options);
static struct answer sandbox_control(const char *call, const char *request);
static void sandbox_stop(void);
static struct answer client_open(int client, const char *config);
static void client_close(int client);
static struct answer client_call(int client, const char *operation, const char *request);
static struct answer client_advance(int client, uint32_t by_ms);
static struct answer client_submit(int client, int ticket, const char *operation, const char *request);
static struct answer client_cancel(int client, int ticket);
static struct answer client_next_event(int client, uint32_t wait_ms);
static struct answer lease_acquire(int lease, int client, const char *request);
static struct answer lease_accept(int lease, int client, int ticket);
static struct answer lease_info(int lease);
static struct answer lease_renew(int lease);
static struct answer lease_borrow(int lease, const char *request);
static struct answer lease_release(int lease);
static floatlease_state lease_state(int lease);
static void lease_free(int lease);
static uint64_t ticket_number(int ticket);

enum { MOST = 16 }; /* clients, or leases, or tickets */

/* Names of clients, of leases or of tickets. */
struct names {
    const char *name[MOST];
    int count;
};

struct scenario {
    const char *file;
    char storage[32]; /* what $storage stands for */
    const cJSON *step;
    int number; /* of the step, the first is 1 */
    struct names clients, leases, tickets;
    bool is_open[MOST];  /* by client */
    cJSON *events[MOST]; /* by client: what was read and not asked for yet */
    int client_of_ticket[MOST];
};

/* What is told when a step differs; always false. */
static inline bool differs(const struct scenario *scenario, const char *expected, const char *got)
{
    char *step = cJSON_PrintUnformatted(scenario->step);

    printf("%s: step %d (%s): expected %s got %s\n", scenario->file, scenario->number, step, expected, got);
    free(step);
    return false;
}

/* The step's text member, "" if there is none. */
static inline const char *said(const struct scenario *scenario, const char *name)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(scenario->step, name));

    return text ? text : "";
}

/* The number of a name, a new one if need be; a scenario with more than there is room for is a mistake. */
static inline int number_of(struct names *names, const char *name)
{
    int number = 0;

    while (number < names->count && strcmp(names->name[number], name))
        number++;
    if (number == MOST) {
        fprintf(stderr, "more than %d of them: %s\n", MOST, name);
        exit(2);
    }
    names->name[number] = name;
    names->count += number == names->count;
    return number;
}

/* The number of the client, the lease or the ticket that the step names. */
static inline int the(const struct scenario *scenario, struct names *names, const char *member)
{
    return number_of(names, said(scenario, member));
}

/* True if `got`, NULL if there is none, is what was expected. */
static inline bool fits(const cJSON *expected, const cJSON *got)
{
    const cJSON *child = expected->child;
    const char *word = cJSON_IsObject(expected) && child ? child->string : "";

    if (cJSON_IsNull(expected) || !strcmp(word, "$any"))
        return (!got || cJSON_IsNull(got)) == (bool)cJSON_IsNull(expected);
    if (!got)
        return false;
    if (!strcmp(word, "$at_least"))
        return cJSON_IsNumber(got) && got->valuedouble >= child->valuedouble;
    if (!strcmp(word, "$at_most"))
        return cJSON_IsNumber(got) && got->valuedouble <= child->valuedouble;
    if (!strcmp(word, "$holds"))
        return cJSON_IsString(got) && strstr(got->valuestring, child->valuestring);
    if (cJSON_IsObject(expected) && cJSON_IsObject(got)) {
        while (child && fits(child, cJSON_GetObjectItemCaseSensitive(got, child->string)))
            child = child->next;
        return !child;
    }
    if (cJSON_IsArray(expected) && cJSON_IsArray(got)) {
        const cJSON *item = got->child;

        for (; child && item && fits(child, item); child = child->next)
            item = item->next;
        return !child && !item;
    }
    return cJSON_Compare(expected, got, true);
}

/* Holds what came against the step's "status" and "json". `json` may be NULL. */
static inline bool is_expected(const struct scenario *scenario, floatlease_status status, const cJSON *json)
{
    const cJSON *expected = cJSON_GetObjectItemCaseSensitive(scenario->step, "json");
    const char *wanted = *said(scenario, "status") ? said(scenario, "status") : "OK";
    bool same_status = !strcmp(wanted, floatlease_status_name(status));
    bool same_json = !expected || fits(expected, json);

    if (same_status && same_json)
        return true;
    char *wanted_json = expected ? cJSON_PrintUnformatted(expected) : strdup("");
    char *got_json = json ? cJSON_PrintUnformatted(json) : strdup("");
    size_t room = strlen(wanted_json) + strlen(got_json) + 100;
    char *told_wanted = (char *)malloc(room), *told_got = (char *)malloc(room);

    snprintf(told_wanted, room, "%s %s", wanted, wanted_json);
    snprintf(told_got, room, "%s %s", floatlease_status_name(status), got_json);
    differs(scenario, told_wanted, told_got);
    free(told_got);
    free(told_wanted);
    free(got_json);
    free(wanted_json);
    return false;
}

static inline bool is_expected_answer(const struct scenario *scenario, struct answer answer)
{
    cJSON *json = answer.json ? cJSON_Parse(answer.json) : NULL;
    bool as_expected = is_expected(scenario, answer.status, json);

    cJSON_Delete(json);
    free(answer.json);
    return as_expected;
}

/* The same for what is done on the way to a step, and must go well. */
static inline bool is_well(const struct scenario *scenario, const char *what, struct answer answer)
{
    bool well = answer.status == FLOATLEASE_OK;

    if (!well)
        differs(scenario, what, answer.json && *answer.json ? answer.json : floatlease_status_name(answer.status));
    free(answer.json);
    return well;
}

/* The step's request as a text; with its own default. */
static inline char *request_of(const struct scenario *scenario)
{
    const cJSON *request = cJSON_GetObjectItemCaseSensitive(scenario->step, "request");

    return request ? cJSON_PrintUnformatted(request) : strdup("{}");
}

#endif
