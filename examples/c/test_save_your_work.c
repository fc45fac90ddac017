/*
 * Does the editor lose its license as it should, and nothing else? A sandbox is its license server: hours pass at once,
 * replies are lost on purpose, and colleagues take the slots. docs/testing-your-integration.md explains each call.
 *
 *     cc test_save_your_work.c editor.c -lfloatlease -lfloatlease_sandbox -o test_save_your_work
 */
#include "editor.h"

#include <floatlease_sandbox.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_NAME "test_save_your_work.txt"

#define HOLD(condition)                                                              \
    do {                                                                             \
        if (!(condition)) {                                                          \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            exit(1);                                                                 \
        }                                                                            \
    } while (0)

/* What every test has: a server, an editor, and the time by the editor's clock. */
struct scene {
    floatlease_sandbox *sandbox;
    struct editor editor;
    int64_t now;
};

/* A call of the control interface that must succeed. The reply is in `reply` until the next one. */
static char reply[65536];

static const char *control(struct scene *scene, const char *call, const char *request)
{
    char *json = NULL;
    floatlease_status status = floatlease_sandbox_control(scene->sandbox, call, request, &json);

    snprintf(reply, sizeof reply, "%s", json ? json : "");
    floatlease_sandbox_string_free(json);
    if (status != FLOATLEASE_OK) {
        fprintf(stderr, "%s %s: %s\n", call, request ? request : "", reply);
        exit(1);
    }
    return reply;
}

static struct scene begin(void)
{
    struct scene scene = {.editor = {.file = FILE_NAME}};

    remove(FILE_NAME);
    HOLD(floatlease_sandbox_start("{\"rate\":0}", &scene.sandbox, NULL) == FLOATLEASE_OK);
    control(&scene, "GET /client_config", "{\"hardware_id\":\"my-desk\"}");
    HOLD(floatlease_client_open(reply, &scene.editor.client, NULL) == FLOATLEASE_OK);
    return scene;
}

/* Ends a test: nothing impossible has happened, and the editor leaves no slot behind. */
static void end(struct scene *scene)
{
    control(scene, "DELETE /faults", NULL);
    editor_close(&scene->editor);
    control(scene, "GET /invariants", NULL);
    HOLD(strstr(reply, "\"ok\":true"));
    HOLD(!strstr(reply, "\"hardware_id\":\"my-desk\""));
    floatlease_client_close(scene->editor.client);
    floatlease_sandbox_stop(scene->sandbox);
    remove(FILE_NAME);
}

/* Lets time pass, on the server's clock and on the editor's, and lets the editor do what it does every minute. */
static void pass(struct scene *scene, int minutes)
{
    for (int minute = 0; minute < minutes; minute++) {
        control(scene, "POST /clock/advance", "{\"by\":\"1m\"}");
        scene->now += 60;
        editor_tick(&scene->editor, scene->now);
    }
}

/* The same at once: the machine sleeps, and the editor wakes up when it is over. */
static void sleep_for(struct scene *scene, int minutes)
{
    char request[32];

    snprintf(request, sizeof request, "{\"by\":\"%dm\"}", minutes);
    control(scene, "POST /clock/advance", request);
    scene->now += 60 * minutes;
    editor_tick(&scene->editor, scene->now);
}

/* Two colleagues take the two slots. */
static void colleagues_come(struct scene *scene)
{
    static const char *const desks[] = {"{\"hardware_id\":\"office-1\"}", "{\"hardware_id\":\"office-2\"}"};

    for (int i = 0; i < 2; i++) {
        HOLD(floatlease_activate_license(scene->editor.client, desks[i], NULL) == FLOATLEASE_OK);
        HOLD(floatlease_check_license(scene->editor.client, desks[i], NULL) == FLOATLEASE_OK);
    }
}

static int slots_of_my_desk(struct scene *scene)
{
    int count = 0;

    for (const char *at = control(scene, "GET /slots", NULL); (at = strstr(at, "\"my-desk\"")); at++)
        count++;
    return count;
}

static bool saved(const char *document)
{
    char text[256] = "";
    FILE *file = fopen(FILE_NAME, "rb");

    if (!file)
        return false;
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    return !strcmp(text, document);
}

static bool never_saved(void)
{
    FILE *file = fopen(FILE_NAME, "rb");

    if (file)
        fclose(file);
    return !file;
}

/* The work is saved, once, licensed work is over, and the document is still the user's. */
static void holds_saved_work(struct scene *scene)
{
    HOLD(!scene->editor.licensed);
    HOLD(saved("a day's work"));
    HOLD(strstr(scene->editor.notice, "Your work is saved in " FILE_NAME));
    remove(FILE_NAME);
    pass(scene, 10);
    HOLD(never_saved());
    HOLD(!editor_type(&scene->editor, "more"));
    HOLD(editor_save(&scene->editor) && saved("a day's work"));
}

static void trouble_that_passes(void)
{
    struct scene scene = begin();

    HOLD(editor_license(&scene.editor, scene.now));
    control(&scene, "POST /faults/profile", "{\"profile\":\"server-restart\"}");
    pass(&scene, 60);
    HOLD(strstr(scene.editor.notice, "You can work on for 60 minutes"));
    pass(&scene, 1);
    HOLD(scene.editor.notice[0] == '\0' && scene.editor.ours_until == (61 + 120) * 60);

    control(&scene, "PUT /faults", "{\"faults\":[]}");
    control(&scene, "POST /faults/profile", "{\"profile\":\"outage\",\"until\":\"now+100m\"}");
    pass(&scene, 60);
    sleep_for(&scene, 30);
    HOLD(strstr(scene.editor.notice, "You can work on for 30 minutes"));
    HOLD(editor_type(&scene.editor, "a day's work"));
    sleep_for(&scene, 480);
    HOLD(scene.editor.licensed && never_saved());
    control(&scene, "GET /invariants", NULL);
    HOLD(strstr(reply, "\"faults_without_effect\":[]"));

    control(&scene, "POST /faults/profile", "{\"profile\":\"flaky-wifi\",\"seed\":3}");
    pass(&scene, 480);
    HOLD(scene.editor.licensed && never_saved() && slots_of_my_desk(&scene) == 1);
    end(&scene);
    puts("A restart, an outage, a night's sleep, a day of bad Wi-Fi: the editor worked on and saved nothing.");
}

static void an_outage_without_end(void)
{
    struct scene scene = begin();

    HOLD(editor_license(&scene.editor, scene.now));
    HOLD(editor_type(&scene.editor, "a day's work"));
    control(&scene, "POST /faults/profile", "{\"profile\":\"outage\"}");
    pass(&scene, 60);
    sleep_for(&scene, 59);
    HOLD(scene.editor.licensed && never_saved());
    pass(&scene, 1);
    HOLD(strstr(scene.editor.notice, "has not answered for too long"));
    holds_saved_work(&scene);
    end(&scene);
    puts("An outage longer than the slot's time: the work was saved, once, and the editor stopped.");
}

static void a_server_that_wants_to_be_left_alone(void)
{
    struct scene scene = begin();

    HOLD(editor_license(&scene.editor, scene.now));
    HOLD(editor_type(&scene.editor, "a day's work"));
    control(&scene, "POST /faults", "{\"do\":{\"before\":{\"http\":{\"status\":503,\"retry_after_s\":6000}}}}");
    pass(&scene, 119);
    control(&scene, "POST /journal/expect", "{\"filter\":{\"status\":503},\"times\":1}");
    HOLD(scene.editor.licensed && never_saved());
    pass(&scene, 1);
    control(&scene, "POST /journal/expect", "{\"filter\":{\"status\":503},\"times\":2}");
    holds_saved_work(&scene);
    end(&scene);
    puts("A server that wants to be left alone: the editor asked once more when the time was up, and saved.");
}

static void a_colleague_has_the_slot(void)
{
    static const char only_mine[] = "{\"profile\":\"outage\",\"match\":{\"hardware_id\":\"my-desk\"}}";
    struct scene scene = begin();

    HOLD(editor_license(&scene.editor, scene.now));
    HOLD(editor_type(&scene.editor, "a day's work"));
    control(&scene, "POST /faults/profile", only_mine);
    control(&scene, "POST /clock/advance", "{\"by\":\"121m\"}");
    HOLD(strstr(reply, "\"slot_expired\"") && strstr(reply, "\"my-desk\""));
    colleagues_come(&scene);
    control(&scene, "DELETE /faults", NULL);
    scene.now += 121 * 60;
    editor_tick(&scene.editor, scene.now);
    HOLD(strstr(scene.editor.notice, "No floating slot is free"));
    holds_saved_work(&scene);
    control(&scene, "POST /journal/expect",
            "{\"filter\":{\"hardware_id\":\"my-desk\",\"code\":\"floating_not_available\"},\"times\":1}");
    end(&scene);
    puts("A colleague took the slot meanwhile: the work was saved, once, and the editor stopped.");
}

static void the_server_says_no(void)
{
    struct scene scene = begin();

    HOLD(editor_license(&scene.editor, scene.now));
    HOLD(editor_type(&scene.editor, "a day's work"));
    control(&scene, "POST /faults", "{\"do\":{\"before\":{\"code\":\"license_expired\"}}}");
    pass(&scene, 59);
    HOLD(scene.editor.licensed && never_saved());
    pass(&scene, 1);
    HOLD(strstr(scene.editor.notice, "The license has expired"));
    control(&scene, "DELETE /faults", NULL);
    holds_saved_work(&scene);
    end(&scene);
    puts("The license expired: the work was saved, once, and the editor stopped.");
}

static void a_lost_reply(void)
{
    struct scene scene = begin();

    control(&scene, "POST /faults",
            "{\"match\":{\"operation\":\"activate_license\"},\"when\":{\"times\":1},"
            "\"do\":{\"after_commit\":\"close\"}}");
    HOLD(editor_license(&scene.editor, scene.now));
    control(&scene, "POST /journal/expect", "{\"filter\":{\"operation\":\"activate_license\"},\"times\":2}");
    control(&scene, "POST /journal/expect", "{\"filter\":{\"event\":\"activated\"},\"times\":1}");

    control(&scene, "PUT /faults",
            "{\"faults\":[{\"match\":{\"operation\":\"check_license\"},\"do\":{\"after_commit\":\"reset\"}}]}");
    pass(&scene, 60);
    HOLD(strstr(scene.editor.notice, "You can work on for 60 minutes"));
    HOLD(slots_of_my_desk(&scene) == 1);
    control(&scene, "DELETE /faults", NULL);
    pass(&scene, 1);
    HOLD(scene.editor.notice[0] == '\0' && slots_of_my_desk(&scene) == 1);
    control(&scene, "POST /journal/expect", "{\"filter\":{\"event\":\"slot_taken\"},\"times\":1}");
    end(&scene);
    puts("Replies lost after their commit: the editor asked again, and holds exactly one slot.");
}

static void the_last_seat_is_taken(void)
{
    struct scene scene = begin();

    colleagues_come(&scene);
    HOLD(!editor_license(&scene.editor, scene.now));
    HOLD(strstr(scene.editor.notice, "Wait until a colleague gives a slot back"));
    HOLD(!editor_type(&scene.editor, "work"));
    pass(&scene, 121);
    HOLD(editor_license(&scene.editor, scene.now) && editor_type(&scene.editor, "work"));
    end(&scene);
    puts("No slot at the start: the editor says so, and begins when one is free.");
}

int main(void)
{
    trouble_that_passes();
    an_outage_without_end();
    a_server_that_wants_to_be_left_alone();
    a_colleague_has_the_slot();
    the_server_says_no();
    a_lost_reply();
    the_last_seat_is_taken();
    return 0;
}
