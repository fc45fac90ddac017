/*
 * A game at 60 frames a second that never waits for its license. Everything that talks to the server is submitted, and
 * one event is read in each frame; the lease's state is read in each frame, because that costs nothing.
 *
 *     cc game_loop.c -lfloatlease -o game_loop
 *     floatlease-server exec -- ./game_loop 180
 *
 * FLOATLEASE_CONFIG holds the client's configuration, as in quickstart.c. The argument is the number of frames.
 */
#define _POSIX_C_SOURCE 200809L
#include <floatlease.h>

#include "common.h"

#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#define FRAME_NS (1000000000 / 60)
#define SAVED_GAME "saved_game.txt"

struct game {
    floatlease_client *client;
    floatlease_lease *lease; /* NULL as long as there is none */
    const char *asked;       /* what was submitted and is not completed, or NULL */
    floatlease_state state;  /* of the lease, as of the last frame */
    char banner[640];        /* over the picture; "" for none */
    int score;               /* what is worth saving */
};

/* Submits an operation, and goes on without waiting. */
static void ask(struct game *game, const char *operation, const char *request)
{
    uint64_t ticket;

    if (floatlease_submit(game->client, operation, request, &ticket) == FLOATLEASE_OK)
        game->asked = operation;
}

/* Opens the client and submits the acquire. Neither waits for the server, so the first frame comes at once. */
static bool game_begin(struct game *game, const char *config)
{
    if (floatlease_client_open(config, &game->client, NULL) != FLOATLEASE_OK)
        return false;
    strcpy(game->banner, "Looking for a license.");
    ask(game, "lease_acquire", "{\"wait_ms\":60000,\"activate\":true}");
    return true;
}

/* Handles the completion of the submitted operation. */
static void completed(struct game *game, const char *event)
{
    char value[24], message[512];
    const char *asked = game->asked, *error = find_member(event, "error");
    uint64_t ticket = strtoull(member(event, "ticket", value, sizeof value), NULL, 10);
    int status = (int)strtol(member(event, "status", value, sizeof value), NULL, 10);

    game->asked = NULL;
    if (!strcmp(asked, "lease_acquire") && status == FLOATLEASE_OK)
        floatlease_lease_accept(game->client, ticket, &game->lease, NULL);
    else if (error)
        snprintf(game->banner, sizeof game->banner, "%s", member(error, "message", message, sizeof message));
}

/* Handles one event in a frame. That is enough: events come once in minutes. */
static void listen(struct game *game)
{
    char *event = NULL, name[32];

    if (floatlease_next_event(game->client, 0, &event) != FLOATLEASE_OK || !event)
        return;
    member(event, "event", name, sizeof name);
    if (!strcmp(name, "COMPLETED"))
        completed(game, event);
    else if (!strcmp(name, "WAITING"))
        strcpy(game->banner, "Every license is in use. You are in the queue.");
    floatlease_string_free(event);
}

static void save(const struct game *game)
{
    char text[32];

    snprintf(text, sizeof text, "score %d\n", game->score);
    write_whole(SAVED_GAME, text); /* a small file; a large one is written by a thread of the game's own */
}

/* Shows what the new state means for the player. */
static void look(struct game *game)
{
    floatlease_state before = game->state;

    game->state = floatlease_lease_state(game->lease);
    if (game->state == FLOATLEASE_STATE_GRACE)
        snprintf(game->banner, sizeof game->banner, "The license may be gone. The game is saved; it ends in %d s.",
                 (int)(floatlease_lease_remaining(game->lease) / 1000));
    if (game->state == before)
        return;
    switch (game->state) {
    case FLOATLEASE_STATE_ACTIVE:
    case FLOATLEASE_STATE_BORROWED:
        game->banner[0] = '\0';
        break;
    case FLOATLEASE_STATE_DEGRADED:
        strcpy(game->banner, "The license server does not answer. Play on.");
        break;
    case FLOATLEASE_STATE_GRACE:
        save(game);
        break;
    case FLOATLEASE_STATE_LOST:
        save(game);
        strcpy(game->banner, "The license is gone. The game is saved, and goes on when the license is back.");
        break;
    }
}

static bool may_play(const struct game *game)
{
    return game->state >= FLOATLEASE_STATE_ACTIVE && game->state <= FLOATLEASE_STATE_BORROWED;
}

static void game_frame(struct game *game)
{
    listen(game);
    look(game);
    if (may_play(game))
        game->score++; /* and whatever else a game does in a frame */
}

/* Gives the lease back while the picture fades out, for as many frames as that takes. */
static void game_end(struct game *game, int frames)
{
    char request[32], number[24], *info = NULL;

    if (game->lease && floatlease_lease_info(game->lease, &info) == FLOATLEASE_OK) {
        snprintf(request, sizeof request, "{\"lease\":%s}", member(info, "lease", number, sizeof number));
        ask(game, "lease_release", request);
        floatlease_string_free(info);
    }
    for (; game->lease && game->asked && frames > 0; frames--) {
        listen(game);
        nanosleep(&(struct timespec){.tv_nsec = FRAME_NS}, NULL);
    }
    floatlease_lease_free(game->lease);
    floatlease_client_close(game->client);
}

int main(int argc, char **argv)
{
    const char *config = getenv("FLOATLEASE_CONFIG");
    int frames = argc == 2 ? atoi(argv[1]) : 180;
    struct game game = {0};
    char shown[sizeof game.banner] = "";

    if (!config || !game_begin(&game, config)) {
        fprintf(stderr, "usage: floatlease-server exec -- ./game_loop [FRAMES]\n");
        return 2;
    }
    for (int frame = 1; frame <= frames; frame++) {
        floatlease_state before = game.state;

        game_frame(&game);
        if (game.state != before || strcmp(shown, game.banner))
            printf("frame %d: state %d%s%s\n", frame, (int)game.state, *game.banner ? ", " : "",
                   strcpy(shown, game.banner));
        nanosleep(&(struct timespec){.tv_nsec = FRAME_NS}, NULL);
    }
    printf("%d of %d frames were played.\n", game.score, frames);
    bool played = game.score > 0;

    game_end(&game, 120);
    return played ? 0 : 1;
}
