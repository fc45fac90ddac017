/* How long a host waits for what must not wait, while the server hangs: each function, and the completion of a call that
   is cancelled, at every stage of a call. The server is a sandbox in the same process. */

#include "../tests/abi/sandbox.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENT ",\"timeout_ms\":600000,\"connect_timeout_ms\":600000"
#define HANG "{\"before\":\"hang\"}"
#define MOST 10000

static struct sandbox sandbox;
static const char *separator = "";

static double now_us(void)
{
    return seconds_now() * 1e6;
}

struct samples {
    const char *name;
    int count;
    double us[MOST];
};

static void add(struct samples *samples, double since_us)
{
    if (samples->count < MOST)
        samples->us[samples->count++] = now_us() - since_us;
}

static int by_size(const void *a, const void *b)
{
    double difference = *(const double *)a - *(const double *)b;
    return (difference > 0) - (difference < 0);
}

static void tell(struct samples *samples)
{
    int count = samples->count;

    qsort(samples->us, (size_t)count, sizeof *samples->us, by_size);
    printf("%s\"%s\":{\"p50_us\":%.1f,\"p99_us\":%.1f,\"worst_us\":%.1f}", separator, samples->name,
           samples->us[count / 2], samples->us[count * 99 / 100], samples->us[count - 1]);
    separator = ",";
}

static void faults(const char *what)
{
    char text[256];

    snprintf(text, sizeof text, *what ? "{\"faults\":[{\"do\":%s}]}" : "{\"faults\":[]%s}", what);
    EXPECT(floatlease_sandbox_control(sandbox.handle, "PUT /faults", text, NULL), FLOATLEASE_OK);
}

/* ------------------------------------------------------------------------------------------------- functions -- */

enum { STATE, REMAINING, INFO, NEXT_EVENT, SUBMIT, CANCEL, LEASE_FREE, CLIENT_CLOSE, FUNCTIONS };
static struct samples functions[FUNCTIONS] = {
    {.name = "lease_state"}, {.name = "lease_remaining"}, {.name = "lease_info"}, {.name = "next_event"},
    {.name = "submit"},      {.name = "cancel"},          {.name = "lease_free"}, {.name = "client_close"},
};

#define TIMED(which, call)                                                                                            \
    do {                                                                                                              \
        double start = now_us();                                                                                      \
        call;                                                                                                         \
        add(&functions[which], start);                                                                                \
    } while (0)

/* A lease whose renewal, a call about it and others hang, is looked at and let go of. */
static void while_all_hang(void)
{
    floatlease_client *client = client_with(sandbox, "bench-0", PATIENT);
    floatlease_lease *lease = NULL;
    uint64_t ticket = 0;
    char *json = NULL;

    faults("");
    EXPECT(floatlease_activate_license(client, NULL, NULL), FLOATLEASE_OK);
    EXPECT(floatlease_lease_acquire(client, "{\"release_on_close_ms\":100,\"timeout_ms\":60000}", &lease, NULL),
           FLOATLEASE_OK);
    faults(HANG);
    EXPECT(floatlease_client_advance_clock(client, 5400000), FLOATLEASE_OK);
    EXPECT(floatlease_submit(client, "lease_renew", "{\"lease\":1}", &ticket), FLOATLEASE_OK);
    EXPECT(floatlease_submit(client, "borrow_license", NULL, &ticket), FLOATLEASE_OK);
    usleep(3000);
    TIMED(STATE, floatlease_lease_state(lease));
    TIMED(REMAINING, floatlease_lease_remaining(lease));
    TIMED(INFO, floatlease_lease_info(lease, &json));
    floatlease_string_free(json);
    TIMED(NEXT_EVENT, floatlease_next_event(client, 0, &json));
    floatlease_string_free(json);
    TIMED(SUBMIT, floatlease_submit(client, "borrow_license", NULL, &ticket));
    TIMED(CANCEL, floatlease_cancel(client, ticket));
    TIMED(LEASE_FREE, floatlease_lease_free(lease));
    TIMED(CLIENT_CLOSE, floatlease_client_close(client));
}

/* ------------------------------------------------------------------------------------------------ completions -- */

/* Reads until this event comes. */
static void wait_for(floatlease_client *client, const char *name)
{
    for (int found = 0; !found;) {
        char *json = NULL;

        EXPECT(floatlease_next_event(client, 60000, &json), FLOATLEASE_OK);
        HOLD(json != NULL);
        found = strstr(json, name) != NULL;
        floatlease_string_free(json);
    }
}

/* From the cancel of a call that is at this stage until its completion is there. */
static void cancelled(const char *stage, floatlease_client *client, const char *operation, const char *request,
                      const char *reached, int count)
{
    static struct samples samples;

    samples.name = stage;
    samples.count = 0;
    for (int i = 0; i < count; i++) {
        uint64_t ticket = 0;

        EXPECT(floatlease_submit(client, operation, request, &ticket), FLOATLEASE_OK);
        if (reached)
            wait_for(client, reached);
        /* At any moment of what goes on in slices. */
        usleep(5000 + (useconds_t)i % 40 * 1000);
        double start = now_us();
        EXPECT(floatlease_cancel(client, ticket), FLOATLEASE_OK);
        wait_for(client, "\"CANCELLED\"");
        add(&samples, start);
    }
    tell(&samples);
    floatlease_client_close(client);
}

/* A port on which the system takes up to so many connections, and nobody speaks. */
static struct sockaddr_in silent_port(int backlog)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    HOLD(bind(listener, (struct sockaddr *)&address, length) == 0 && listen(listener, backlog) == 0);
    HOLD(getsockname(listener, (struct sockaddr *)&address, &length) == 0);
    return address;
}

/* One whose queue is full: what comes is dropped, without a refusal. */
static struct sockaddr_in full_port(void)
{
    struct sockaddr_in address = silent_port(0);
    struct pollfd queued = {.events = POLLOUT};

    do {
        queued.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        HOLD(queued.fd >= 0);
        connect(queued.fd, (struct sockaddr *)&address, sizeof address);
    } while (poll(&queued, 1, 200) == 1);
    return address;
}

static floatlease_client *client_at(const char *scheme, struct sockaddr_in address)
{
    floatlease_client *client = NULL;
    char config[512];

    snprintf(config, sizeof config,
             "{\"product\":\"XY\",\"license_key\":\"AAAA\",\"api_key\":\"a\",\"shared_key\":\"s\",\"hardware_id\":\"hw\","
             "\"verify\":\"off\",\"proxy\":\"none\",\"base_url\":\"%s://127.0.0.1:%u/api/v4\"" PATIENT "}",
             scheme, ntohs(address.sin_port));
    EXPECT(floatlease_client_open(config, &client, NULL), FLOATLEASE_OK);
    return client;
}

static floatlease_client *hanging(const char *fault, const char *more)
{
    faults("");
    floatlease_client *client = client_with(sandbox, "bench-0", more);
    EXPECT(floatlease_activate_license(client, NULL, NULL), FLOATLEASE_OK);
    faults(fault);
    return client;
}

static void at_every_stage(int count, const char *folder)
{
    const char *borrow = "borrow_license", *acquire = "lease_acquire";
    char kept[512];
    uint64_t ticket;

    floatlease_client *busy = hanging(HANG, PATIENT);
    for (int i = 0; i < 4; i++)
        EXPECT(floatlease_submit(busy, borrow, NULL, &ticket), FLOATLEASE_OK);
    cancelled("in_line", busy, borrow, NULL, NULL, count);
    cancelled("connecting", client_at("http", full_port()), borrow, NULL, NULL, count);
    cancelled("tls", client_at("https", silent_port(4096)), borrow, NULL, NULL, count);
    cancelled("waiting", hanging(HANG, PATIENT), borrow, NULL, NULL, count);
    const char *dribble = "{\"after_commit\":{\"dribble\":{\"bytes\":1,\"every_ms\":50}}}";
    cancelled("reading", hanging(dribble, PATIENT), borrow, NULL, NULL, count);
    const char *later = "{\"before\":{\"http\":{\"status\":429,\"retry_after_s\":60}}}";
    cancelled("pausing", hanging(later, PATIENT), borrow, NULL, NULL, count);

    snprintf(kept, sizeof kept, ",\"storage_dir\":\"%s\"%s", folder, PATIENT);
    floatlease_client *inside = hanging("", kept), *outside = hanging(HANG, kept);
    EXPECT(floatlease_submit(inside, acquire, NULL, &ticket), FLOATLEASE_OK);
    usleep(50000);
    cancelled("at_the_gate", outside, acquire, NULL, NULL, count);
    floatlease_client_close(inside);

    /* The borrows above may have left this device with a slot, and the two colleagues need both. */
    floatlease_client *tidy = hanging("", "");
    EXPECT(floatlease_deactivate_license(tidy, NULL, NULL), FLOATLEASE_OK);
    floatlease_client_close(tidy);
    floatlease_client *colleagues[2];
    for (int i = 0; i < 2; i++) {
        colleagues[i] = client_with(sandbox, i ? "office-1" : "office-2", "");
        EXPECT(floatlease_activate_license(colleagues[i], NULL, NULL), FLOATLEASE_OK);
        EXPECT(floatlease_check_license(colleagues[i], NULL, NULL), FLOATLEASE_OK);
    }
    floatlease_client *queueing = client_with(sandbox, "latecomer", PATIENT);
    EXPECT(floatlease_activate_license(queueing, NULL, NULL), FLOATLEASE_OK);
    cancelled("queueing", queueing, acquire, "{\"wait_ms\":600000}", "\"WAITING\"", count);
}

int main(int argc, char **argv)
{
    HOLD(argc == 4); /* how often each function, how often each stage, a folder */
    sandbox = started();
    for (int i = atoi(argv[1]); i > 0; i--)
        while_all_hang();
    fputs("{\"functions\":{", stdout);
    for (int i = 0; i < FUNCTIONS; i++)
        tell(&functions[i]);
    fputs("},\"cancelled\":{", stdout);
    separator = "";
    at_every_stage(atoi(argv[2]), argv[3]);
    puts("}}");
    fflush(stdout);
    stopped(sandbox);
}
