/*
 * floatlease_sandbox: a license server inside your test, with a clock that the test sets and faults that it injects.
 *
 *     floatlease_sandbox_start(NULL, &sandbox, NULL);
 *     floatlease_sandbox_control(sandbox, "GET /client_config", NULL, &config);
 *     floatlease_client_open(config, &client, NULL);       and floatlease.h as always
 *     floatlease_sandbox_control(sandbox, "POST /clock/advance", "{\"by\":\"121m\"}", NULL);
 *     floatlease_sandbox_stop(sandbox);
 *
 * docs/testing-your-integration.md leads from there to a program that provably saves its work when its license is lost.
 * For tests only. Never ship it inside a product: it grants licenses to whoever asks.
 *
 * CONVENTIONS, for every function; statuses and the error object are those of floatlease.h
 *
 * Shape      A function takes JSON texts and gives a status and one JSON text: the sandbox's answer, or on failure an
 *            error object. FLOATLEASE_E_SANDBOX: the sandbox refused; its message says why.
 * Strings    UTF-8, NUL-terminated. What is passed in is read during the call only. What comes out in json_out is
 *            the caller's and is freed with floatlease_sandbox_string_free, never with floatlease_string_free: this is
 *            another library.
 * Out        Out pointers are set to NULL on entry. json_out may itself be NULL: the text is not wanted.
 * Handles    Tokens, not addresses. A stopped, foreign or invented one gives FLOATLEASE_E_HANDLE, a client's too; it is
 *            never a crash.
 * Threads    Any function from any thread at any time. Any number of sandboxes run side by side and know nothing of
 *            each other. A sandbox runs threads of its own, until it is stopped.
 * Stopping   Takes a second at most, whatever the sandbox's clients do, and leaves nothing: no thread, no descriptor,
 *            no file. Calls in flight fail as they would if a server went away.
 * Fork       A handle inherited through fork gives FLOATLEASE_E_FORKED: the child has the handle, but not the threads.
 *            It may start a sandbox of its own, and open clients on its parent's. The sockets that it inherits stay
 *            open until it ends or calls exec.
 * Host       Nothing ends the process, except the system when memory has run out. Nothing is printed, no file is
 *            written, no signal handled or raised. A sandbox listens on 127.0.0.1 only, on a port that was free.
 * Stability  As for floatlease.h.
 */


#ifndef FLOATLEASE_SANDBOX_H
#define FLOATLEASE_SANDBOX_H

/* Generated from server/sandbox/src/lib.rs by `make header`. Do not edit. */

#include "floatlease.h"

/**
 * A sandbox: a license server in this process. A token, not an address.
 */
typedef struct floatlease_sandbox floatlease_sandbox;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Starts a sandbox; it answers when this returns.
 *
 * options_json is one object, or NULL for {}. An unknown key is an error; every key may be left out:
 *
 *     catalogue      what is licensed to whom: an object with the members of examples/catalogue.toml, or the text of
 *                    such a file; its times may be relative, as in "now+30days". Default: that file
 *     presets        true: an easy way to provoke each refusal of the API; json_out lists them
 *     now            the sandbox's time at its beginning, "2028-02-29T12:00:00Z" or "now-1h"; default: the real time
 *     rate           how it passes: 1 (default) is real time, 60 lets a minute pass in a second, 0 stands still
 *     date_check     "real" (default) or "world": which clock the Date of requests is held against
 *     order          false: FloatLease-Order is ignored, as by the vendor's cloud; default: true
 *     idempotency    false: Idempotency-Key is ignored likewise; default: true
 *     faults         an array of faults, as for "POST /faults"
 *     port           the API's port; default 0, a free one
 *     control_port   a port for the control interface too, for other processes; 0 is a free one; default: none
 *
 * On success *sandbox_out is a handle for floatlease_sandbox_stop and *json_out tells what a client needs: base_url,
 * api_key, shared_key, public_key, product, license_key, client_config and more. On failure *sandbox_out is NULL.
 */
floatlease_status floatlease_sandbox_start(const char *options_json, floatlease_sandbox **sandbox_out, char **json_out);

/**
 * Controls a sandbox: its clock, its faults, what it has seen. No client and no fault gets in its way.
 *
 * method_path is a method and a path, for example "POST /clock/advance"; request_json the call's JSON text, or NULL
 * where it takes none. "GET /openapi.json" lists every call.
 * Reply: the call's own. FLOATLEASE_E_SANDBOX if it was refused or what it asserts is not so.
 */
floatlease_status floatlease_sandbox_control(floatlease_sandbox *sandbox,
                                             const char *method_path,
                                             const char *request_json,
                                             char **json_out);

/**
 * Stops a sandbox within a second: closes every connection, forgets everything. Stopping NULL, twice, or in a forked
 * child does nothing.
 */
void floatlease_sandbox_stop(floatlease_sandbox *sandbox);

/**
 * Frees a string that a function of this library put into json_out. NULL is ignored. Each string is freed once.
 */
void floatlease_sandbox_string_free(char *string);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* FLOATLEASE_SANDBOX_H */
