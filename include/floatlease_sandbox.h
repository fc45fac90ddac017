/*
 * floatlease_sandbox: a license server inside your test, with a clock that the test sets and faults that it injects.
 *
 *     floatlease_sandbox_start(NULL, &sandbox, NULL);
 *     floatlease_sandbox_control(sandbox, "GET /client_config", NULL, &config);
 *     floatlease_client_open(config, &client, NULL);       and floatlease.h as always
 *     floatlease_sandbox_control(sandbox, "POST /clock/advance", "{\"by\":\"121m\"}", NULL);
 *     floatlease_sandbox_stop(sandbox);
 *
 * docs/testing-your-integration.md leads from there to a program that saves its work when its license is lost. The
 * sandbox is for tests only. Never ship it inside a product: it grants licenses to everybody who asks.
 *
 * CONVENTIONS, for every function; statuses and the error object are those of floatlease.h
 *
 * Shape      A function takes JSON texts, and returns a status and one JSON text. On success the text is the sandbox's
 *            answer, on failure an error object. FLOATLEASE_E_SANDBOX means that the sandbox refused; message says why.
 * Strings    UTF-8, NUL-terminated. The library reads the strings that you pass during the call only. You own a string
 *            that it writes to json_out: free it with floatlease_sandbox_string_free. Never use floatlease_string_free,
 *            which belongs to another library.
 * Out        The library sets out pointers to NULL on entry. Pass NULL as json_out if you don't want the text.
 * Handles    Tokens, not addresses. A handle that is stopped, invented or of another kind, such as a client's, gives
 *            FLOATLEASE_E_HANDLE. It is never a crash.
 * Threads    You may call any function from any thread at any time. Any number of sandboxes run side by side,
 *            independent of each other. A sandbox runs threads of its own until it is stopped.
 * Stopping   A stop takes a second at most, whatever the clients of the sandbox do. It leaves no thread, no descriptor
 *            and no file. Calls in flight fail as they do when a server goes away.
 * Fork       A handle that a child process inherited through fork gives FLOATLEASE_E_FORKED, because the child does not
 *            have the threads. The child may start a sandbox of its own, and open clients on its parent's. The sockets
 *            that it inherits stay open until it ends or calls exec.
 * Host       The library never ends your process, except that the system does when memory runs out. It prints nothing,
 *            writes no file, and handles or raises no signal. A sandbox listens on 127.0.0.1 only, on a free port.
 * Stability  As for floatlease.h.
 */

#ifndef FLOATLEASE_SANDBOX_H
#define FLOATLEASE_SANDBOX_H

/* Generated from server/sandbox/src/ by `make header`. Do not edit. */

#include "floatlease.h"

/**
 * A sandbox: a license server in this process. A token, not an address.
 */
typedef struct floatlease_sandbox floatlease_sandbox;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Starts a sandbox. It answers requests when this function returns.
 *
 * options_json is one object, or NULL for {}. An unknown key is an error. Every key is optional:
 *
 *     key            type              meaning
 *     catalogue      object or string  which licenses there are: an object with the members of examples/catalogue.toml,
 *                                      or the text of such a file; its times may be relative, as in "now+30days";
 *                                      default: examples/catalogue.toml
 *     presets        boolean           true adds licenses that provoke each refusal of the API; json_out lists them
 *     now            string            the sandbox's first time, "2028-02-29T12:00:00Z" or "now-1h"; default: real time
 *     rate           number            speed of its clock: 1 (default) is real time, 60 a minute each second, 0 stopped
 *     date_check     string            clock that the Date of requests is compared with: "real" (default) or "world"
 *     order          boolean           false: ignore FloatLease-Order, as the vendor's cloud does; default: true
 *     idempotency    boolean           false: ignore Idempotency-Key, as the vendor's cloud does; default: true
 *     faults         array             faults from the start, each as for "POST /faults"
 *     port           integer           port of the API; default 0: a free one
 *     control_port   integer           port of the control interface for other processes, 0 for a free one;
 *                                      default: none
 *
 * Reply: what a client needs to connect.
 *
 *     {"base_url":"…","api_key":"…","shared_key":"…","public_key":"…","product":"…","license_key":"…",
 *      "client_config":{…},"presets":[…],…}
 *
 * Errors:
 * - FLOATLEASE_E_JSON: options_json is not one JSON object.
 * - FLOATLEASE_E_SANDBOX: an option is invalid, or the port is in use; message names it.
 *
 * On success *sandbox_out is a handle: stop it with floatlease_sandbox_stop. On failure it is NULL.
 */
floatlease_status floatlease_sandbox_start(const char *options_json, floatlease_sandbox **sandbox_out, char **json_out);

/**
 * Controls a sandbox: moves its clock, injects faults, reads what it has seen. Faults do not affect this call.
 *
 * method_path is a method and a path, for example "POST /clock/advance". request_json is the JSON text of that call, or
 * NULL where it takes none. "GET /openapi.json" lists every call; docs/testing-your-integration.md explains the usual
 * ones.
 *
 * Reply: the JSON of that call.
 *
 * Errors:
 * - FLOATLEASE_E_JSON: request_json is not one JSON object.
 * - FLOATLEASE_E_SANDBOX: the sandbox refused the call, or an expectation did not hold; message says why.
 */
floatlease_status floatlease_sandbox_control(floatlease_sandbox *sandbox,
                                             const char *method_path,
                                             const char *request_json,
                                             char **json_out);

/**
 * Stops a sandbox within a second: closes every connection and drops all data. Stopping NULL, stopping twice, or in a
 * forked child does nothing.
 */
void floatlease_sandbox_stop(floatlease_sandbox *sandbox);

/**
 * Frees a string that a function of this library wrote to json_out. NULL is ignored. Free each string once.
 */
void floatlease_sandbox_string_free(char *string);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* FLOATLEASE_SANDBOX_H */
