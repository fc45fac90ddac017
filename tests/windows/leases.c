/*
 * Leases on Windows: processes that share a slot, one that is killed, a borrow that outlives a restart without a network,
 * a damaged file, a cancel, the hardware id. The server is the sandbox, in this process; the other processes are this
 * program again, told by its argument to hold a lease. Run by scripts/windows/test.
 */
#include "../abi/sandbox.h"

#include <stdbool.h>
#include <wchar.h>
#include <windows.h>

#define DEVICE "desk-1"
#define CONFIG L"FLOATLEASE_TEST_CONFIG"

/* ---- another process */

/* Takes a lease and says so. Told "release", it gives it back; told "leave", it ends as a program does that forgets to. */
static int hold_a_lease(void)
{
    static wchar_t wide[8192];
    static char config[8192];
    floatlease_client *client = NULL;
    floatlease_lease *lease = NULL;
    char *json = NULL;

    HOLD(GetEnvironmentVariableW(CONFIG, wide, 8192) > 0);
    HOLD(WideCharToMultiByte(CP_UTF8, 0, wide, -1, config, sizeof config, NULL, NULL) > 0);
    EXPECT(floatlease_client_open(config, &client, NULL), FLOATLEASE_OK);
    floatlease_status status = floatlease_lease_acquire(client, NULL, &lease, &json);
    if (status != FLOATLEASE_OK)
        fprintf(stderr, "%s\n", json);
    EXPECT(status, FLOATLEASE_OK);
    printf("held\n");
    fflush(stdout);
    if (getchar() != 'r')
        return 0;
    EXPECT(floatlease_lease_release(lease, NULL), FLOATLEASE_OK);
    floatlease_client_close(client);
    return 0;
}

struct holder {
    HANDLE process, orders;
};

/* A process that holds a lease when this returns. */
static struct holder held_by_another(void)
{
    SECURITY_ATTRIBUTES inherited = {.nLength = sizeof inherited, .bInheritHandle = TRUE};
    STARTUPINFOW start = {.cb = sizeof start, .dwFlags = STARTF_USESTDHANDLES};
    PROCESS_INFORMATION started;
    struct holder holder;
    HANDLE answers;
    wchar_t program[MAX_PATH], command[] = L"leases hold";
    char said[5] = "";
    DWORD length = 0;

    HOLD(CreatePipe(&start.hStdInput, &holder.orders, &inherited, 0));
    HOLD(CreatePipe(&answers, &start.hStdOutput, &inherited, 0));
    start.hStdError = GetStdHandle(STD_ERROR_HANDLE);
    HOLD(SetHandleInformation(holder.orders, HANDLE_FLAG_INHERIT, 0));
    HOLD(SetHandleInformation(answers, HANDLE_FLAG_INHERIT, 0));
    HOLD(GetModuleFileNameW(NULL, program, MAX_PATH) > 0);
    HOLD(CreateProcessW(program, command, NULL, NULL, TRUE, 0, NULL, NULL, &start, &started));
    CloseHandle(start.hStdInput);
    CloseHandle(start.hStdOutput);
    CloseHandle(started.hThread);
    holder.process = started.hProcess;
    HOLD(ReadFile(answers, said, 4, &length, NULL) && length == 4 && !strcmp(said, "held"));
    CloseHandle(answers);
    return holder;
}

static void ends(struct holder holder, DWORD wanted)
{
    DWORD code = 0;

    CloseHandle(holder.orders);
    HOLD(WaitForSingleObject(holder.process, 20000) == WAIT_OBJECT_0);
    HOLD(GetExitCodeProcess(holder.process, &code) && code == wanted);
    CloseHandle(holder.process);
}

static void is_told(struct holder holder, const char *order)
{
    DWORD length = 0;

    HOLD(WriteFile(holder.orders, order, (DWORD)strlen(order), &length, NULL));
    ends(holder, 0);
}

static void is_killed(struct holder holder)
{
    HOLD(TerminateProcess(holder.process, 9));
    ends(holder, 9);
}

/* ---- the scene */

static void control(struct sandbox sandbox, const char *method_path, const char *request)
{
    EXPECT(floatlease_sandbox_control(sandbox.handle, method_path, request, NULL), FLOATLEASE_OK);
}

static int slots(struct sandbox sandbox)
{
    char *json = NULL;
    int count = 0;

    EXPECT(floatlease_sandbox_control(sandbox.handle, "GET /slots", NULL, &json), FLOATLEASE_OK);
    for (const char *at = json; (at = strstr(at, "\"hardware_id\"")); at++)
        count++;
    floatlease_sandbox_string_free(json);
    return count;
}

/* The folder's member of a config. It is of nobody's code page, and deeper than the 260 characters of old. */
static const char *folder(const char *name)
{
    static char member[1024];
    static wchar_t path[1024];
    wchar_t temporary[MAX_PATH + 1];
    char utf8[900];
    size_t used;

    HOLD(GetTempPathW(MAX_PATH, temporary) > 0);
    swprintf(path, 1024, L"%lsfloatlease-%lu-%hs", temporary, (unsigned long)GetCurrentProcessId(), name);
    for (int depth = 0; depth < 9; depth++)
        wcscat(path, L"\\B\u00fcro f\u00fcr Lizenzen \u5065 und mehr davon");
    HOLD(wcslen(path) > 260);
    HOLD(WideCharToMultiByte(CP_UTF8, 0, path, -1, utf8, sizeof utf8, NULL, NULL) > 0);
    used = (size_t)snprintf(member, sizeof member, ",\"storage_dir\":\"");
    for (const char *at = utf8; *at; at++) {
        HOLD(used + 4 < sizeof member);
        if (*at == '\\')
            member[used++] = '\\';
        member[used++] = *at;
    }
    snprintf(member + used, sizeof member - used, "\"");
    return member;
}

/* For the other processes: what `client_with` would open a client with. */
static void tell_the_others(struct sandbox sandbox, const char *more)
{
    static wchar_t wide[8192];
    char *json = NULL, config[8192];

    EXPECT(floatlease_sandbox_control(sandbox.handle, "GET /client_config", NULL, &json), FLOATLEASE_OK);
    HOLD(json[strlen(json) - 1] == '}' && strlen(json) + strlen(more) + 64 < sizeof config);
    HOLD(strstr(json, "hardware_id") == NULL);
    snprintf(config, sizeof config, "%.*s%s,\"hardware_id\":\"%s\"}", (int)strlen(json) - 1, json, more, DEVICE);
    floatlease_sandbox_string_free(json);
    HOLD(MultiByteToWideChar(CP_UTF8, 0, config, -1, wide, 8192) > 0);
    HOLD(SetEnvironmentVariableW(CONFIG, wide));
}

static struct sandbox scene(const char *name, floatlease_client **client)
{
    struct sandbox sandbox = started();
    const char *more = folder(name);

    *client = client_with(sandbox, DEVICE, more);
    tell_the_others(sandbox, more);
    EXPECT(floatlease_activate_license(*client, NULL, NULL), FLOATLEASE_OK);
    return sandbox;
}

static void end(struct sandbox sandbox, floatlease_client *client)
{
    floatlease_client_close(client);
    stopped(sandbox);
}

/* ---- what is shown */

static void the_last_process_out_gives_the_slot_back(void)
{
    floatlease_client *client;
    struct sandbox sandbox = scene("shared", &client);
    struct holder first = held_by_another(), second = held_by_another();

    HOLD(slots(sandbox) == 1);
    is_told(first, "release\n");
    HOLD(slots(sandbox) == 1); /* the second still works */
    is_told(second, "release\n");
    HOLD(slots(sandbox) == 0);
    end(sandbox, client);
    printf("Two processes held one slot, and the last one out gave it back.\n");
}

static void the_slot_of_a_killed_process_is_not_lost(void)
{
    floatlease_client *client;
    struct sandbox sandbox = scene("killed", &client);
    struct holder first = held_by_another(), second = held_by_another();
    floatlease_lease *lease = NULL;

    is_killed(first);
    HOLD(slots(sandbox) == 1);
    is_told(second, "release\n");
    HOLD(slots(sandbox) == 0);

    for (int killed = 0; killed < 2; killed++) {
        if (killed)
            is_killed(held_by_another());
        else
            is_told(held_by_another(), "leave\n"); /* its threads must not keep it from ending */
        HOLD(slots(sandbox) == 1); /* nobody was left to give it back */
        EXPECT(floatlease_lease_acquire(client, NULL, &lease, NULL), FLOATLEASE_OK);
        HOLD(slots(sandbox) == 1);
        EXPECT(floatlease_lease_release(lease, NULL), FLOATLEASE_OK);
        HOLD(slots(sandbox) == 0);
        floatlease_lease_free(lease);
    }
    end(sandbox, client);
    printf("A killed process, and one that ended, neither kept a slot nor took it from the others; the next took it over.\n");
}

/* Damages the record of the borrow, the largest file, in its middle. */
static void damage(const char *more)
{
    static wchar_t path[1024], pattern[1100];
    WIN32_FIND_DATAW found;
    char utf8[1024];
    size_t used = 0;
    DWORD length = 0;

    for (const char *at = more + strlen(",\"storage_dir\":\""); *at != '"'; at++) {
        if (*at == '\\')
            at++; /* escaped */
        utf8[used++] = *at;
    }
    utf8[used] = '\0';
    HOLD(MultiByteToWideChar(CP_UTF8, 0, utf8, -1, path, 1024) > 0);
    swprintf(pattern, 1100, L"\\\\?\\%ls\\*.lease", path);
    HANDLE search = FindFirstFileW(pattern, &found);
    HOLD(search != INVALID_HANDLE_VALUE);
    HOLD(!FindNextFileW(search, &(WIN32_FIND_DATAW){0})); /* one slot, one record */
    FindClose(search);
    swprintf(pattern, 1100, L"\\\\?\\%ls\\%ls", path, found.cFileName);
    HANDLE file = CreateFileW(pattern, GENERIC_WRITE, FILE_SHARE_READ, NULL, OPEN_EXISTING, 0, NULL);
    HOLD(file != INVALID_HANDLE_VALUE);
    SetFilePointer(file, (LONG)found.nFileSizeLow / 2, NULL, FILE_BEGIN);
    HOLD(WriteFile(file, "damage", 6, &length, NULL) && length == 6);
    CloseHandle(file);
}

static void a_borrow_outlives_a_restart_and_a_damaged_record_is_told(void)
{
    floatlease_client *client;
    struct sandbox sandbox = scene("trip", &client);
    char more[1024];
    floatlease_lease *lease = NULL;
    char *json = NULL;

    snprintf(more, sizeof more, "%s", folder("trip"));
    EXPECT(floatlease_lease_acquire(client, NULL, &lease, NULL), FLOATLEASE_OK);
    EXPECT(floatlease_lease_borrow(lease, NULL, NULL), FLOATLEASE_OK);
    HOLD(floatlease_lease_state(lease) == FLOATLEASE_STATE_BORROWED);
    floatlease_client_close(client);
    floatlease_lease_free(lease);

    control(sandbox, "POST /faults/profile", "{\"profile\":\"outage\"}");
    client = client_with(sandbox, DEVICE, more);
    EXPECT(floatlease_lease_acquire(client, NULL, &lease, NULL), FLOATLEASE_OK);
    HOLD(floatlease_lease_state(lease) == FLOATLEASE_STATE_BORROWED && floatlease_lease_remaining(lease) > 0);
    floatlease_client_close(client);
    floatlease_lease_free(lease);
    printf("A borrow was there after a restart without a network.\n");

    Sleep(500); /* what the closed client still had to note, it has noted by then */
    damage(more);
    client = client_with(sandbox, DEVICE, more);
    EXPECT(floatlease_lease_acquire(client, NULL, &lease, &json), FLOATLEASE_E_STORAGE_DAMAGED);
    HOLD(json && strstr(json, "B\xc3\xbcro"));
    floatlease_string_free(json);
    control(sandbox, "DELETE /faults", NULL);
    EXPECT(floatlease_lease_acquire(client, NULL, &lease, NULL), FLOATLEASE_OK);
    HOLD(floatlease_lease_state(lease) == FLOATLEASE_STATE_BORROWED); /* as the server says */
    EXPECT(floatlease_lease_release(lease, NULL), FLOATLEASE_OK);
    HOLD(slots(sandbox) == 0);
    floatlease_lease_free(lease);
    end(sandbox, client);
    printf("A damaged record was told, and put aside once the server had spoken.\n");
}

static DWORD WINAPI check_it(void *client)
{
    return (DWORD)floatlease_check_license(client, NULL, NULL);
}

/* Not asserted tightly: other programs run on this machine too. */
static void a_cancel_ends_a_call_that_waits_for_a_silent_server(void)
{
    floatlease_client *client;
    struct sandbox sandbox = scene("silent", &client);
    DWORD status = 0;

    control(sandbox, "PUT /faults", "{\"faults\":[{\"do\":{\"before\":\"hang\"}}]}");
    HANDLE thread = CreateThread(NULL, 0, check_it, client, 0, NULL);
    HOLD(thread != NULL);
    HOLD(WaitForSingleObject(thread, 300) == WAIT_TIMEOUT);
    ULONGLONG start = GetTickCount64();
    EXPECT(floatlease_client_cancel(client), FLOATLEASE_OK);
    HOLD(WaitForSingleObject(thread, 5000) == WAIT_OBJECT_0);
    ULONGLONG took_ms = GetTickCount64() - start;
    HOLD(GetExitCodeThread(thread, &status));
    CloseHandle(thread);
    EXPECT((floatlease_status)status, FLOATLEASE_E_CANCELLED);
    EXPECT(floatlease_check_license(client, "{\"timeout_ms\":200}", NULL), FLOATLEASE_E_TIMEOUT);
    end(sandbox, client);
    printf("A cancel ended a call that waited for a silent server, after %llu ms.\n", took_ms);
}

static void the_machine_is_known_by_the_id_that_windows_gave_it(void)
{
    floatlease_client *client = NULL;
    char *json = NULL;

    EXPECT(floatlease_client_open("{\"product\":\"XY\",\"license_key\":\"AAAA\",\"api_key\":\"a\",\"shared_key\":\"s\","
                                  "\"verify\":\"off\",\"timeout_ms\":200,\"base_url\":\"http://127.0.0.1:9/api/v4\"}",
                                  &client, NULL),
           FLOATLEASE_OK);
    EXPECT(floatlease_client_diagnose(client, &json), FLOATLEASE_OK);
    HOLD(json && strstr(json, "MachineGuid"));
    floatlease_string_free(json);
    floatlease_client_close(client);
    printf("The hardware id comes from Windows' MachineGuid.\n");
}

int main(int count, char **arguments)
{
    if (count > 1 && !strcmp(arguments[1], "hold"))
        return hold_a_lease();
    the_last_process_out_gives_the_slot_back();
    the_slot_of_a_killed_process_is_not_lost();
    a_borrow_outlives_a_restart_and_a_damaged_record_is_told();
    a_cancel_ends_a_call_that_waits_for_a_silent_server();
    the_machine_is_known_by_the_id_that_windows_gave_it();
    printf("leases: %d checks hold\n", checks);
    return 0;
}
