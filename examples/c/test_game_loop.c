/*
 * Does the game play on when it may, save when it should, and stop when it must, without ever waiting? Its frames are
 * drawn as fast as the machine can; the hours pass in a sandbox.
 *
 *     cc test_game_loop.c -lfloatlease -lfloatlease_sandbox -o test_game_loop
 */
#define main game_main
#include "game_loop.c"
#undef main
#include "scene.h"

static struct game game;

static struct scene begin(void)
{
    struct scene scene;

    remove(SAVED_GAME);
    game = (struct game){0};
    HOLD(game_begin(&game, begin_scene(&scene)));
    scene.client = game.client;
    return scene;
}

/* A frame later, the picture says so. */
static bool shows(const char *banner)
{
    game_frame(&game);
    return *banner ? strstr(game.banner, banner) != NULL : game.banner[0] == '\0';
}

static bool plays(void)
{
    int score = game.score;

    game_frame(&game);
    return game.score > score;
}

static void end(struct scene *scene)
{
    control(scene, "DELETE /faults", NULL);
    game_end(&game, 1000);
    HOLD(slots_of_my_desk(scene) == 0);
    end_scene(scene);
    remove(SAVED_GAME);
}

static void the_first_start(void)
{
    struct scene scene = begin();

    SOON(plays());
    HOLD(shows("") && slots_of_my_desk(&scene) == 1);
    end(&scene);
    puts("The first start: the picture was there at once, and the game soon.");
}

static void a_server_that_never_answers(void)
{
    struct scene scene;

    remove(SAVED_GAME);
    HOLD(floatlease_sandbox_start("{\"faults\":[{\"do\":{\"before\":\"hang\"}}]}", &scene.sandbox, NULL) == FLOATLEASE_OK);
    game = (struct game){0};
    HOLD(game_begin(&game, control(&scene, "GET /client_config", "{\"hardware_id\":\"my-desk\"}")));
    scene.client = game.client;
    for (int frame = 0; frame < 100000; frame++)
        HOLD(shows("Looking for a license.") && game.asked);
    game_end(&game, 0);
    floatlease_sandbox_stop(scene.sandbox);
    puts("A server that never answers: a hundred thousand frames were drawn meanwhile.");
}

static void the_last_seat_is_taken(void)
{
    struct scene scene = begin();

    SOON(plays());
    game_end(&game, 1000);
    HOLD(slots_of_my_desk(&scene) == 0);
    control(&scene, "GET /client_config", "{\"hardware_id\":\"my-desk\"}");
    HOLD(floatlease_client_open(reply, &scene.client, NULL) == FLOATLEASE_OK);
    colleagues_come(&scene);
    control(&scene, "GET /client_config", "{\"hardware_id\":\"my-desk\"}");
    game = (struct game){0};
    HOLD(game_begin(&game, reply));
    SOON(shows("You are in the queue."));
    HOLD(floatlease_release_license(scene.client, "{\"hardware_id\":\"office-1\"}", NULL) == FLOATLEASE_OK);
    SOON(plays());
    game_end(&game, 1000);
    end_scene(&scene);
    puts("No slot at the start: the game queued, and began when one was free.");
}

static void an_outage(void)
{
    struct scene scene = begin();

    SOON(plays());
    outage(&scene);
    pass(&scene, 119);
    SOON(shows("does not answer. Play on."));
    HOLD(plays() && says(SAVED_GAME, NULL));
    pass(&scene, 2);
    SOON(shows("The game is saved; it ends in"));
    HOLD(plays() && !says(SAVED_GAME, NULL));
    pass(&scene, 5);
    SOON(shows("The license is gone."));
    HOLD(!plays());
    control(&scene, "DELETE /faults", NULL);
    pass(&scene, 2);
    SOON(plays());
    HOLD(shows("") && slots_of_my_desk(&scene) == 1);
    end(&scene);
    puts("An outage: the game played on, was saved, stopped, and went on when the server was back.");
}

int main(void)
{
    the_first_start();
    a_server_that_never_answers();
    the_last_seat_is_taken();
    an_outage();
    return 0;
}
