/*
 * A CAD program with a document open, on two features that float: MESH, to draw with, and SOLVER. At the office it has
 * both or none. For a trip it borrows MESH, and leaves SOLVER to the colleagues.
 *
 *     cc cad_document.c -lfloatlease -o cad_document
 *     floatlease-server exec -- ./cad_document FOLDER DOCUMENT
 *
 * Commands come line by line: "draw TEXT", "solve", "trip", "home"; the end of the input saves and ends. FOLDER, an
 * absolute path, is where leases are kept from one start to the next, so that a start during a trip needs no network.
 * FLOATLEASE_CONFIG holds the client's configuration, as in quickstart.c.
 */
#define _POSIX_C_SOURCE 200809L
#include <floatlease.h>

#include "common.h"

#include <stdlib.h>

#define OFFICE "{\"features\":[\"MESH\",\"SOLVER\"],\"activate\":true}" /* the first start activates the machine */
#define TRIP "{\"feature\":\"MESH\",\"borrow_ending_hours\":4}"

struct cad {
    floatlease_client *client;
    floatlease_lease *lease; /* of both features, or on a trip of MESH */
    bool on_trip;
    const char *file;
    char document[4096];
};

/* Prints the result of a call. */
static floatlease_status tell(floatlease_status status, char *json, const char *good, const char *bad)
{
    char text[512];

    if (status == FLOATLEASE_OK)
        printf("%s\n", good);
    else
        printf("%s %s\n", bad, member(json, "message", text, sizeof text));
    floatlease_string_free(json);
    return status;
}

/* Replaces the lease. The new one is acquired first, so that a slot that both hold is not given back between. */
static floatlease_status take(struct cad *cad, const char *request, char **json)
{
    floatlease_lease *lease = NULL;
    floatlease_status status = floatlease_lease_acquire(cad->client, request, &lease, json);

    if (status == FLOATLEASE_OK) {
        floatlease_lease_release(cad->lease, NULL);
        floatlease_lease_free(cad->lease);
        cad->lease = lease;
    }
    return status;
}

static floatlease_status go_to_the_office(struct cad *cad)
{
    char *json = NULL;
    floatlease_status status = take(cad, OFFICE, &json);

    return tell(status, json, "MESH and SOLVER are yours.", "Not both of MESH and SOLVER:");
}

/* Acquires the borrowed feature. Files in the folder prove the borrow, so this needs no network. */
static bool go_on_with_a_trip(struct cad *cad)
{
    cad->on_trip = take(cad, TRIP, NULL) == FLOATLEASE_OK
                   && floatlease_lease_state(cad->lease) == FLOATLEASE_STATE_BORROWED;
    if (cad->on_trip)
        printf("MESH is borrowed.\n");
    return cad->on_trip;
}

static void begin_trip(struct cad *cad)
{
    char *json = NULL;
    floatlease_status status = take(cad, TRIP, &json);

    if (status == FLOATLEASE_OK) {
        floatlease_string_free(json);
        status = floatlease_lease_borrow(cad->lease, NULL, &json);
        cad->on_trip = status == FLOATLEASE_OK;
    }
    tell(status, json, "MESH is borrowed: pull the plug when you like.", "MESH is not borrowed:");
    if (!cad->on_trip)
        go_to_the_office(cad);
}

/* Ends the borrow early, so that colleagues need not wait for its date. */
static void end_trip(struct cad *cad)
{
    char *json = NULL;
    floatlease_status status = floatlease_lease_release(cad->lease, &json);

    if (tell(status, json, "The borrow is given back.", "The borrow goes on:") == FLOATLEASE_OK) {
        cad->on_trip = false;
        go_to_the_office(cad);
    }
}

static bool is_licensed(const struct cad *cad)
{
    floatlease_state state = floatlease_lease_state(cad->lease);

    return state >= FLOATLEASE_STATE_ACTIVE && state <= FLOATLEASE_STATE_BORROWED;
}

/* Handles the events of the lease. A timer calls it every second or so. */
static void listen(struct cad *cad)
{
    char *event = NULL, name[32], reason[512];

    while (floatlease_next_event(cad->client, 0, &event) == FLOATLEASE_OK && event) {
        member(event, "event", name, sizeof name);
        printf("%s: %s\n", name, member(event, "reason", reason, sizeof reason));
        if (!strcmp(name, "GRACE_STARTED") || !strcmp(name, "LOST"))
            printf("%s\n", write_whole(cad->file, cad->document) ? "The document is saved." : "NOT saved!");
        floatlease_string_free(event);
    }
}

static bool draw(struct cad *cad, const char *text)
{
    size_t length = strlen(cad->document);

    if (!is_licensed(cad) || length + strlen(text) >= sizeof cad->document)
        return false;
    strcpy(cad->document + length, text);
    return true;
}

static void obey(struct cad *cad, const char *line)
{
    if (!strncmp(line, "draw ", 5))
        puts(draw(cad, line + 5) ? "Drawn." : "Not drawn: there is no license.");
    else if (!strcmp(line, "solve\n"))
        puts(is_licensed(cad) && !cad->on_trip ? "Solved." : "Not solved: SOLVER stayed at the office.");
    else if (!strcmp(line, "trip\n"))
        begin_trip(cad);
    else if (!strcmp(line, "home\n"))
        end_trip(cad);
}

static bool cad_begin(struct cad *cad, const char *config, const char *folder)
{
    char with_folder[8192], *json = NULL;

    snprintf(with_folder, sizeof with_folder, "{\"storage_dir\":\"%s\",%s", folder, config + strspn(config, " {"));
    if (floatlease_client_open(with_folder, &cad->client, &json) != FLOATLEASE_OK) {
        fprintf(stderr, "%s\n", json);
        floatlease_string_free(json);
        return false;
    }
    floatlease_string_free(json);

    FILE *file = fopen(cad->file, "rb"); /* to read a document needs no license */

    if (file) {
        cad->document[fread(cad->document, 1, sizeof cad->document - 1, file)] = '\0';
        fclose(file);
    }
    return true;
}

/* Gives the lease back unless it is borrowed: the end of the program is not the end of a trip. */
static void cad_end(struct cad *cad)
{
    if (floatlease_lease_state(cad->lease) != FLOATLEASE_STATE_BORROWED)
        floatlease_lease_release(cad->lease, NULL);
    floatlease_lease_free(cad->lease);
    floatlease_client_close(cad->client);
}

int main(int argc, char **argv)
{
    const char *config = getenv("FLOATLEASE_CONFIG");
    struct cad cad = {.file = argv[argc - 1]};
    char line[256];

    if (argc != 3 || !config) {
        fprintf(stderr, "usage: floatlease-server exec -- ./cad_document FOLDER DOCUMENT\n");
        return 2;
    }
    if (!cad_begin(&cad, config, argv[1]))
        return 1;
    if (!go_on_with_a_trip(&cad))
        go_to_the_office(&cad);
    while (read_line(line, sizeof line)) {
        listen(&cad);
        obey(&cad, line);
    }
    bool saved = write_whole(cad.file, cad.document);

    if (!saved)
        perror(cad.file);
    cad_end(&cad);
    return saved ? 0 : 1;
}
