/*
 * Does the editor lose its license as it should, and nothing else? A sandbox is its license server: hours pass at once,
 * replies are lost on purpose, and colleagues take the slots. docs/testing-your-integration.md explains each call.
 *
 *     cc test_save_your_work.c editor.c -lfloatlease -lfloatlease_sandbox -o test_save_your_work
 */
#define _POSIX_C_SOURCE 200809L
#include "editor.h"
#include "scene.h"

#define FILE_NAME "test_save_your_work.txt"

static struct editor editor;

static struct scene begin(void)
{
    struct scene scene;

    remove(FILE_NAME);
    HOLD(floatlease_client_open(begin_scene(&scene), &scene.client, NULL) == FLOATLEASE_OK);
    editor = (struct editor){.client = scene.client, .file = FILE_NAME};
    return scene;
}

/* The same, and a day's work is in the editor. */
static struct scene begin_to_work(void)
{
    struct scene scene = begin();

    HOLD(editor_license(&editor) && editor_type(&editor, "a day's work"));
    return scene;
}

static void end(struct scene *scene)
{
    control(scene, "DELETE /faults", NULL);
    editor_close(&editor);
    HOLD(slots_of_my_desk(scene) == 0);
    end_scene(scene);
    remove(FILE_NAME);
}

/* Returns whether the status line contains the text by now. */
static bool notices(const char *text)
{
    editor_tick(&editor);
    return strstr(editor.notice, text) != NULL;
}

static bool notices_nothing(void)
{
    editor_tick(&editor);
    return editor.notice[0] == '\0';
}

/* Every minute something may happen. */
static void work_for(struct scene *scene, int minutes)
{
    for (int minute = 0; minute < minutes; minute++) {
        pass(scene, 1);
        SOON(is_settled(editor.lease));
        editor_tick(&editor);
        HOLD(editor_is_licensed(&editor));
    }
}

/* The work is saved, licensed work is over, and the document is still the user's. */
static void holds_saved_work(void)
{
    SOON(notices("Licensed work is over. Your work is saved in " FILE_NAME));
    HOLD(!editor_is_licensed(&editor) && !editor_type(&editor, "more"));
    HOLD(says(FILE_NAME, "a day's work"));
    remove(FILE_NAME);
    HOLD(editor_save(&editor) && says(FILE_NAME, "a day's work"));
}

static void trouble_that_passes(void)
{
    struct scene scene = begin_to_work();

    control(&scene, "POST /faults/profile", "{\"profile\":\"server-restart\"}");
    work_for(&scene, 75);
    SOON(notices_nothing());

    control(&scene, "PUT /faults", "{\"faults\":[]}");
    control(&scene, "POST /faults/profile", "{\"profile\":\"outage\",\"until\":\"now+100m\"}");
    pass(&scene, 90);
    SOON(notices("does not answer. You can work on for"));
    HOLD(editor_type(&editor, "!"));
    pass(&scene, 480);
    SOON(notices_nothing());
    control(&scene, "GET /invariants", NULL);
    HOLD(strstr(reply, "\"faults_without_effect\":[]"));

    control(&scene, "POST /faults/profile", "{\"profile\":\"flaky-wifi\",\"seed\":3}");
    work_for(&scene, 480);
    HOLD(says(FILE_NAME, NULL) && slots_of_my_desk(&scene) == 1);
    end(&scene);
    puts("A restart, an outage, a night's sleep, a day of bad Wi-Fi: the editor worked on and saved nothing.");
}

static void an_outage_without_end(void)
{
    struct scene scene = begin_to_work();

    outage(&scene);
    pass(&scene, 119);
    SOON(notices("You can work on for 5 minutes"));
    HOLD(says(FILE_NAME, NULL));
    pass(&scene, 2);
    SOON(notices("Licensed work ends soon. Your work is saved in " FILE_NAME));
    HOLD(says(FILE_NAME, "a day's work") && editor_type(&editor, "!"));
    pass(&scene, 5);
    SOON(notices("Licensed work is over."));
    HOLD(says(FILE_NAME, "a day's work!"));
    control(&scene, "DELETE /faults", NULL);
    pass(&scene, 2);
    SOON(notices_nothing());
    HOLD(editor_type(&editor, "!") && slots_of_my_desk(&scene) == 1);
    end(&scene);
    puts("An outage longer than the slot's time: the work was saved, the editor stopped, and went on afterwards.");
}

static void a_server_that_wants_to_be_left_alone(void)
{
    struct scene scene = begin_to_work();

    control(&scene, "POST /faults", "{\"do\":{\"before\":{\"http\":{\"status\":503,\"retry_after_s\":6000}}}}");
    work_for(&scene, 119);
    HOLD(notices("You can work on for") && says(FILE_NAME, NULL));
    pass(&scene, 6);
    holds_saved_work();
    control(&scene, "POST /journal/expect", "{\"filter\":{\"status\":503},\"at_least\":1,\"at_most\":20}");
    end(&scene);
    puts("A server that wants to be left alone: it was asked a few times, and the work was saved.");
}

static void a_colleague_has_the_slot(void)
{
    struct scene scene = begin_to_work();

    outage(&scene);
    control(&scene, "POST /clock/advance", "{\"by\":\"121m\"}");
    HOLD(strstr(reply, "\"slot_expired\"") && strstr(reply, "\"my-desk\""));
    colleagues_come(&scene);
    control(&scene, "DELETE /faults", NULL);
    HOLD(floatlease_client_advance_clock(scene.client, 121 * 60000) == FLOATLEASE_OK);
    SOON(notices("No floating slot is free"));
    HOLD(notices("Licensed work ends soon. Your work is saved in " FILE_NAME));
    HOLD(floatlease_client_advance_clock(scene.client, 5 * 60000) == FLOATLEASE_OK);
    holds_saved_work();
    HOLD(slots_of_my_desk(&scene) == 0);
    end(&scene);
    puts("A colleague took the slot meanwhile: the work was saved, and the editor stopped.");
}

static void the_server_says_no(void)
{
    struct scene scene = begin_to_work();

    control(&scene, "POST /faults", "{\"do\":{\"before\":{\"code\":\"license_expired\"}}}");
    pass(&scene, 75);
    SOON(notices("The license has expired"));
    HOLD(editor_is_licensed(&editor) && says(FILE_NAME, "a day's work"));
    pass(&scene, 5);
    holds_saved_work();
    end(&scene);
    puts("The license expired: the work was saved, and the editor stopped.");
}

static void a_lost_reply(void)
{
    struct scene scene = begin();

    control(&scene, "POST /faults",
            "{\"match\":{\"operation\":\"activate_license\"},\"when\":{\"times\":1},"
            "\"do\":{\"after_commit\":\"close\"}}");
    HOLD(editor_license(&editor));
    control(&scene, "POST /journal/expect", "{\"filter\":{\"event\":\"activated\"},\"times\":1}");

    control(&scene, "PUT /faults",
            "{\"faults\":[{\"match\":{\"operation\":\"check_license\"},\"do\":{\"after_commit\":\"reset\"}}]}");
    pass(&scene, 75);
    SOON(notices("does not answer"));
    HOLD(slots_of_my_desk(&scene) == 1);
    control(&scene, "DELETE /faults", NULL);
    pass(&scene, 2);
    SOON(notices_nothing());
    HOLD(slots_of_my_desk(&scene) == 1);
    control(&scene, "POST /journal/expect", "{\"filter\":{\"event\":\"slot_taken\"},\"times\":1}");
    end(&scene);
    puts("Replies lost after their commit: the editor holds exactly one slot.");
}

static void the_last_seat_is_taken(void)
{
    struct scene scene = begin();

    colleagues_come(&scene);
    HOLD(!editor_license(&editor));
    HOLD(strstr(editor.notice, "Wait until a colleague releases a slot"));
    HOLD(!editor_type(&editor, "work"));
    pass(&scene, 121);
    HOLD(editor_license(&editor) && editor_type(&editor, "work"));
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
