/* What ends the server on Windows besides Ctrl-C: console.exe SERVER CATALOGUE DATA
 *
 * The events are brought about as the system does it, by a thread in the server that runs the system's own routine:
 * Wine's GenerateConsoleCtrlEvent knows Ctrl-C alone, and nothing else can tell of a closed console or a shutdown. */
#include <stdio.h>
#include <string.h>
#include <windows.h>

static int failed(const char *event, const char *what) {
    fprintf(stderr, "failed: %s: %s, error %lu\n", event, what, GetLastError());
    return 1;
}

/* Reads what the server says behind `text` until it has said `words`; 0 if it ends before. */
static int reads(HANDLE said, char *text, DWORD size, const char *words) {
    DWORD length = (DWORD)strlen(text), more = 0;
    while (!strstr(text, words)) {
        if (length + 1 >= size || !ReadFile(said, text + length, size - 1 - length, &more, NULL) || more == 0) return 0;
        text[length += more] = 0;
    }
    return 1;
}

/* Starts a server, tells it of this event when it listens, and expects it to end in order. */
static int ends_after(DWORD event, const char *name, char **arguments) {
    char command[4096], text[8192] = "";
    snprintf(command, sizeof command, "\"%s\" serve --listen 127.0.0.1:0 --catalogue \"%s\" --data \"%s\"", arguments[1],
             arguments[2], arguments[3]);
    HANDLE said, says;
    SECURITY_ATTRIBUTES inherited = { sizeof inherited, NULL, TRUE };
    if (!CreatePipe(&said, &says, &inherited, 0)) return failed(name, "CreatePipe");
    SetHandleInformation(said, HANDLE_FLAG_INHERIT, 0);
    STARTUPINFOA startup = { .cb = sizeof startup, .dwFlags = STARTF_USESTDHANDLES, .hStdOutput = says,
                             .hStdError = says };
    PROCESS_INFORMATION server;
    if (!CreateProcessA(NULL, command, NULL, NULL, TRUE, 0, NULL, NULL, &startup, &server))
        return failed(name, "CreateProcess");
    CloseHandle(says);

    if (!reads(said, text, sizeof text, "base_url")) return failed(name, "the server does not listen");
    Sleep(500); /* It tells that it listens just before it waits for what may end it. */
    /* The library lies at the same address in every process. */
    FARPROC routine = GetProcAddress(GetModuleHandleA("kernelbase"), "CtrlRoutine");
    if (!routine) return failed(name, "CtrlRoutine");
    LPTHREAD_START_ROUTINE start;
    memcpy(&start, &routine, sizeof start);
    if (!CreateRemoteThread(server.hProcess, NULL, 0, start, (void *)(size_t)event, 0, NULL))
        return failed(name, "CreateRemoteThread");
    if (WaitForSingleObject(server.hProcess, 20000) != WAIT_OBJECT_0) return failed(name, "the server runs on");
    /* Its own last word; a process that the system ends says nothing. */
    if (!reads(said, text, sizeof text, "stopped")) return failed(name, "the server was killed");
    DWORD code = 99;
    GetExitCodeProcess(server.hProcess, &code);
    CloseHandle(said);
    return code == 0 ? 0 : failed(name, "the server's exit code is not 0");
}

int main(int count, char **arguments) {
    if (count != 4) return failed("usage", "expected SERVER CATALOGUE DATA");
    int failures = ends_after(CTRL_C_EVENT, "Ctrl-C", arguments);
    failures += ends_after(CTRL_BREAK_EVENT, "Ctrl-Break", arguments);
    failures += ends_after(CTRL_CLOSE_EVENT, "closing the console", arguments);
    failures += ends_after(CTRL_SHUTDOWN_EVENT, "shutdown", arguments);
    if (failures == 0) puts("each of them ends the server in order");
    return failures != 0;
}
