#define _POSIX_C_SOURCE 200809L
#include "editor.h"

#include "common.h"

#include <stdlib.h>

/* Copies the sentences of an error object into the status line. */
static void say_error(struct editor *editor, const char *error)
{
    char message[512], advice[256];

    snprintf(editor->notice, sizeof editor->notice, "%s %s", member(error, "message", message, sizeof message),
             member(error, "advice", advice, sizeof advice));
}

bool editor_license(struct editor *editor)
{
    char *json = NULL;
    const char *request = "{\"activate\":true}"; /* the first start on this machine activates it */
    floatlease_status status = floatlease_lease_acquire(editor->client, request, &editor->lease, &json);

    if (status == FLOATLEASE_OK)
        editor->notice[0] = '\0';
    else
        say_error(editor, json);
    floatlease_string_free(json);
    return status == FLOATLEASE_OK;
}

/* Shows an event of the lease in the status line, and saves the document when the lease may soon be lost. */
static void hear(struct editor *editor, const char *event)
{
    char name[32], reason[512], left[24];
    size_t size = sizeof editor->notice;

    member(event, "event", name, sizeof name);
    member(event, "reason", reason, sizeof reason);
    int minutes = (int)(strtoll(member(event, "remaining_ms", left, sizeof left), NULL, 10) / 60000);

    if (!strcmp(name, "RENEWED") || !strcmp(name, "REGAINED")) {
        editor->notice[0] = '\0';
    } else if (!strcmp(name, "DEGRADED")) {
        snprintf(editor->notice, size, "The license server does not answer. You can work on for %d minutes.", minutes);
    } else if (!strcmp(name, "GRACE_STARTED") || !strcmp(name, "LOST")) {
        bool saved = editor_save(editor);

        snprintf(editor->notice, size, "%s %s Your work %s saved in %s.", reason,
                 editor_is_licensed(editor) ? "Licensed work ends soon." : "Licensed work is over.",
                 saved ? "is" : "could NOT be", editor->file);
    }
}

void editor_tick(struct editor *editor)
{
    char *event = NULL;

    while (floatlease_next_event(editor->client, 0, &event) == FLOATLEASE_OK && event) {
        hear(editor, event);
        floatlease_string_free(event);
    }
}

bool editor_is_licensed(const struct editor *editor)
{
    switch (floatlease_lease_state(editor->lease)) {
    case FLOATLEASE_STATE_ACTIVE:
    case FLOATLEASE_STATE_DEGRADED:
    case FLOATLEASE_STATE_GRACE:
    case FLOATLEASE_STATE_BORROWED:
        return true;
    default:
        return false;
    }
}

bool editor_type(struct editor *editor, const char *text)
{
    size_t length = strlen(editor->document);

    if (!editor_is_licensed(editor) || length + strlen(text) >= sizeof editor->document)
        return false;
    strcpy(editor->document + length, text);
    return true;
}

bool editor_save(const struct editor *editor)
{
    return write_whole(editor->file, editor->document);
}

void editor_close(struct editor *editor)
{
    /* If the server can't be reached, it frees the slot after its timeout. */
    floatlease_lease_release(editor->lease, NULL);
    floatlease_lease_free(editor->lease);
    editor->lease = NULL;
}
