/*
 * Looks for keys, passwords and tokens in all of its own memory: there while a client is open, and gone once it is
 * closed. Run by tests/c_programs.rs with a config on standard input, for the environment would be one more place.
 */
#define _GNU_SOURCE
#include "expect.h"

#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

/* What is looked for must not be found here, so it is kept in another form. */
#define MASK 0x5a
#define LONGEST 512

struct secret {
    const char *key;
    size_t length;
    unsigned char masked[LONGEST];
};

/* Of the config; and of requests, here as they are masked already. */
static struct secret secrets[] = {{"license_key", 0, {0}}, {"api_key", 0, {0}}, {"shared_key", 0, {0}},
                                  {"password", 0, {0}},    {"id_token", 0, {0}}};
#define SECRETS (sizeof secrets / sizeof *secrets)
#define OF_CONFIG 3

static char config[16384];
static char request[2048];
static unsigned char seen[1 << 20];

/* Notes a member of the config. */
static void note(struct secret *secret)
{
    char name[64];

    snprintf(name, sizeof name, "\"%s\":\"", secret->key);
    const char *found = strstr(config, name);
    HOLD(found != NULL);
    found += strlen(name);
    while (found[secret->length] != '"') {
        HOLD(secret->length < LONGEST);
        secret->masked[secret->length] = (unsigned char)found[secret->length] ^ MASK;
        secret->length++;
    }
    HOLD(secret->length >= 12);
}

/* Makes one up that stands nowhere in this program. */
static void invent(struct secret *secret)
{
    for (secret->length = 0; secret->length < 40; secret->length++)
        secret->masked[secret->length] = (unsigned char)('a' + (secret->length * 7 + secret->key[0]) % 26) ^ MASK;
}

/* A request that names a user, or a token; to be wiped when it was asked. */
static const char *asking(const struct secret *secret, const char *beside)
{
    size_t length = (size_t)snprintf(request, sizeof request, "{%s,\"%s\":\"", beside, secret->key);

    for (size_t i = 0; i < secret->length; i++)
        request[length++] = (char)(secret->masked[i] ^ MASK);
    memcpy(request + length, "\"}", 3);
    return request;
}

static int is_here(const struct secret *secret, const unsigned char *at)
{
    for (size_t i = 0; i < secret->length; i++)
        if ((at[i] ^ MASK) != secret->masked[i])
            return 0;
    return 1;
}

/* How often a secret stands in what was read. */
static int counted(const struct secret *secret, size_t length)
{
    int found = 0;

    for (size_t at = 0; at + secret->length <= length; at++)
        found += is_here(secret, seen + at);
    return found;
}

/* How often each secret stands in the memory of this process, but for where it is read to. */
static int everywhere(int found[SECRETS])
{
    FILE *maps = fopen("/proc/self/maps", "r");
    int memory = open("/proc/self/mem", O_RDONLY), all = 0;
    char line[512];

    HOLD(maps && memory >= 0);
    memset(found, 0, SECRETS * sizeof *found);
    while (fgets(line, sizeof line, maps)) {
        unsigned long from, to;
        char access[5];

        HOLD(sscanf(line, "%lx-%lx %4s", &from, &to, access) == 3);
        if (access[0] != 'r' || strstr(line, "[v"))
            continue;
        while (from < to) {
            unsigned long own = (unsigned long)seen, end = own + sizeof seen;
            unsigned long until = from < own && own < to ? own : to;

            if (from >= own && from < end) {
                from = end;
                continue;
            }
            size_t wanted = until - from < sizeof seen ? until - from : sizeof seen;
            ssize_t got = pread(memory, seen, wanted, (off_t)from);
            if (got <= 0)
                break;
            for (size_t i = 0; i < SECRETS; i++)
                found[i] += counted(&secrets[i], (size_t)got);
            /* What stands across two pieces is read again with the next. */
            from += (size_t)got < until - from ? (size_t)got - LONGEST : (size_t)got;
        }
    }
    memset(seen, 0, sizeof seen);
    fclose(maps);
    close(memory);
    for (size_t i = 0; i < SECRETS; i++)
        all += found[i];
    return all;
}

static void show(const char *when, const int found[SECRETS])
{
    printf("%s:", when);
    for (size_t i = 0; i < SECRETS; i++)
        printf(" %s %d", secrets[i].key, found[i]);
    printf("\n");
    fflush(stdout);
}

/* The kinds of calls that there are, each more than once, some of which fail. */
static void use(floatlease_client *client)
{
    static const char *const verbs[] = {"check_license", "borrow_license", "release_license", "check_feature",
                                        "product_details", "add_consumption", "sync_consumptions"};
    floatlease_lease *lease = NULL;
    uint64_t ticket;
    char *json = NULL;

    floatlease_activate_license(client, NULL, NULL);
    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
            floatlease_call(client, verbs[i], NULL, NULL);
            floatlease_submit(client, verbs[i], NULL, &ticket);
        }
    floatlease_add_consumption(client, "{\"offline\":\"queue\"}", NULL);
    floatlease_check_license(client, "{\"timeout_ms\":1}", NULL);
    floatlease_check_license(client, asking(&secrets[3], "\"username\":\"somebody@example.com\""), NULL);
    floatlease_submit(client, "activate_license", asking(&secrets[3], "\"username\":\"somebody@example.com\""), &ticket);
    floatlease_activate_license(client, asking(&secrets[4], "\"customer_account_code\":\"C\""), NULL);
    floatlease_activate_license(client, asking(&secrets[4], "\"customer_account_code\":\"C\",\"unknown\":1"), NULL);
    floatlease_activate_license(client, asking(&secrets[4], "nonsense"), NULL);
    explicit_bzero(request, sizeof request);

    EXPECT(floatlease_lease_acquire(client, NULL, &lease, NULL), FLOATLEASE_OK);
    EXPECT(floatlease_client_advance_clock(client, 5400000), FLOATLEASE_OK);
    for (int i = 0; i < 40 && floatlease_next_event(client, 100, &json) == FLOATLEASE_OK; i++)
        floatlease_string_free(json);
    floatlease_lease_renew(lease, NULL); /* over, if a submitted release came behind */
    EXPECT(floatlease_client_diagnose(client, &json), FLOATLEASE_OK);
    floatlease_string_free(json);
    floatlease_lease_free(lease);
}

int main(void)
{
    floatlease_client *client = NULL, *none = NULL;
    int found[SECRETS], all = 0;
    size_t length = 0;
    ssize_t got;

    while ((got = read(0, config + length, sizeof config - 1 - length)) > 0)
        length += (size_t)got;
    for (size_t i = 0; i < OF_CONFIG; i++)
        note(&secrets[i]);
    for (size_t i = OF_CONFIG; i < SECRETS; i++)
        invent(&secrets[i]);

    EXPECT(floatlease_client_open(config, &client, NULL), FLOATLEASE_OK);
    /* And configs with mistakes, all of which name the secrets. */
    config[length - 1] = ',';
    memcpy(config + length, "\"hardwareid\":1}", 16);
    EXPECT(floatlease_client_open(config, &none, NULL), FLOATLEASE_E_UNKNOWN_KEY);
    memcpy(config + length, "\"timeout_ms\":0}", 16);
    EXPECT(floatlease_client_open(config, &none, NULL), FLOATLEASE_E_BAD_VALUE);
    memcpy(config + length, "\"timeout_ms\"  }", 16);
    EXPECT(floatlease_client_open(config, &none, NULL), FLOATLEASE_E_JSON);
    explicit_bzero(config, sizeof config);

    use(client);
    everywhere(found);
    show("open", found);
    for (size_t i = 0; i < OF_CONFIG; i++)
        HOLD(found[i] > 0); /* or else nothing would be found anywhere */
    floatlease_client_close(client);

    /* Threads that give back what is held end soon. */
    for (int i = 0; i < 100 && (all = everywhere(found)) > 0; i++)
        usleep(100000);
    show("closed", found);
    HOLD(all == 0);
    printf("forgotten: %d checks hold\n", checks);
    return 0;
}
