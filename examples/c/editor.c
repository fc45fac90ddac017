#include "editor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_S 60 /* between two questions while the server does not answer */

typedef floatlease_status verb(floatlease_client *, const char *, char **);

/* What came of a question. */
enum answer { YES, NO, NONE };

/* Where the object's own member of that name has its value, or NULL; the objects inside it are passed over. */
static const char *find(const char *json, const char *name)
{
    int depth = 0;

    for (const char *at = json ? json : ""; *at; at++) {
        if (*at == '{' || *at == '[')
            depth++;
        else if (*at == '}' || *at == ']')
            depth--;
        else if (*at == '"') {
            const char *text = ++at;

            while (*at && *at != '"')
                at += at[0] == '\\' && at[1] ? 2 : 1;
            if (!*at)
                return NULL;
            size_t length = (size_t)(at - text);
            const char *colon = at + 1 + strspn(at + 1, " \r\n\t");

            if (depth == 1 && *colon == ':' && length == strlen(name) && !strncmp(text, name, length))
                return colon + 1 + strspn(colon + 1, " \r\n\t");
        }
    }
    return NULL;
}

/* Copies that value: good enough for what is needed here, no replacement for a JSON parser. "" if there is none. */
static const char *member(const char *json, const char *name, char *value, size_t size)
{
    const char *from = find(json, name);
    const char *end = from && *from == '"' ? from++, "\"" : " ,}";
    size_t length = 0;

    for (; from && *from && !strchr(end, *from) && length + 1 < size; from++) {
        if (*from == '\\' && from[1])
            from++;
        value[length++] = *from;
    }
    value[length] = '\0';
    return value;
}

/* Asks the server one thing. The notice says why there was no yes. */
static enum answer ask(struct editor *editor, verb *question, char **reply, int64_t now)
{
    char outcome[16], retryable[8], after[24], message[512], advice[256];
    floatlease_status status = question(editor->client, NULL, reply);

    if (status == FLOATLEASE_OK)
        return YES;
    member(*reply, "outcome", outcome, sizeof outcome);
    member(*reply, "retryable", retryable, sizeof retryable);
    snprintf(editor->notice, sizeof editor->notice, "%s %s", member(*reply, "message", message, sizeof message),
             member(*reply, "advice", advice, sizeof advice));

    int64_t pause = strtoll(member(*reply, "retry_after_ms", after, sizeof after), NULL, 10) / 1000;
    editor->ask_at = now + (pause > RETRY_S ? pause : RETRY_S);

    /* The server's own word: it will not change by itself, or a colleague has the slot. All else is no answer: the
       request may not have arrived, or it was carried out and the reply was lost. */
    if (!strcmp(outcome, "rejected") && (strcmp(retryable, "true") || status == FLOATLEASE_E_FLOATING_NOT_AVAILABLE))
        return NO;
    return NONE;
}

static enum answer take_slot(struct editor *editor, int64_t now)
{
    char *license = NULL, minutes[16];
    enum answer answer = ask(editor, floatlease_check_license, &license, now);

    if (answer == YES) {
        int64_t timeout = 60 * strtoll(member(license, "floating_timeout", minutes, sizeof minutes), NULL, 10);

        /* From when we asked: the server counts from a little later, so it is never earlier than we think. */
        editor->ours_until = now + timeout;
        editor->ask_at = now + timeout / 2;
        editor->licensed = true;
        editor->notice[0] = '\0';
    }
    floatlease_string_free(license);
    return answer;
}

bool editor_license(struct editor *editor, int64_t now)
{
    char *reply = NULL;
    enum answer answer = ask(editor, floatlease_activate_license, &reply, now);

    floatlease_string_free(reply);
    if (answer == NONE) {
        /* Perhaps it was carried out. To activate a device twice makes it no second one, so asking again is safe. */
        answer = ask(editor, floatlease_activate_license, &reply, now);
        floatlease_string_free(reply);
    }
    return answer == YES && take_slot(editor, now) == YES;
}

/* Saves the document and ends licensed work; the notice says why already. */
static void stop(struct editor *editor)
{
    size_t length = strlen(editor->notice);
    bool saved = editor_save(editor);

    editor->licensed = false;
    snprintf(editor->notice + length, sizeof editor->notice - length,
             saved ? " Your work is saved in %s." : " Your work could NOT be saved in %s.", editor->file);
}

void editor_tick(struct editor *editor, int64_t now)
{
    if (!editor->licensed || now < editor->ask_at)
        return;
    /* After a sleep the time may be long up, and the slot still free: ask first, stop second. */
    enum answer answer = take_slot(editor, now);

    if (answer == NO) {
        stop(editor);
    } else if (answer == NONE && now >= editor->ours_until) {
        strcpy(editor->notice, "The license server has not answered for too long.");
        stop(editor);
    } else if (answer == NONE) {
        snprintf(editor->notice, sizeof editor->notice,
                 "The license server does not answer. You can work on for %d minutes; save your work.",
                 (int)((editor->ours_until - now) / 60));
        if (editor->ask_at > editor->ours_until)
            editor->ask_at = editor->ours_until;
    }
}

bool editor_type(struct editor *editor, const char *text)
{
    size_t length = strlen(editor->document);

    if (!editor->licensed || length + strlen(text) >= sizeof editor->document)
        return false;
    strcpy(editor->document + length, text);
    return true;
}

/* Beside the old one first: whatever goes wrong, one of the two is whole. */
bool editor_save(const struct editor *editor)
{
    char beside[1024];
    int length = snprintf(beside, sizeof beside, "%s.new", editor->file);
    FILE *file = length < (int)sizeof beside ? fopen(beside, "wb") : NULL;

    if (!file)
        return false;
    bool written = fputs(editor->document, file) >= 0;

    return !fclose(file) && written && !rename(beside, editor->file);
}

void editor_close(struct editor *editor)
{
    /* Whatever we believe: the server may hold one for us still. If this fails, time gives it back. */
    floatlease_release_license(editor->client, NULL, NULL);
    editor->licensed = false;
}
