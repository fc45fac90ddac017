/*
 * Save your work: a program that may lose its license, but not the user's work. It appends each typed line to a
 * document; the end of the input, Ctrl-D, saves it and gives the slot back. editor.c is the part to read.
 *
 *     cc save_your_work.c editor.c -lfloatlease -o save_your_work
 *     floatlease-server exec -- ./save_your_work notes.txt
 *
 * FLOATLEASE_CONFIG holds the client's configuration, as in quickstart.c.
 */
#define _POSIX_C_SOURCE 200809L
#include "editor.h"

#include "common.h"

#include <stdlib.h>

int main(int argc, char **argv)
{
    const char *config = getenv("FLOATLEASE_CONFIG");
    struct editor editor = {.file = argv[argc - 1]};
    char *json = NULL, text[256], shown[sizeof editor.notice] = "";

    if (argc != 2 || !config) {
        fprintf(stderr, "usage: floatlease-server exec -- ./save_your_work FILE\n");
        return 2;
    }
    if (floatlease_client_open(config, &editor.client, &json) != FLOATLEASE_OK) {
        fprintf(stderr, "%s\n", json);
        floatlease_string_free(json);
        return 1;
    }
    floatlease_string_free(json);

    bool licensed = editor_license(&editor);

    printf("%s\n", licensed ? "Licensed. Type; Ctrl-D saves and ends." : editor.notice);
    while (licensed && read_line(text, sizeof text)) {
        editor_tick(&editor);
        if (strcmp(shown, editor.notice))
            printf("%s\n", strcpy(shown, editor.notice));
        if (*text && !editor_type(&editor, text))
            printf("No license for that: %s is yours to read and to save.\n", editor.file);
    }
    if (licensed && !editor_save(&editor))
        licensed = false, perror(editor.file);
    editor_close(&editor);
    floatlease_client_close(editor.client);
    return licensed ? 0 : 1;
}
