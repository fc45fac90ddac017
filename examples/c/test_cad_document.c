/*
 * Does the CAD program save what must not be lost, and take along on a trip what it should? The days pass in a sandbox;
 * each start of the program is a client of its own on the same folder.
 *
 *     cc test_cad_document.c -lfloatlease -lfloatlease_sandbox -o test_cad_document
 */
#define main cad_main
#include "cad_document.c"
#undef main
#include "scene.h"

#include <dirent.h>
#include <unistd.h>

#define FOLDER "test_cad_document.leases"
#define DOCUMENT "test_cad_document.txt"

static struct cad cad;
static uint32_t minutes; /* that have passed since the scene began */

static void later(struct scene *scene, uint32_t by)
{
    pass(scene, by);
    minutes += by;
}

/* The client wants an absolute path: it must lead to the same folder for whoever starts the program, and wherever. */
static const char *absolute_folder(void)
{
    static char path[512];

    HOLD(getcwd(path, sizeof path - sizeof "/" FOLDER) != NULL);
    return strcat(path, "/" FOLDER);
}

/* The program starts. Its clock is the system's, so what has passed already must be told it. */
static void start(struct scene *scene)
{
    cad = (struct cad){.file = DOCUMENT};
    HOLD(cad_begin(&cad, control(scene, "GET /client_config", "{\"hardware_id\":\"my-desk\"}"), absolute_folder()));
    HOLD(floatlease_client_advance_clock(cad.client, minutes * 60000) == FLOATLEASE_OK);
    scene->client = cad.client;
}

static void remove_files(void)
{
    char path[512];
    DIR *folder = opendir(FOLDER);

    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        snprintf(path, sizeof path, FOLDER "/%s", entry->d_name);
        remove(path);
    }
    if (folder)
        closedir(folder);
    remove(FOLDER);
    remove(DOCUMENT);
}

static struct scene begin(void)
{
    struct scene scene;

    remove_files();
    minutes = 0;
    begin_scene(&scene);
    start(&scene);
    return scene;
}

static void end(struct scene *scene)
{
    control(scene, "DELETE /faults", NULL);
    cad_end(&cad);
    end_scene(scene);
    remove_files();
}

static bool is(floatlease_state state)
{
    listen(&cad);
    return floatlease_lease_state(cad.lease) == state;
}

static void both_or_none(void)
{
    struct scene scene = begin();

    HOLD(floatlease_activate_license(cad.client, "{\"hardware_id\":\"office-1\"}", NULL) == FLOATLEASE_OK);
    HOLD(floatlease_check_feature(cad.client, "{\"hardware_id\":\"office-1\",\"feature\":\"SOLVER\"}", NULL)
         == FLOATLEASE_OK);
    HOLD(go_to_the_office(&cad) == FLOATLEASE_E_FLOATING_NOT_AVAILABLE);
    HOLD(slots_of_my_desk(&scene) == 0 && !draw(&cad, "a wall"));
    later(&scene, 31);
    HOLD(go_to_the_office(&cad) == FLOATLEASE_OK);
    HOLD(slots_of_my_desk(&scene) == 2 && draw(&cad, "a wall"));
    end(&scene);
    puts("Somebody has the one SOLVER: MESH was not kept either.");
}

static void the_document_is_saved(void)
{
    struct scene scene = begin();

    HOLD(go_to_the_office(&cad) == FLOATLEASE_OK && draw(&cad, "a wall"));
    outage(&scene);
    later(&scene, 29);
    SOON(is(FLOATLEASE_STATE_DEGRADED));
    HOLD(says(DOCUMENT, NULL));
    later(&scene, 2);
    SOON(is(FLOATLEASE_STATE_GRACE));
    SOON((listen(&cad), says(DOCUMENT, "a wall")));
    HOLD(draw(&cad, ", a door"));
    later(&scene, 5);
    SOON(is(FLOATLEASE_STATE_LOST));
    SOON((listen(&cad), says(DOCUMENT, "a wall, a door")));
    HOLD(!draw(&cad, "no more"));
    control(&scene, "DELETE /faults", NULL);
    later(&scene, 2);
    SOON(is(FLOATLEASE_STATE_ACTIVE));
    HOLD(draw(&cad, ", a window") && slots_of_my_desk(&scene) == 2);
    end(&scene);
    puts("An outage: the document was saved in time and again at the end, and work went on afterwards.");
}

static void a_trip(void)
{
    struct scene scene = begin();

    HOLD(go_to_the_office(&cad) == FLOATLEASE_OK);
    begin_trip(&cad);
    HOLD(cad.on_trip && slots_of_my_desk(&scene) == 1);
    cad_end(&cad);

    outage(&scene);
    start(&scene);
    HOLD(go_on_with_a_trip(&cad) && draw(&cad, "a wall"));
    later(&scene, 9 * 60);
    SOON((listen(&cad), is(FLOATLEASE_STATE_BORROWED)));
    cad_end(&cad);

    control(&scene, "DELETE /faults", NULL);
    start(&scene);
    HOLD(go_on_with_a_trip(&cad));
    /* The start before may be leaving still, in the background of this process; until then it shares the borrow. */
    SOON((end_trip(&cad), !strstr(control(&scene, "GET /slots", NULL), "\"borrowed\":true")));
    HOLD(!cad.on_trip && slots_of_my_desk(&scene) == 2);
    end(&scene);
    puts("A trip: MESH came along, a start needed no network, and an early return gave it back.");
}

static void a_trip_that_is_too_long(void)
{
    struct scene scene = begin();

    HOLD(go_to_the_office(&cad) == FLOATLEASE_OK);
    begin_trip(&cad);
    HOLD(cad.on_trip && draw(&cad, "a wall"));
    outage(&scene);
    later(&scene, 11 * 60);
    HOLD(is(FLOATLEASE_STATE_BORROWED));
    later(&scene, 61);
    SOON(is(FLOATLEASE_STATE_LOST));
    SOON((listen(&cad), says(DOCUMENT, "a wall")));
    end(&scene);
    puts("A trip longer than the borrow: the document was saved.");
}

int main(void)
{
    both_or_none();
    the_document_is_saved();
    a_trip();
    a_trip_that_is_too_long();
    return 0;
}
