/*
 * Measures the stack that a calling thread needs: each kind of call runs on a stack that is painted before, and what is
 * painted over is counted. Run by tests/hosts.rs with the most bytes that a call may need, which docs/hosts.md promises.
 * FLOATLEASE_CONFIG names a server and a storage_dir, FLOATLEASE_TLS_CONFIG one with TLS, FLOATLEASE_NAMED_CONFIG one whose
 * name can't be resolved.
 */
#define _GNU_SOURCE
#include "host.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#define STACK_BYTES ((size_t)1024 * 1024)
#define PAINT 0xa5

static floatlease_client *plain, *secure, *named;
static floatlease_lease *lease;

static void open_clients(void)
{
    plain = client_of("FLOATLEASE_CONFIG");
    secure = client_of("FLOATLEASE_TLS_CONFIG");
    named = client_of("FLOATLEASE_NAMED_CONFIG");
}

static void call_verbs(void)
{
    EXPECT(floatlease_activate_license(plain, NULL, NULL), FLOATLEASE_OK);
    EXPECT(floatlease_check_license(plain, NULL, NULL), FLOATLEASE_OK);
    EXPECT(floatlease_call(plain, "product_details", NULL, NULL), FLOATLEASE_OK);
}

static void call_by_tls(void)
{
    EXPECT(floatlease_check_license(secure, NULL, NULL), FLOATLEASE_OK);
}

static void call_by_name(void)
{
    HOLD(floatlease_check_license(named, "{\"timeout_ms\":2000}", NULL) != FLOATLEASE_OK);
}

static void acquire(void)
{
    lease = leased_of(plain, "{\"feature\":\"MESH\"}");
}

static void renew_and_borrow(void)
{
    EXPECT(floatlease_lease_renew(lease, NULL), FLOATLEASE_OK);
    EXPECT(floatlease_lease_borrow(lease, NULL, NULL), FLOATLEASE_OK);
    EXPECT(floatlease_lease_info(lease, NULL), FLOATLEASE_OK);
}

static void consume(void)
{
    static const char queued[] = "{\"feature\":\"RENDER-MINUTES\",\"consumptions\":1,\"offline\":\"queue\"}";

    EXPECT(floatlease_add_feature_consumption(plain, queued, NULL), FLOATLEASE_OK);
    EXPECT(floatlease_call(plain, "sync_consumptions", NULL, NULL), FLOATLEASE_OK);
}

static void submit(void)
{
    uint64_t ticket;
    char *json = NULL;

    EXPECT(floatlease_submit(plain, "check_license", NULL, &ticket), FLOATLEASE_OK);
    do {
        floatlease_string_free(json);
        EXPECT(floatlease_next_event(plain, 20000, &json), FLOATLEASE_OK);
    } while (json && !strstr(json, "\"COMPLETED\""));
    HOLD(json != NULL);
    floatlease_string_free(json);
}

static void diagnose(void)
{
    EXPECT(floatlease_client_diagnose(plain, NULL), FLOATLEASE_OK);
    EXPECT(floatlease_client_diagnose(secure, NULL), FLOATLEASE_OK);
}

static void release(void)
{
    EXPECT(floatlease_lease_release(lease, NULL), FLOATLEASE_OK);
    floatlease_lease_free(lease);
}

static void fail(void)
{
    floatlease_client *client = NULL;
    char *json = NULL;

    EXPECT(floatlease_client_open("{\"prodcut\":\"XY\"}", &client, &json), FLOATLEASE_E_UNKNOWN_KEY);
    floatlease_string_free(json);
    EXPECT(floatlease_release_feature(plain, "{\"feature\":\"MESH\"}", &json), FLOATLEASE_E_FLOATING_FEATURE_DEVICE_NOT_IN_USE);
    floatlease_string_free(json);
}

static void close_clients(void)
{
    floatlease_client_close(named);
    floatlease_client_close(secure);
    floatlease_client_close(plain);
}

static void *run(void *call)
{
    (*(void (**)(void))call)();
    return NULL;
}

/* What the thread of this call needs, from its first instruction to its last, with the C library's own share. */
static size_t used_by(void (*call)(void))
{
    unsigned char *stack =
        mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    pthread_attr_t attributes;
    pthread_t thread;
    size_t unused = 0;

    HOLD(stack != MAP_FAILED);
    memset(stack, PAINT, STACK_BYTES);
    HOLD(pthread_attr_init(&attributes) == 0);
    HOLD(pthread_attr_setstack(&attributes, stack, STACK_BYTES) == 0);
    HOLD(pthread_create(&thread, &attributes, run, &call) == 0);
    HOLD(pthread_join(thread, NULL) == 0);
    HOLD(pthread_attr_destroy(&attributes) == 0);
    while (unused < STACK_BYTES && stack[unused] == PAINT)
        unused++;
    HOLD(munmap(stack, STACK_BYTES) == 0);
    return STACK_BYTES - unused;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*call)(void);
    } calls[] = {
        {"open", open_clients},    {"verbs", call_verbs},    {"TLS", call_by_tls},
        {"name", call_by_name},    {"acquire", acquire},     {"renew and borrow", renew_and_borrow},
        {"consume", consume},      {"submit", submit},       {"diagnose", diagnose},
        {"release", release},      {"fail", fail},           {"close", close_clients},
    };
    size_t most = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;

    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        size_t used = used_by(calls[i].call);

        printf("%-17s %6zu bytes\n", calls[i].name, used);
        fflush(stdout);
        HOLD(used <= most);
    }
    printf("stack: %d checks hold\n", checks);
    return 0;
}
