/*
 * Prints what C reads of each reply: replies CONFIG CASES
 *
 * CONFIG is a client's config. Each line of the file CASES is an operation, a tab, its request, a tab, and the members to
 * read. For each the program prints the name of the status, a tab, and the JSON.
 */
#include "verbs.h"

#include <floatlease.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Takes a lease, and gives it back. */
static floatlease_status acquire(floatlease_client *client, const char *request, char **json)
{
    floatlease_lease *lease = NULL;
    floatlease_status status = floatlease_lease_acquire(client, request, &lease, json);

    if (status == FLOATLEASE_OK)
        floatlease_lease_release(lease, NULL);
    floatlease_lease_free(lease);
    return status;
}

static floatlease_status perform(floatlease_client *client, const char *operation, const char *request, char **json)
{
    if (!strcmp(operation, "lease_acquire"))
        return acquire(client, request, json);
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (!strcmp(verbs[i].name, operation))
            return verbs[i].perform(client, request, json);
    return floatlease_call(client, operation, request, json);
}

int main(int argc, char **argv)
{
    static char line[1 << 16];
    floatlease_client *client = NULL;
    FILE *cases = argc == 3 ? fopen(argv[2], "r") : NULL;

    if (!cases || floatlease_client_open(argv[1], &client, NULL) != FLOATLEASE_OK)
        return EXIT_FAILURE;
    while (fgets(line, sizeof line, cases)) {
        const char *operation = strtok(line, "\t");
        const char *request = strtok(NULL, "\t");
        char *json = NULL;
        const floatlease_status status = perform(client, operation, request, &json);

        printf("%s\t%s\tnull\n", floatlease_status_name(status), json ? json : "null");
        floatlease_string_free(json);
    }
    fclose(cases);
    floatlease_client_close(client);
}
