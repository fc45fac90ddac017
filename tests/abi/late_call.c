/*
 * Calls from a destructor that runs at the end of a thread, after those of the library's own thread-local data: they work
 * as any other call. Run by tests/hosts.rs. FLOATLEASE_CONFIG names a server and a storage_dir, FLOATLEASE_NAMED_CONFIG one
 * whose name can't be resolved, FLOATLEASE_TLS_CONFIG one with TLS.
 */
#include "host.h"

#include <pthread.h>

static pthread_key_t at_end;
static int is_done;

static void call_everything(void)
{
    static const char queued[] = "{\"feature\":\"RENDER-MINUTES\",\"consumptions\":1,\"offline\":\"queue\"}";
    floatlease_client *client = activated_of("FLOATLEASE_CONFIG"), *named = client_of("FLOATLEASE_NAMED_CONFIG");
    floatlease_client *secure = client_of("FLOATLEASE_TLS_CONFIG");
    floatlease_lease *lease;
    uint64_t ticket;
    char *json = NULL;

    EXPECT(floatlease_check_license(client, NULL, NULL), FLOATLEASE_OK);
    EXPECT(floatlease_check_license(secure, NULL, NULL), FLOATLEASE_OK);
    lease = leased_of(client, NULL);
    HOLD(floatlease_lease_state(lease) == FLOATLEASE_STATE_ACTIVE);
    HOLD(floatlease_add_feature_consumption(client, queued, NULL) != FLOATLEASE_E_INTERNAL);
    EXPECT(floatlease_lease_renew(lease, NULL), FLOATLEASE_OK);
    EXPECT(floatlease_submit(client, "check_license", NULL, &ticket), FLOATLEASE_OK);
    do {
        EXPECT(floatlease_next_event(client, 20000, &json), FLOATLEASE_OK);
        HOLD(json != NULL);
        is_done = strstr(json, "\"COMPLETED\"") != NULL;
        HOLD(!is_done || strstr(json, "\"status\":0,"));
        floatlease_string_free(json);
    } while (!is_done);
    EXPECT(floatlease_client_diagnose(client, NULL), FLOATLEASE_OK);
    HOLD(floatlease_check_license(named, "{\"timeout_ms\":2000}", NULL) != FLOATLEASE_E_INTERNAL);
    EXPECT(floatlease_lease_release(lease, NULL), FLOATLEASE_OK);
    floatlease_lease_free(lease);
    floatlease_client_close(client);
    floatlease_client_close(secure);
    floatlease_client_close(named);
}

/* The C library calls this once more for a key that was set again, and the library's own data is surely gone then. */
static void end_thread(void *rounds)
{
    int *left = rounds;

    if (--*left > 0)
        HOLD(pthread_setspecific(at_end, left) == 0);
    else
        call_everything();
}

static void *run(void *rounds)
{
    floatlease_client *client = activated_of("FLOATLEASE_CONFIG");

    EXPECT(floatlease_check_license(client, NULL, NULL), FLOATLEASE_OK);
    floatlease_client_close(client);
    HOLD(pthread_setspecific(at_end, rounds) == 0);
    return NULL;
}

int main(void)
{
    pthread_t thread;

    HOLD(pthread_key_create(&at_end, end_thread) == 0);
    for (int round = 1; round <= 3; round++) {
        int rounds = round;

        is_done = 0;
        HOLD(pthread_create(&thread, NULL, run, &rounds) == 0);
        HOLD(pthread_join(thread, NULL) == 0);
        HOLD(is_done);
    }
    printf("late_call: %d checks hold\n", checks);
    return 0;
}
