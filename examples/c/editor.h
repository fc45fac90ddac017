/*
 * An editor whose document outlives its license.
 *
 * It works on a lease of a floating slot, which the library keeps alive on a thread of its own. The editor only listens:
 * an outage costs a notice, the end of the slot's time saves the document, and the loss of the lease ends licensed work
 * and never the document, which stays the user's to read and to save.
 */
#ifndef EDITOR_H
#define EDITOR_H

#include <floatlease.h>

#include <stdbool.h>

struct editor {
    floatlease_client *client; /* given, as the file is */
    const char *file;
    floatlease_lease *lease;
    char document[4096];
    char notice[1024]; /* the status line */
};

/* Takes a slot. Call it at the start, and when the user wants to try again. The notice says why it failed. */
bool editor_license(struct editor *editor);

/* Handles the events of the lease. Call it every second or so; it makes no request and never waits. */
void editor_tick(struct editor *editor);

/* Returns whether licensed work may go on. */
bool editor_is_licensed(const struct editor *editor);

/* Adds text, which is licensed work. Returns false if there is no license for it, or no room. */
bool editor_type(struct editor *editor, const char *text);

/* Saves the document, which needs no license. */
bool editor_save(const struct editor *editor);

/* Gives the slot back. */
void editor_close(struct editor *editor);

#endif
