/* The steps of ../scenarios/README.md, for the drivers in C and in C++. */
#ifndef STEPS_H
#define STEPS_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* nftw */
#endif

#include "scenario.h"

#include <ftw.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE_MS = 20000 };

static const char *const states[] = {"NONE", "ACTIVE", "DEGRADED", "GRACE", "BORROWED", "LOST", "RELEASED"};

static inline int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Puts the scenario's folder where $storage stands in a text, and in all that are nested. */
static inline void put_storage(const struct scenario *scenario, cJSON *value)
{
    const char *place = cJSON_IsString(value) ? strstr(value->valuestring, "$storage") : NULL;

    if (place) {
        char text[512];

        snprintf(text, sizeof text, "%.*s%s%s", (int)(place - value->valuestring), value->valuestring,
                 scenario->storage, place + strlen("$storage"));
        cJSON_SetValuestring(value, text);
    }
    for (cJSON *child = cJSON_IsString(value) ? NULL : value->child; child; child = child->next)
        put_storage(scenario, child);
}

static inline bool step_open(struct scenario *scenario)
{
    int client = the(scenario, &scenario->clients, "open");
    struct answer answer = sandbox_control("GET /client_config", NULL);
    cJSON *config = answer.json ? cJSON_Parse(answer.json) : NULL;
    const cJSON *over = cJSON_GetObjectItemCaseSensitive(scenario->step, "config");

    for (const cJSON *member = over ? over->child : NULL; config && member; member = member->next) {
        cJSON_DeleteItemFromObjectCaseSensitive(config, member->string);
        if (!cJSON_IsNull(member))
            cJSON_AddItemToObject(config, member->string, cJSON_Duplicate(member, true));
    }
    if (!is_well(scenario, "a client_config", answer))
        return false;
    put_storage(scenario, config);
    char *text = cJSON_PrintUnformatted(config);

    cJSON_Delete(config);
    answer = client_open(client, text);
    free(text);
    scenario->is_open[client] = answer.status == FLOATLEASE_OK;
    return is_expected_answer(scenario, answer);
}

static inline bool step_close(struct scenario *scenario)
{
    int client = the(scenario, &scenario->clients, "close");

    client_close(client);
    scenario->is_open[client] = false;
    return true;
}

static inline bool step_call(struct scenario *scenario)
{
    char *request = request_of(scenario);
    struct answer answer =
        client_call(the(scenario, &scenario->clients, "client"), said(scenario, "call"), request);

    free(request);
    return is_expected_answer(scenario, answer);
}

static inline bool step_acquire(struct scenario *scenario)
{
    char *request = request_of(scenario);
    struct answer answer = lease_acquire(the(scenario, &scenario->leases, "acquire"),
                                         the(scenario, &scenario->clients, "client"), request);

    free(request);
    return is_expected_answer(scenario, answer);
}

static inline bool step_info(struct scenario *scenario)
{
    return is_expected_answer(scenario, lease_info(the(scenario, &scenario->leases, "info")));
}

static inline bool step_renew(struct scenario *scenario)
{
    return is_expected_answer(scenario, lease_renew(the(scenario, &scenario->leases, "renew")));
}

static inline bool step_release(struct scenario *scenario)
{
    return is_expected_answer(scenario, lease_release(the(scenario, &scenario->leases, "release")));
}

static inline bool step_free(struct scenario *scenario)
{
    lease_free(the(scenario, &scenario->leases, "free"));
    return true;
}

static inline bool step_borrow(struct scenario *scenario)
{
    char *request = request_of(scenario);
    struct answer answer = lease_borrow(the(scenario, &scenario->leases, "borrow"), request);

    free(request);
    return is_expected_answer(scenario, answer);
}

static inline bool step_state(struct scenario *scenario)
{
    int lease = the(scenario, &scenario->leases, "lease");
    const char *wanted = said(scenario, "state"), *state = "a number without a name";

    for (int64_t end = now_ms() + PATIENCE_MS; now_ms() < end; usleep(1000)) {
        floatlease_state number = lease_state(lease);

        state = number >= 0 && number < 7 ? states[number] : state;
        if (!strcmp(state, wanted))
            return true;
    }
    return differs(scenario, wanted, state);
}

static inline bool step_submit(struct scenario *scenario)
{
    int client = the(scenario, &scenario->clients, "client"), ticket = the(scenario, &scenario->tickets, "as");
    char *request = request_of(scenario);
    struct answer answer = client_submit(client, ticket, said(scenario, "submit"), request);

    free(request);
    scenario->client_of_ticket[ticket] = client;
    return is_expected_answer(scenario, answer);
}

static inline bool step_cancel(struct scenario *scenario)
{
    int ticket = the(scenario, &scenario->tickets, "cancel");

    return is_expected_answer(scenario, client_cancel(scenario->client_of_ticket[ticket], ticket));
}

/* True if an event is the completion of this ticket; of any, if it is none. */
static inline bool is_completion(const cJSON *event, const uint64_t *ticket)
{
    const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(event, "event"));
    double number = cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(event, "ticket"));

    return name && !strcmp(name, "COMPLETED") && (!ticket || number == (double)*ticket);
}

/* Takes an event out of those that were read: the completion of this ticket, or else the oldest of that name, and those
   before it are gone. NULL: there is none. */
static inline cJSON *taken(cJSON *events, const char *name, const uint64_t *ticket)
{
    for (cJSON *event = events->child, *next; event; event = next) {
        const char *got = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(event, "event"));

        next = event->next;
        if (ticket ? is_completion(event, ticket) : got && !strcmp(got, name))
            return cJSON_DetachItemViaPointer(events, event);
        if (!ticket && !is_completion(event, NULL))
            cJSON_Delete(cJSON_DetachItemViaPointer(events, event));
    }
    return NULL;
}

/* Waits for such an event; NULL, and it is told, if none came. */
static inline cJSON *awaited(struct scenario *scenario, int client, const char *name, const uint64_t *ticket)
{
    if (!scenario->events[client])
        scenario->events[client] = cJSON_CreateArray();
    cJSON *events = scenario->events[client], *event = taken(events, name, ticket);
    floatlease_status status = FLOATLEASE_OK;

    for (int64_t end = now_ms() + PATIENCE_MS; !event && status == FLOATLEASE_OK && now_ms() < end;) {
        struct answer answer = client_next_event(client, (uint32_t)(end - now_ms()) + 1);
        cJSON *read = answer.json ? cJSON_Parse(answer.json) : NULL;

        status = answer.status;
        free(answer.json);
        if (read)
            cJSON_AddItemToArray(events, read);
        event = taken(events, name, ticket);
    }
    if (!event)
        differs(scenario, "the event", status == FLOATLEASE_OK ? "none" : floatlease_status_name(status));
    return event;
}

static inline bool step_completed(struct scenario *scenario)
{
    int ticket = the(scenario, &scenario->tickets, "completed"), client = scenario->client_of_ticket[ticket];
    uint64_t number = ticket_number(ticket);
    cJSON *event = awaited(scenario, client, "COMPLETED", &number);

    if (!event)
        return false;
    floatlease_status status =
        (floatlease_status)cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(event, "status"));
    const char *told = status == FLOATLEASE_OK ? "reply" : "error";
    bool as_expected = is_expected(scenario, status, cJSON_GetObjectItemCaseSensitive(event, told));

    cJSON_Delete(event);
    if (!as_expected || !*said(scenario, "lease"))
        return as_expected;
    return is_well(scenario, "a lease", lease_accept(the(scenario, &scenario->leases, "lease"), client, ticket));
}

static inline bool step_event(struct scenario *scenario)
{
    cJSON *event = awaited(scenario, the(scenario, &scenario->clients, "client"), said(scenario, "event"), NULL);
    bool as_expected = event && is_expected(scenario, FLOATLEASE_OK, event);

    cJSON_Delete(event);
    return as_expected;
}

static inline bool step_advance(struct scenario *scenario)
{
    double by = cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(scenario->step, "advance_ms"));
    char request[64];

    snprintf(request, sizeof request, "{\"by\":\"%.0fms\"}", by);
    if (!is_well(scenario, "time to pass", sandbox_control("POST /clock/advance", request)))
        return false;
    for (int client = 0; client < scenario->clients.count; client++)
        if (scenario->is_open[client] && !is_well(scenario, "time to pass", client_advance(client, (uint32_t)by)))
            return false;
    return true;
}

static inline bool step_control(struct scenario *scenario)
{
    bool has_request = cJSON_HasObjectItem(scenario->step, "request");
    char *request = request_of(scenario);
    struct answer answer = sandbox_control(said(scenario, "control"), has_request ? request : NULL);

    free(request);
    return is_expected_answer(scenario, answer);
}

static const struct {
    const char *name;
    bool (*perform)(struct scenario *);
} steps[] = {
    {"open", step_open},
    {"close", step_close},
    {"call", step_call},
    {"acquire", step_acquire},
    {"info", step_info},
    {"renew", step_renew},
    {"borrow", step_borrow},
    {"release", step_release},
    {"free", step_free},
    {"state", step_state},
    {"submit", step_submit},
    {"cancel", step_cancel},
    {"completed", step_completed},
    {"event", step_event},
    {"advance_ms", step_advance},
    {"control", step_control},
};

static inline bool perform_step(struct scenario *scenario)
{
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        if (cJSON_GetObjectItemCaseSensitive(scenario->step, steps[i].name))
            return steps[i].perform(scenario);
    return differs(scenario, "a step of README.md", "none");
}

static inline int remove_entry(const char *path, const struct stat *about, int kind, struct FTW *place)
{
    (void)about, (void)kind, (void)place;
    return remove(path);
}

/* Performs a scenario with a sandbox of its own. */
static inline bool perform(const char *file, const cJSON *root)
{
    struct scenario scenario;
    const cJSON *options = cJSON_GetObjectItemCaseSensitive(root, "sandbox");
    char *text = options ? cJSON_PrintUnformatted(options) : strdup("{}");

    memset(&scenario, 0, sizeof scenario);
    scenario.file = file;
    scenario.step = root;
    strcpy(scenario.storage, "/tmp/floatlease-XXXXXX");
    bool well = mkdtemp(scenario.storage) && is_well(&scenario, "a sandbox", sandbox_start(text));

    cJSON_ArrayForEach(scenario.step, cJSON_GetObjectItemCaseSensitive(root, "steps")) {
        scenario.number++;
        well = well && perform_step(&scenario);
        if (!well)
            break;
    }
    for (int lease = 0; lease < MOST; lease++)
        lease_free(lease);
    for (int client = 0; client < MOST; client++) {
        client_close(client);
        cJSON_Delete(scenario.events[client]);
    }
    sandbox_stop();
    nftw(scenario.storage, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    free(text);
    return well;
}

static inline char *read_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    char *text = (char *)calloc(1, 1 << 20);
    size_t length = file ? fread(text, 1, (1 << 20) - 1, file) : 0;

    if (!file || !length) {
        free(text);
        text = NULL;
    }
    if (file)
        fclose(file);
    return text;
}

/* Performs the scenarios in these files. */
static inline int perform_all(int count, char **files)
{
    int failed = count < 1;

    for (int i = 0; i < count; i++) {
        char *text = read_file(files[i]);
        cJSON *root = text ? cJSON_Parse(text) : NULL;

        if (!root)
            printf("%s: no scenario can be read there\n", files[i]);
        if (root && perform(files[i], root))
            printf("ok %s\n", cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(root, "title")));
        else
            failed = 1;
        fflush(stdout);
        cJSON_Delete(root);
        free(text);
    }
    return failed;
}

#endif
