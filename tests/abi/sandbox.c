/*
 * The sandbox's library beside the client's, as a C program's tests would use them, and everything that can be done
 * wrong with it: each mistake must be a status, never a crash. Run by tests/c_programs.rs, also under valgrind.
 */
#define _GNU_SOURCE
#include "sandbox.h"

#include <pthread.h>
#ifndef _WIN32
#include <sys/wait.h>
#include <unistd.h>
#endif

#define THREADS 8

static void a_license_is_taken_and_given_back(void)
{
    struct sandbox sandbox = started();
    floatlease_client *client = client_on(sandbox, "sandbox-1");
    char *json = NULL;

    EXPECT(floatlease_borrow_license(client, NULL, NULL), FLOATLEASE_E_DEVICE_NOT_FOUND);
    EXPECT(floatlease_activate_license(client, NULL, NULL), FLOATLEASE_OK);
    EXPECT(floatlease_borrow_license(client, NULL, &json), FLOATLEASE_OK);
    HOLD(json && strstr(json, "\"borrowed_until\""));
    floatlease_string_free(json);
    EXPECT(floatlease_release_license(client, NULL, NULL), FLOATLEASE_OK);
    EXPECT(floatlease_release_license(client, NULL, NULL), FLOATLEASE_E_FLOATING_NOT_AVAILABLE);
    stopped(sandbox);
    EXPECT(floatlease_check_license(client, NULL, NULL), FLOATLEASE_E_CONNECT);
    floatlease_client_close(client);
}

/* Two sandboxes are two servers: neither the keys nor the seats of the one are those of the other. */
static void sandboxes_know_nothing_of_each_other(void)
{
    struct sandbox one = started(), two = started();
    floatlease_client *on_one = client_on(one, "sandbox-1"), *on_two = client_on(two, "sandbox-1");

    EXPECT(floatlease_activate_license(on_one, NULL, NULL), FLOATLEASE_OK);
    EXPECT(floatlease_check_license(on_two, NULL, NULL), FLOATLEASE_E_DEVICE_NOT_FOUND);
    stopped(one);
    EXPECT(floatlease_activate_license(on_two, NULL, NULL), FLOATLEASE_OK);
    floatlease_client_close(on_one);
    floatlease_client_close(on_two);
    stopped(two);
}

static void controlled(struct sandbox sandbox)
{
    char *json = NULL;

    EXPECT(floatlease_sandbox_control(sandbox.handle, "GET /clock", NULL, &json), FLOATLEASE_OK);
    HOLD(json && json[0] == '{');
    floatlease_sandbox_string_free(json);
    EXPECT(floatlease_sandbox_control(sandbox.handle, "GET /clock", NULL, NULL), FLOATLEASE_OK);
    EXPECT(floatlease_sandbox_control(sandbox.handle, "GET /nothing", NULL, &json), FLOATLEASE_E_SANDBOX);
    HOLD(json && strstr(json, "\"SANDBOX\"") && strstr(json, "/nothing") && strstr(json, "\"rejected\""));
    floatlease_sandbox_string_free(json);
}

static void control(struct sandbox sandbox, const char *method_path, const char *request)
{
    char *json = NULL;
    floatlease_status status = floatlease_sandbox_control(sandbox.handle, method_path, request, &json);

    if (status != FLOATLEASE_OK)
        fprintf(stderr, "%s %s: %s\n", method_path, request ? request : "", json);
    floatlease_sandbox_string_free(json);
    EXPECT(status, FLOATLEASE_OK);
}

/* A borrow whose reply is lost: the client can't know, the sandbox does. Then time takes the slot back. */
static void broken_on_purpose(struct sandbox sandbox)
{
    static const char *const faults[] = {
        "{\"do\":{\"after_commit\":\"reset\"}}",
        "{\"do\":{\"after_commit\":\"close\"}}",
        "{\"do\":{\"before\":\"refuse\"}}",
    };
    static const char three[] = "{\"filter\":{\"operation\":\"borrow_license\",\"status\":null},\"times\":3}";
    floatlease_client *client = client_on(sandbox, "sandbox-broken");
    char *json = NULL;

    EXPECT(floatlease_activate_license(client, NULL, NULL), FLOATLEASE_OK);
    control(sandbox, "POST /clock", "{\"rate\":0}");
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        control(sandbox, "POST /faults", faults[i]);
        EXPECT(floatlease_borrow_license(client, NULL, &json), FLOATLEASE_E_CONNECTION_LOST);
        HOLD(json && strstr(json, "\"outcome\":\"unknown\""));
        floatlease_string_free(json);
        control(sandbox, "DELETE /faults", NULL);
    }
    control(sandbox, "POST /journal/expect", three);
    EXPECT(floatlease_sandbox_control(sandbox.handle, "POST /journal/expect", "{\"times\":0}", NULL),
           FLOATLEASE_E_SANDBOX);

    EXPECT(floatlease_sandbox_control(sandbox.handle, "GET /slots", NULL, &json), FLOATLEASE_OK);
    HOLD(json && strstr(json, "\"sandbox-broken\"") && strstr(json, "\"borrowed\":true"));
    floatlease_sandbox_string_free(json);
    EXPECT(floatlease_sandbox_control(sandbox.handle, "POST /clock/advance", "{\"by\":\"25h\"}", &json), FLOATLEASE_OK);
    HOLD(json && strstr(json, "\"borrow_ended\"") && strstr(json, "\"sandbox-broken\""));
    floatlease_sandbox_string_free(json);
    EXPECT(floatlease_release_license(client, NULL, NULL), FLOATLEASE_E_FLOATING_NOT_AVAILABLE);
    EXPECT(floatlease_sandbox_control(sandbox.handle, "GET /invariants", NULL, &json), FLOATLEASE_OK);
    HOLD(json && strstr(json, "\"ok\":true"));
    floatlease_sandbox_string_free(json);
    floatlease_client_close(client);
}

static void nulls(struct sandbox sandbox)
{
    char *json = (char *)"not touched";

    floatlease_sandbox_stop(NULL);
    floatlease_sandbox_string_free(NULL);
    EXPECT(floatlease_sandbox_start(NULL, NULL, NULL), FLOATLEASE_E_NULL_POINTER);
    EXPECT(floatlease_sandbox_start("{}", NULL, &json), FLOATLEASE_E_NULL_POINTER);
    HOLD(json && strstr(json, "sandbox_out"));
    floatlease_sandbox_string_free(json);
    EXPECT(floatlease_sandbox_control(NULL, NULL, NULL, &json), FLOATLEASE_E_HANDLE);
    HOLD(json && strstr(json, "\"HANDLE\""));
    floatlease_sandbox_string_free(json);

    EXPECT(floatlease_sandbox_control(sandbox.handle, NULL, NULL, &json), FLOATLEASE_E_NULL_POINTER);
    HOLD(json && strstr(json, "method_path"));
    floatlease_sandbox_string_free(json);
}

static void texts(struct sandbox sandbox)
{
    static const struct {
        const char *text;
        floatlease_status wanted;
    } bad[] = {
        {"\xff\xfe", FLOATLEASE_E_UTF8}, {"hello", FLOATLEASE_E_JSON}, {"{\"a\":", FLOATLEASE_E_JSON},
        {"[]", FLOATLEASE_E_JSON},       {"7", FLOATLEASE_E_JSON},     {"null", FLOATLEASE_E_JSON},
    };
    char *deep = malloc(200002), *json = NULL;

    memset(deep, '[', 200000);
    deep[200000] = '\0';
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        floatlease_sandbox *none = (floatlease_sandbox *)&checks;

        EXPECT(floatlease_sandbox_start(bad[i].text, &none, &json), bad[i].wanted);
        HOLD(none == NULL);
        HOLD(json && strstr(json, floatlease_status_name(bad[i].wanted)) && strstr(json, "\"not_sent\""));
        floatlease_sandbox_string_free(json);
        EXPECT(floatlease_sandbox_control(sandbox.handle, "GET /clock", bad[i].text, NULL), bad[i].wanted);
    }
    EXPECT(floatlease_sandbox_control(sandbox.handle, "GET /clock", deep, NULL), FLOATLEASE_E_JSON);
    EXPECT(floatlease_sandbox_control(sandbox.handle, "\xff", NULL, NULL), FLOATLEASE_E_UTF8);
    EXPECT(floatlease_sandbox_control(sandbox.handle, "", NULL, NULL), FLOATLEASE_E_SANDBOX);
    EXPECT(floatlease_sandbox_control(sandbox.handle, "/clock", NULL, NULL), FLOATLEASE_E_SANDBOX);
    free(deep);
}

static void expect_bad(void *handle)
{
    EXPECT(floatlease_sandbox_control(handle, "GET /clock", NULL, NULL), FLOATLEASE_E_HANDLE);
    floatlease_sandbox_stop(handle);
}

static void handles(void)
{
    struct sandbox sandbox = started();
    floatlease_client *client = client_on(sandbox, "sandbox-1");
    void *memory = malloc(64);

    /* One library's handle given to the other. */
    expect_bad(client);
    EXPECT(floatlease_check_license((floatlease_client *)sandbox.handle, NULL, NULL), FLOATLEASE_E_HANDLE);
    floatlease_client_close((floatlease_client *)sandbox.handle);

    expect_bad(memory);
    expect_bad(&checks);
    expect_bad((void *)(uintptr_t)1);
    expect_bad((void *)UINTPTR_MAX);
    expect_bad((void *)((uintptr_t)sandbox.handle + 100000));
    free(memory);
    EXPECT(floatlease_sandbox_control(sandbox.handle, "GET /clock", NULL, NULL), FLOATLEASE_OK);
    EXPECT(floatlease_activate_license(client, NULL, NULL), FLOATLEASE_OK);
    floatlease_client_close(client);

    floatlease_sandbox_stop(sandbox.handle);
    expect_bad(sandbox.handle);

    /* The slot is used again, the old token stays dead. */
    struct sandbox reborn = started();
    HOLD(reborn.handle != sandbox.handle);
    expect_bad(sandbox.handle);
    EXPECT(floatlease_sandbox_control(reborn.handle, "GET /clock", NULL, NULL), FLOATLEASE_OK);
    stopped(reborn);
    floatlease_sandbox_string_free(sandbox.json);
}

static pthread_barrier_t barrier;

static void *stop_it(void *sandbox)
{
    pthread_barrier_wait(&barrier);
    floatlease_sandbox_stop(sandbox);
    return NULL;
}

static void *control_it(void *sandbox)
{
    floatlease_status status;

    pthread_barrier_wait(&barrier);
    do
        status = floatlease_sandbox_control(sandbox, "GET /clock", NULL, NULL);
    while (status == FLOATLEASE_OK);
    return (void *)(intptr_t)status;
}

static void stopped_by_many_while_it_is_controlled(void)
{
    struct sandbox sandbox = started();
    pthread_t controllers[THREADS], stoppers[THREADS];
    void *status;

    pthread_barrier_init(&barrier, NULL, 2 * THREADS);
    for (int i = 0; i < THREADS; i++) {
        pthread_create(&controllers[i], NULL, control_it, sandbox.handle);
        pthread_create(&stoppers[i], NULL, stop_it, sandbox.handle);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(stoppers[i], NULL);
        pthread_join(controllers[i], &status);
        HOLD((intptr_t)status == FLOATLEASE_E_HANDLE || (intptr_t)status == FLOATLEASE_E_SANDBOX);
    }
    pthread_barrier_destroy(&barrier);
    expect_bad(sandbox.handle);
    floatlease_sandbox_string_free(sandbox.json);
}

#ifdef _WIN32 /* has no fork */
static void forked(void)
{
}
#else
static void forked(void)
{
    struct sandbox sandbox = started();
    int status = 0;
    pid_t child = fork();

    if (child == 0) {
        floatlease_client *client = client_on(sandbox, "sandbox-child");

        EXPECT(floatlease_sandbox_control(sandbox.handle, "GET /clock", NULL, NULL), FLOATLEASE_E_FORKED);
        floatlease_sandbox_stop(sandbox.handle);
        EXPECT(floatlease_activate_license(client, NULL, NULL), FLOATLEASE_OK);
        floatlease_client_close(client);

        struct sandbox own = started();
        EXPECT(floatlease_sandbox_control(sandbox.handle, "GET /clock", NULL, NULL), FLOATLEASE_E_FORKED);
        client = client_on(own, "sandbox-child");
        EXPECT(floatlease_activate_license(client, NULL, NULL), FLOATLEASE_OK);
        floatlease_client_close(client);
        stopped(own);
        /* By exec, so that a leak checker does not take what the parent's threads hold for lost. */
        execlp("true", "true", (char *)NULL);
        _exit(1);
    }
    HOLD(waitpid(child, &status, 0) == child);
    HOLD(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    EXPECT(floatlease_sandbox_control(sandbox.handle, "GET /clock", NULL, NULL), FLOATLEASE_OK);
    stopped(sandbox);
}
#endif

int main(void)
{
    struct sandbox sandbox = started();

    controlled(sandbox);
    broken_on_purpose(sandbox);
    nulls(sandbox);
    texts(sandbox);
    stopped(sandbox);
    a_license_is_taken_and_given_back();
    sandboxes_know_nothing_of_each_other();
    handles();
    stopped_by_many_while_it_is_controlled();
    forked();
    printf("sandbox: %d checks hold\n", checks);
    return 0;
}
