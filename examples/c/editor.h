/*
 * An editor whose document outlives its license.
 *
 * It works on a floating slot, which is its own for floating_timeout minutes from each yes of the server; at half of
 * that time it asks anew. No answer costs nothing until the time is up. A no, or the end of the time, costs the license
 * and never the document: that is saved at once, and stays the user's to read and to save.
 *
 * The editor has no clock and never sleeps. Whoever calls it tells it the time, in seconds, by a clock that only goes
 * forward and counts the machine's sleep: the system's in the program, its own in the test.
 */
#ifndef EDITOR_H
#define EDITOR_H

#include <floatlease.h>

#include <stdbool.h>
#include <stdint.h>

struct editor {
    floatlease_client *client; /* given, as the file is */
    const char *file;
    char document[4096];
    char notice[1024];  /* the status line */
    bool licensed;
    int64_t ours_until; /* the slot is ours until then, whatever happens on the way to the server */
    int64_t ask_at;     /* when to ask for it anew */
};

/* Takes a slot: at the start, and when a user who lost his wants to try again. The notice says why not. */
bool editor_license(struct editor *editor, int64_t now);

/* Keeps the slot. To be called every second or so; asks the server when it is time to. */
void editor_tick(struct editor *editor, int64_t now);

/* Licensed work. False if there is no license for it, or no room. */
bool editor_type(struct editor *editor, const char *text);

/* Needs no license. */
bool editor_save(const struct editor *editor);

/* Gives the slot back. */
void editor_close(struct editor *editor);

#endif
