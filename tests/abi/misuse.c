/*
 * Everything a C program can do wrong, against the library that ships: each mistake must be a status, never a crash.
 * Run by tests/c_programs.rs, also under valgrind. FLOATLEASE_CONFIG and FLOATLEASE_SILENT_CONFIG name a real server
 * and one that never answers.
 */
#define _GNU_SOURCE
#include "expect.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>
#ifndef _WIN32
#include <sys/time.h>
#include <sys/wait.h>
#endif

#define THREADS 8

typedef floatlease_status verb(floatlease_client *, const char *, char **);

static verb *const verbs[] = {
    floatlease_activate_license, floatlease_check_license,   floatlease_deactivate_license,
    floatlease_borrow_license,   floatlease_release_license, floatlease_check_feature,
    floatlease_borrow_feature,   floatlease_release_feature, floatlease_add_consumption,
    floatlease_add_feature_consumption,
};
#define VERBS (sizeof verbs / sizeof *verbs)

/* Every function that takes a lease says the same of a bad one; freeing it does nothing. */
static void expect_of_lease(floatlease_lease *bad, floatlease_status wanted)
{
    char *json = NULL;

    HOLD(floatlease_lease_state(bad) == 0);
    HOLD(floatlease_lease_remaining(bad) == 0);
    EXPECT(floatlease_lease_info(bad, &json), wanted);
    HOLD(json && strstr(json, floatlease_status_name(wanted)));
    floatlease_string_free(json);
    EXPECT(floatlease_lease_info(bad, NULL), wanted);
    EXPECT(floatlease_lease_renew(bad, NULL), wanted);
    EXPECT(floatlease_lease_borrow(bad, "{}", NULL), wanted);
    EXPECT(floatlease_lease_borrow(bad, "\xff", NULL), wanted);
    EXPECT(floatlease_lease_release(bad, NULL), wanted);
    floatlease_lease_free(bad);
}

static floatlease_lease *leased(floatlease_client *client, const char *request)
{
    floatlease_lease *lease = NULL;

    EXPECT(floatlease_lease_acquire(client, request, &lease, NULL), FLOATLEASE_OK);
    HOLD(floatlease_lease_state(lease) == FLOATLEASE_STATE_ACTIVE);
    HOLD(floatlease_lease_remaining(lease) > 0);
    return lease;
}

static floatlease_client *opened(const char *variable)
{
    floatlease_client *client = NULL;

    EXPECT(floatlease_client_open(getenv(variable), &client, NULL), FLOATLEASE_OK);
    HOLD(client != NULL);
    return client;
}

/* The same for leases and submitted calls. What is to be given out is nothing then. */
static void without_waiting(floatlease_client *bad, floatlease_status wanted)
{
    floatlease_lease *lease = (floatlease_lease *)&checks;
    uint64_t ticket = 7;
    char *json = (char *)"not touched";

    EXPECT(floatlease_lease_acquire(bad, NULL, &lease, &json), wanted);
    HOLD(lease == NULL);
    HOLD(json && strstr(json, floatlease_status_name(wanted)));
    floatlease_string_free(json);
    lease = (floatlease_lease *)&checks;
    EXPECT(floatlease_lease_accept(bad, 1, &lease, NULL), wanted);
    HOLD(lease == NULL);
    EXPECT(floatlease_submit(bad, "check_license", NULL, &ticket), wanted);
    HOLD(ticket == 0);
    EXPECT(floatlease_cancel(bad, 1), wanted);
    EXPECT(floatlease_next_event(bad, 0, &json), wanted);
    HOLD(json && strstr(json, floatlease_status_name(wanted)));
    floatlease_string_free(json);
    EXPECT(floatlease_client_advance_clock(bad, 1), wanted);
}

/* Every function that takes a handle says the same of a bad one, and leaves an error object. */
static void expect_everywhere(floatlease_client *bad, floatlease_status wanted)
{
    char *json;

    for (size_t i = 0; i < VERBS; i++) {
        json = (char *)"not touched";
        EXPECT(verbs[i](bad, "{}", &json), wanted);
        HOLD(json && strstr(json, floatlease_status_name(wanted)));
        floatlease_string_free(json);
        EXPECT(verbs[i](bad, NULL, NULL), wanted);
    }
    EXPECT(floatlease_call(bad, "check_license", "{}", NULL), wanted);
    EXPECT(floatlease_client_cancel(bad), wanted);
    json = NULL;
    EXPECT(floatlease_client_diagnose(bad, &json), wanted);
    floatlease_string_free(json);
    EXPECT(floatlease_client_diagnose(bad, NULL), wanted);
    without_waiting(bad, wanted);
    floatlease_client_close(bad);
}

static void nulls(void)
{
    floatlease_client *client = (floatlease_client *)&checks;
    char *json = NULL;

    floatlease_string_free(NULL);
    expect_everywhere(NULL, FLOATLEASE_E_HANDLE);
    EXPECT(floatlease_client_open(NULL, &client, &json), FLOATLEASE_E_NULL_POINTER);
    HOLD(client == NULL);
    HOLD(json && strstr(json, "config_json"));
    floatlease_string_free(json);
    EXPECT(floatlease_client_open(NULL, NULL, NULL), FLOATLEASE_E_NULL_POINTER);
    EXPECT(floatlease_client_open(getenv("FLOATLEASE_CONFIG"), NULL, NULL), FLOATLEASE_E_NULL_POINTER);

    client = opened("FLOATLEASE_CONFIG");
    EXPECT(floatlease_call(client, NULL, NULL, NULL), FLOATLEASE_E_NULL_POINTER);
    expect_of_lease(NULL, FLOATLEASE_E_HANDLE);
    EXPECT(floatlease_lease_acquire(client, NULL, NULL, &json), FLOATLEASE_E_NULL_POINTER);
    HOLD(json && strstr(json, "lease_out"));
    floatlease_string_free(json);
    EXPECT(floatlease_lease_acquire(client, NULL, NULL, NULL), FLOATLEASE_E_NULL_POINTER);
    EXPECT(floatlease_lease_accept(client, 1, NULL, NULL), FLOATLEASE_E_NULL_POINTER);
    EXPECT(floatlease_submit(client, "check_license", NULL, NULL), FLOATLEASE_E_NULL_POINTER);
    EXPECT(floatlease_submit(client, NULL, NULL, &(uint64_t){0}), FLOATLEASE_E_NULL_POINTER);
    EXPECT(floatlease_next_event(client, 0, NULL), FLOATLEASE_E_NULL_POINTER);
    EXPECT(floatlease_next_event(client, 0, &json), FLOATLEASE_OK);
    HOLD(json == NULL); /* nothing was submitted */
    floatlease_client_close(client);
}

static void texts(void)
{
    static const struct {
        const char *text;
        floatlease_status wanted;
    } bad[] = {
        {"\xff\xfe", FLOATLEASE_E_UTF8},
        {"{\"feature\":\"\xc3\"}", FLOATLEASE_E_UTF8},
        {"", FLOATLEASE_E_JSON},
        {"hello", FLOATLEASE_E_JSON},
        {"{\"feature\":", FLOATLEASE_E_JSON},
        {"[]", FLOATLEASE_E_JSON},
        {"7", FLOATLEASE_E_JSON},
        {"null", FLOATLEASE_E_JSON},
        {"{\"product\":7}", FLOATLEASE_E_WRONG_TYPE},
        {"{\"license_id\":\"7\"}", FLOATLEASE_E_WRONG_TYPE},
        {"{\"licence_key\":\"A\"}", FLOATLEASE_E_UNKNOWN_KEY},
        {"{\"timeout_ms\":-1}", FLOATLEASE_E_BAD_VALUE},
    };
    floatlease_client *client = opened("FLOATLEASE_CONFIG");
    floatlease_client *none;
    char *deep = malloc(200002);

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        for (size_t v = 0; v < VERBS; v++)
            EXPECT(verbs[v](client, bad[i].text, NULL), bad[i].wanted);
        if (i < 8)
            EXPECT(floatlease_client_open(bad[i].text, &none, NULL), bad[i].wanted);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        floatlease_lease *lease = (floatlease_lease *)&checks;

        EXPECT(floatlease_lease_acquire(client, bad[i].text, &lease, NULL), bad[i].wanted);
        HOLD(lease == NULL);
    }
    EXPECT(floatlease_submit(client, "\xff", NULL, &(uint64_t){0}), FLOATLEASE_E_UTF8);
    EXPECT(floatlease_submit(client, "check_license", "\xff", &(uint64_t){0}), FLOATLEASE_E_UTF8);
    EXPECT(floatlease_submit(client, "borow_license", NULL, &(uint64_t){0}), FLOATLEASE_E_UNKNOWN_OPERATION);
    EXPECT(floatlease_cancel(client, 1), FLOATLEASE_E_TICKET);
    EXPECT(floatlease_call(client, "\xff", NULL, NULL), FLOATLEASE_E_UTF8);
    EXPECT(floatlease_call(client, "", NULL, NULL), FLOATLEASE_E_UNKNOWN_OPERATION);
    EXPECT(floatlease_call(client, "borow_license", NULL, NULL), FLOATLEASE_E_UNKNOWN_OPERATION);

    /* Nesting deep enough to run a careless parser out of its stack. */
    memset(deep, '[', 200000);
    deep[200000] = '\0';
    EXPECT(floatlease_check_license(client, deep, NULL), FLOATLEASE_E_JSON);
    free(deep);
    floatlease_client_close(client);
}

/* All bits by chance, or an open handle of which a few are wrong: no handle, in a process that never forked as well as
 * in a child. */
static void expect_no_handle(uintptr_t open)
{
    uint64_t chance = 0x9e3779b97f4a7c15;

    for (int i = 0; i < 30000; i++) {
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        uintptr_t kind = (uintptr_t)(1 + chance % 2) << (sizeof kind * 8 - 8);
        uintptr_t rest = (uintptr_t)(chance >> 8) & ~((uintptr_t)0xff << (sizeof rest * 8 - 8));
        uintptr_t invented = i % 3 == 0   ? (uintptr_t)chance
                             : i % 3 == 1 ? (kind | rest)
                                          : open ^ (uintptr_t)1 << (chance >> 8) % (sizeof open * 8);

        EXPECT(floatlease_client_cancel((floatlease_client *)invented), FLOATLEASE_E_HANDLE);
        EXPECT(floatlease_lease_info((floatlease_lease *)invented, NULL), FLOATLEASE_E_HANDLE);
    }
}

static void handles(void)
{
    floatlease_client *client = opened("FLOATLEASE_CONFIG");
    floatlease_client *other = opened("FLOATLEASE_CONFIG");
    void *memory = malloc(64);
    /* The highest byte of a token says what kind of handle it is: 1 a client, 2 a lease. */
    uintptr_t lease = ((uintptr_t)client & ~((uintptr_t)0xff << (sizeof lease * 8 - 8))) |
                      (uintptr_t)2 << (sizeof lease * 8 - 8);

    expect_everywhere((floatlease_client *)lease, FLOATLEASE_E_HANDLE);
    expect_everywhere((floatlease_client *)memory, FLOATLEASE_E_HANDLE);
    expect_everywhere((floatlease_client *)&checks, FLOATLEASE_E_HANDLE);
    expect_everywhere((floatlease_client *)(uintptr_t)1, FLOATLEASE_E_HANDLE);
    expect_everywhere((floatlease_client *)UINTPTR_MAX, FLOATLEASE_E_HANDLE);
    expect_everywhere((floatlease_client *)((uintptr_t)client + 100000), FLOATLEASE_E_HANDLE);
    free(memory);
    floatlease_client_close(other);
    expect_no_handle((uintptr_t)client);
    other = opened("FLOATLEASE_CONFIG");

    EXPECT(floatlease_client_cancel(client), FLOATLEASE_OK);
    floatlease_client_close(client);
    floatlease_client_close(client);
    expect_everywhere(client, FLOATLEASE_E_HANDLE);

    /* The slot is used again, the old token stays dead. */
    floatlease_client *reborn = opened("FLOATLEASE_CONFIG");
    HOLD(reborn != client);
    expect_everywhere(client, FLOATLEASE_E_HANDLE);
    EXPECT(floatlease_client_cancel(reborn), FLOATLEASE_OK);
    EXPECT(floatlease_client_cancel(other), FLOATLEASE_OK);
    floatlease_client_close(reborn);
    floatlease_client_close(other);
}

static void leases(void)
{
    static const char *const garbage[] = {"", "7", "{\"borowed_until\":null}", "{\"timeout_ms\":0}"};
    floatlease_client *client = opened("FLOATLEASE_CONFIG");
    void *memory = malloc(64);

    EXPECT(floatlease_activate_license(client, NULL, NULL), FLOATLEASE_OK);
    expect_of_lease((floatlease_lease *)memory, FLOATLEASE_E_HANDLE);
    expect_of_lease((floatlease_lease *)client, FLOATLEASE_E_HANDLE);
    expect_of_lease((floatlease_lease *)(uintptr_t)1, FLOATLEASE_E_HANDLE);
    expect_of_lease((floatlease_lease *)UINTPTR_MAX, FLOATLEASE_E_HANDLE);
    free(memory);

    /* Freed, twice, and used all the same; the slot is used again, the old token stays dead. */
    floatlease_lease *lease = leased(client, NULL);
    expect_everywhere((floatlease_client *)lease, FLOATLEASE_E_HANDLE);
    expect_of_lease((floatlease_lease *)((uintptr_t)lease + 100000), FLOATLEASE_E_HANDLE);
    for (size_t i = 0; i < sizeof garbage / sizeof *garbage; i++)
        HOLD(floatlease_lease_borrow(lease, garbage[i], NULL) != FLOATLEASE_OK);
    EXPECT(floatlease_lease_borrow(lease, "\xff", NULL), FLOATLEASE_E_UTF8);
    EXPECT(floatlease_lease_borrow(lease, NULL, NULL), FLOATLEASE_E_MISSING_KEY); /* without storage_dir */
    HOLD(floatlease_lease_state(lease) == FLOATLEASE_STATE_ACTIVE);
    floatlease_lease_free(lease);
    floatlease_lease_free(lease);
    expect_of_lease(lease, FLOATLEASE_E_HANDLE);
    floatlease_lease *reborn = leased(client, "{\"keep_alive\":\"host\"}");
    expect_of_lease(lease, FLOATLEASE_E_HANDLE);

    /* Given back: over, but still a lease. */
    EXPECT(floatlease_lease_release(reborn, NULL), FLOATLEASE_OK);
    HOLD(floatlease_lease_state(reborn) == FLOATLEASE_STATE_RELEASED && floatlease_lease_remaining(reborn) == 0);
    EXPECT(floatlease_lease_info(reborn, NULL), FLOATLEASE_OK);
    EXPECT(floatlease_lease_renew(reborn, NULL), FLOATLEASE_E_LEASE_OVER);
    EXPECT(floatlease_lease_release(reborn, NULL), FLOATLEASE_E_LEASE_OVER);
    floatlease_lease_free(reborn);

    /* The client is closed before its lease is freed, with another under way to its host. */
    lease = leased(client, NULL);
    uint64_t ticket = 0;
    EXPECT(floatlease_submit(client, "lease_acquire", NULL, &ticket), FLOATLEASE_OK);
    floatlease_client_close(client);
    HOLD(floatlease_lease_state(lease) == FLOATLEASE_STATE_RELEASED && floatlease_lease_remaining(lease) == 0);
    EXPECT(floatlease_lease_info(lease, NULL), FLOATLEASE_OK);
    EXPECT(floatlease_lease_renew(lease, NULL), FLOATLEASE_E_LEASE_OVER);
    floatlease_lease_free(lease);
    expect_of_lease(lease, FLOATLEASE_E_HANDLE);
}

/* What a program does with leases that does it right, many times: for the leak check. */
static void lives_of_leases(void)
{
    for (int round = 0; round < 5; round++) {
        floatlease_client *client = opened("FLOATLEASE_CONFIG");
        char *json = NULL;
        uint64_t ticket = 0;
        floatlease_lease *kept = leased(client, NULL), *hosts = leased(client, "{\"keep_alive\":\"host\"}");
        floatlease_lease *accepted = NULL;

        EXPECT(floatlease_client_advance_clock(client, 5400000), FLOATLEASE_OK);
        EXPECT(floatlease_next_event(client, 20000, &json), FLOATLEASE_OK);
        HOLD(json && strstr(json, "RENEWED"));
        floatlease_string_free(json);
        EXPECT(floatlease_lease_renew(hosts, &json), FLOATLEASE_OK);
        floatlease_string_free(json);
        EXPECT(floatlease_submit(client, "lease_acquire", "{\"feature\":\"MESH\"}", &ticket), FLOATLEASE_OK);
        for (int completed = 0; !completed; floatlease_string_free(json)) {
            EXPECT(floatlease_next_event(client, 20000, &json), FLOATLEASE_OK);
            HOLD(json != NULL);
            completed = strstr(json, "COMPLETED") != NULL;
        }
        EXPECT(floatlease_lease_accept(client, ticket, &accepted, &json), FLOATLEASE_OK);
        floatlease_string_free(json);
        EXPECT(floatlease_lease_release(accepted, NULL), FLOATLEASE_OK);
        floatlease_lease_free(accepted);
        EXPECT(floatlease_lease_release(hosts, NULL), FLOATLEASE_OK);
        EXPECT(floatlease_lease_release(kept, NULL), FLOATLEASE_OK);
        floatlease_lease_free(hosts);
        floatlease_lease_free(kept);
        floatlease_client_close(client);
    }
}

static pthread_barrier_t barrier;

static void *close_it(void *client)
{
    pthread_barrier_wait(&barrier);
    floatlease_client_close(client);
    return NULL;
}

static void closed_by_many(void)
{
    pthread_t threads[THREADS];

    for (int round = 0; round < 50; round++) {
        floatlease_client *client = opened("FLOATLEASE_CONFIG");

        pthread_barrier_init(&barrier, NULL, THREADS);
        for (int i = 0; i < THREADS; i++)
            pthread_create(&threads[i], NULL, close_it, client);
        for (int i = 0; i < THREADS; i++)
            pthread_join(threads[i], NULL);
        pthread_barrier_destroy(&barrier);
        EXPECT(floatlease_client_cancel(client), FLOATLEASE_E_HANDLE);
    }
}

static atomic_int begun;

static void *call_it(void *client)
{
    atomic_fetch_add(&begun, 1);
    return (void *)(intptr_t)floatlease_borrow_license(client, NULL, NULL);
}

static void closed_in_flight(void)
{
    pthread_t threads[THREADS];
    floatlease_client *client = opened("FLOATLEASE_SILENT_CONFIG");
    void *status;

    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, call_it, client);
    while (atomic_load(&begun) < THREADS)
        usleep(1000);
    usleep(500000); /* and each is under way; nothing tells when */
    floatlease_client_close(client);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], &status);
        EXPECT((floatlease_status)(intptr_t)status, FLOATLEASE_E_CANCELLED);
    }
}

#ifdef _WIN32 /* has no fork, and no signal that interrupts a call */
static void forked(void)
{
}

static void interrupted(void)
{
}
#else
static void forked(void)
{
    floatlease_client *client = opened("FLOATLEASE_CONFIG"), *closed = opened("FLOATLEASE_CONFIG");
    int status = 0;

    floatlease_client_close(closed);
    EXPECT(floatlease_activate_license(client, NULL, NULL), FLOATLEASE_OK); /* leaves a kept connection behind */
    /* Without a thread: what a thread holds is lost to a child, and valgrind says so. */
    floatlease_lease *lease = leased(client, "{\"keep_alive\":\"host\"}");
    pid_t child = fork();
    if (child == 0) {
        expect_of_lease(lease, FLOATLEASE_E_FORKED);
        expect_everywhere(client, FLOATLEASE_E_FORKED);
        expect_no_handle((uintptr_t)client);
        expect_everywhere(closed, FLOATLEASE_E_HANDLE);
        floatlease_client *own = opened("FLOATLEASE_CONFIG");
        EXPECT(floatlease_check_license(own, NULL, NULL), FLOATLEASE_OK);
        floatlease_lease *owned = leased(own, NULL);
        expect_everywhere(client, FLOATLEASE_E_FORKED);
        expect_of_lease(lease, FLOATLEASE_E_FORKED);
        HOLD(floatlease_lease_state(owned) == FLOATLEASE_STATE_ACTIVE);
        floatlease_lease_free(owned);
        floatlease_client_close(own);
        _exit(0);
    }
    HOLD(waitpid(child, &status, 0) == child);
    HOLD(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    HOLD(floatlease_lease_state(lease) == FLOATLEASE_STATE_ACTIVE); /* the child's free did nothing to it */
    EXPECT(floatlease_lease_release(lease, NULL), FLOATLEASE_OK);
    floatlease_lease_free(lease);
    EXPECT(floatlease_check_license(client, NULL, NULL), FLOATLEASE_OK);
    EXPECT(floatlease_release_license(client, NULL, NULL), FLOATLEASE_OK);
    floatlease_client_close(client);
}

static volatile sig_atomic_t signals;

static void count_signal(int number)
{
    (void)number;
    signals++;
}

/* A profiler's timer interrupts every wait; calls and deadlines must not notice. */
static void interrupted(void)
{
    struct sigaction action = {.sa_handler = count_signal};
    struct itimerval every_5_ms = {{0, 5000}, {0, 5000}};
    struct itimerval never = {{0, 0}, {0, 0}};
    floatlease_client *client = opened("FLOATLEASE_CONFIG");
    floatlease_client *silent = opened("FLOATLEASE_SILENT_CONFIG");

    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &every_5_ms, NULL);
    for (int i = 0; i < 20; i++)
        EXPECT(floatlease_check_license(client, NULL, NULL), FLOATLEASE_OK);
    EXPECT(floatlease_check_license(silent, "{\"timeout_ms\":300}", NULL), FLOATLEASE_E_TIMEOUT);
    setitimer(ITIMER_REAL, &never, NULL);
    HOLD(signals > 10);
    EXPECT(floatlease_release_license(client, NULL, NULL), FLOATLEASE_OK);
    floatlease_client_close(client);
    floatlease_client_close(silent);
}
#endif

int main(void)
{
    HOLD(floatlease_abi_version() == FLOATLEASE_ABI_VERSION);
    HOLD(strlen(floatlease_version()) >= 5);
    HOLD(strcmp(floatlease_status_name(FLOATLEASE_OK), "OK") == 0);
    HOLD(strcmp(floatlease_status_name(FLOATLEASE_E_FLOATING_NOT_AVAILABLE), "FLOATING_NOT_AVAILABLE") == 0);
    HOLD(strcmp(floatlease_status_name(-1), "UNKNOWN_STATUS") == 0);

    nulls();
    texts();
    handles();
    closed_by_many();
    closed_in_flight();
    forked();
    interrupted();
    leases();
    lives_of_leases();
    printf("misuse: %d checks hold\n", checks);
    return 0;
}
