/*
 * floatlease: take, hold and release floating (concurrent) licenses.
 *
 * This header is the reference of the C interface. docs/quick-start.md builds a first program, docs/leases.md holds a
 * slot all day, and docs/index.md lists every page.
 *
 * CONVENTIONS, for every function
 *
 * Shape      A function takes a handle and one JSON object, and returns a status and one JSON text. On success the text
 *            is the server's reply as it arrived, or the info of a lease. On failure it is an error object (below).
 * Strings    UTF-8, NUL-terminated. The library reads the strings that you pass during the call only. You own a string
 *            that it writes to json_out: free it with floatlease_string_free.
 * Out        The library sets out pointers to NULL on entry. Pass NULL as json_out if you don't want the text.
 * Requests   request_json is one object; NULL means {}. Keys that it leaves out come from the client's config. It may
 *            hold the function's own keys and the common keys (below). An unknown key or a wrong type is an error that
 *            names the key, and nothing is sent. A null member counts as absent. If a key is given twice, the last one
 *            counts.
 * Dates      "2026-09-27T23:30:48.016Z", "2026-09-27 23:30:48.016", "2026-09-27 23:30:48", "2026-09-27 23:30" and
 *            "2026-09-27" are UTC. An offset is honoured, as in "2026-09-28T01:30:48+02:00". The library sends UTC.
 * Handles    Tokens, not addresses. A handle that is closed, invented, of another kind or of another copy of this library
 *            in the process gives FLOATLEASE_E_HANDLE. One that a child process inherited through fork gives
 *            FLOATLEASE_E_FORKED. Neither is ever a crash. A forked child opens a client of its own.
 * Threads    You may call any function from any thread at any time. Calls on one client run side by side. The library
 *            never calls back into your program: floatlease_next_event returns what happens by itself. A call needs at
 *            most 96 KiB of the calling thread's stack.
 * Waiting    A call that talks to the server ends at its deadline at the latest, and within 50 ms when it is cancelled.
 *            A call about a lease may make three requests for each of its slots, each of which has this deadline, unless
 *            the call names a timeout_ms of its own. An acquire may queue for its wait_ms in addition. floatlease_submit runs a call in the background.
 *            Functions that free, close, or read the state of a lease never wait.
 * Host       The library never ends your process, except that the system does when memory runs out. No panic or
 *            exception leaves it. It prints nothing, handles no signal, and writes files in "storage_dir" only. It
 *            reads the environment in floatlease_client_open only. docs/leases.md lists the threads that it starts,
 *            docs/hosts.md what a daemon or a plug-in can rely on.
 * Proof      A reply counts only if it carries the server's signature over its bytes and answers what was asked. The
 *            API does not sign the replies to release and deactivate. docs/guarantees.md says what that leaves open.
 * Order      Requests about a slot or a device carry a growing number, the FloatLease-Order header. floatlease-server
 *            ignores requests that arrive late, so they undo nothing. docs/guarantees.md covers other servers.
 * Stability  Numbers, names and JSON keys are never changed or reused within an ABI version, only added. Expect
 *            statuses, events and members that this header does not list.
 *
 * COMMON KEYS, of each operation's request; an acquire takes all but sdk_ver and idempotency_key
 *
 *     key                       type     meaning
 *     product                   string   another product than the config's
 *     hardware_id               string   another device than the config's
 *     license_key               string   another license than the config's
 *     username, password        strings  the same, for user-based products; password only where it is asked for
 *     id_token or code          string   the same by SSO, with customer_account_code; only where it is asked for
 *     redirect_uri              string   optional beside code
 *     license_id                integer  which of several licenses of a user; null leaves out the config's
 *     bundle_code               string   the bundle that the license came with; null leaves out the config's
 *     sdk_ver                   string   default: this library's name and version
 *     timeout_ms                integer  deadline of this call, 1 to 3600000; default: the config's
 *     extra                     object   members that go to the server as they are
 *     idempotency_key           string   1 to 255 visible ASCII characters; default: a random one for each call
 *
 * A request that names another license or product leaves out the config's license_id and bundle_code. A number in extra
 * is a 64-bit integer, or else the nearest double: 1e2 is sent as 100.0. idempotency_key is for operations that change
 * something; the library sends it as the Idempotency-Key header. docs/guarantees.md says what the server does with it.
 *
 * THE ERROR OBJECT
 *
 * {"status":141,"name":"FLOATING_NOT_AVAILABLE","category":"license","message":"what happened","advice":"what to do",
 *  "retryable":true,"retry_after_ms":null,"outcome":"rejected","http_status":400,
 *  "server_code":"floating_not_available","attempts":1,"elapsed_ms":12}
 *
 * Read outcome before you repeat a call. It covers all requests that the call made:
 *
 *     "not_sent"   nothing left this machine
 *     "rejected"   the server refused and did nothing
 *     "unknown"    the server may have carried it out: ask for the current state first
 *
 * attempts counts how often the last request was sent, elapsed_ms the time of the whole call; of a submitted one, from the
 * submit.
 *
 * ERRORS OF THE NETWORK, of every call that talks to the server
 *
 *     FLOATLEASE_E_CONNECT, FLOATLEASE_E_DNS, FLOATLEASE_E_TIMEOUT    retry later; a lease retries by itself
 *     FLOATLEASE_E_CANCELLED                                          your program cancelled the call
 *     FLOATLEASE_E_CONNECTION_LOST                                    look at outcome
 *     FLOATLEASE_E_REPLY_NOT_API                                      a log-in page or a proxy answered
 *
 * ERRORS OF THE SYSTEM, of every call
 *
 *     FLOATLEASE_E_OUT_OF_RESOURCES    no descriptor, thread or memory is left; message names it: retry later
 *
 * docs/errors.md lists every status with its advice, docs/troubleshooting.md the usual causes.
 */

#ifndef FLOATLEASE_H
#define FLOATLEASE_H

/* Generated from src/ffi/ and src/status.rs by `make header`. Do not edit. */

#include <stdint.h>

/** The call succeeded.
 *  Nothing to do. */
#define FLOATLEASE_OK 0

/** A required pointer argument is NULL.
 *  Pass the argument that the message names. */
#define FLOATLEASE_E_NULL_POINTER 1

/** A string argument is invalid UTF-8.
 *  Encode every string that you pass to floatlease in UTF-8. */
#define FLOATLEASE_E_UTF8 2

/** The text is invalid: expected one JSON object.
 *  Pass one JSON object, for example {}. A JSON checker finds the place of the mistake. */
#define FLOATLEASE_E_JSON 3

/** The config or request holds an unknown key.
 *  Correct the key's spelling. Members that the library does not know go into "extra". */
#define FLOATLEASE_E_UNKNOWN_KEY 4

/** A value has the wrong JSON type.
 *  Write the value as the type that the message expects. */
#define FLOATLEASE_E_WRONG_TYPE 5

/** A required key is missing.
 *  Add the key that the message names to the config or to the request. */
#define FLOATLEASE_E_MISSING_KEY 6

/** A value is invalid.
 *  Correct the value as the message says. */
#define FLOATLEASE_E_BAD_VALUE 7

/** The handle is invalid: it was closed, is of another kind, or was never opened.
 *  Pass a handle that floatlease returned and that you have not closed, to a function of its own kind. */
#define FLOATLEASE_E_HANDLE 8

/** The handle was opened by the parent process, before a fork.
 *  Open a new client in the child process. */
#define FLOATLEASE_E_FORKED 9

/** There is no operation of this name.
 *  Use a name from docs/operations.md, for example "borrow_license". */
#define FLOATLEASE_E_UNKNOWN_OPERATION 10

/** The config or request holds keys that exclude each other.
 *  Give only one of them. A license is named by license_key, or username, or an SSO token. */
#define FLOATLEASE_E_CONFLICTING_KEYS 11

/** The date is invalid.
 *  Write it as 2026-09-27T23:30:48.016Z, 2026-09-27 23:30 or 2026-09-27, in UTC, or with an offset. */
#define FLOATLEASE_E_BAD_DATE 12

/** The config's "public_key" is missing, so no reply could be verified.
 *  Set "public_key" to the server's PEM key, or turn verification off with "verify":"off". */
#define FLOATLEASE_E_NO_PUBLIC_KEY 13

/** The base_url would send the license key unencrypted to another machine.
 *  Use https://, or set "allow_http":true to accept plain http://. */
#define FLOATLEASE_E_INSECURE_URL 14

/** No such call is under way.
 *  Use the ticket from floatlease_submit, until floatlease_next_event returns its completion. */
#define FLOATLEASE_E_TICKET 15

/** 1,000 submitted calls are under way or were not read.
 *  Call floatlease_next_event until it returns no event. */
#define FLOATLEASE_E_TOO_MANY_CALLS 16

/** The lease was released.
 *  Acquire a new lease. */
#define FLOATLEASE_E_LEASE_OVER 17

/** The server's host name could not be resolved.
 *  Check the network connection and the host name in base_url, or in the proxy's URL if the message names a proxy. */
#define FLOATLEASE_E_DNS 20

/** The connection to the server failed.
 *  Check that the server, or the proxy that the message names, is running, and that no firewall blocks this program. */
#define FLOATLEASE_E_CONNECT 21

/** The TLS connection to the server could not be set up.
 *  Check that base_url names a TLS server, and that no proxy alters the connection. */
#define FLOATLEASE_E_TLS 22

/** The server's certificate has expired or is not yet valid.
 *  Renew the server's certificate. If its dates are right, correct this machine's clock. */
#define FLOATLEASE_E_TLS_EXPIRED 23

/** The server's certificate was issued for another host name.
 *  Put the host name from the certificate into base_url. */
#define FLOATLEASE_E_TLS_WRONG_HOST 24

/** The server's certificate was signed by an untrusted authority.
 *  Set "tls_roots" to "platform", or to the PEM certificate of the authority that signed it. */
#define FLOATLEASE_E_TLS_UNKNOWN_CA 25

/** The proxy did not connect to the server.
 *  Check the proxy that the message names, and that it allows CONNECT to the server. With "proxy":"none" the library connects directly. */
#define FLOATLEASE_E_PROXY 26

/** The proxy requires a name and a password.
 *  Write them into the proxy's URL: http://name:password@host:port. */
#define FLOATLEASE_E_PROXY_AUTH 27

/** The call's deadline passed before it was done.
 *  Try again later, or raise "timeout_ms". */
#define FLOATLEASE_E_TIMEOUT 28

/** The call was cancelled.
 *  Nothing to do: your program cancelled it. */
#define FLOATLEASE_E_CANCELLED 29

/** The connection ended before the reply arrived.
 *  If "outcome" is "unknown", ask the server for the current state before you try again. */
#define FLOATLEASE_E_CONNECTION_LOST 30

/** The server refused the request: too many requests.
 *  Wait for retry_after_ms before the next call. */
#define FLOATLEASE_E_RATE_LIMITED 31

/** The server failed with an error of its own.
 *  Try again later. If it persists, tell the server's operator. */
#define FLOATLEASE_E_SERVER_ERROR 32

/** The reply did not come from a license server.
 *  If the network has a log-in page, log in. Check base_url and the proxy. */
#define FLOATLEASE_E_REPLY_NOT_API 33

/** The reply is incomplete.
 *  Try again. If it persists, check the proxies between this machine and the server. */
#define FLOATLEASE_E_REPLY_TRUNCATED 34

/** The reply is larger than 1 MiB.
 *  Ask the vendor for a license with fewer features and less metadata, or find the proxy on the way that enlarges replies. */
#define FLOATLEASE_E_REPLY_TOO_LARGE 35

/** The server redirects to another address, and signed requests are not sent to other addresses.
 *  Set base_url to the final address. */
#define FLOATLEASE_E_REPLY_REDIRECT 36

/** The reply is empty: expected a JSON object.
 *  Check base_url and the proxies between this machine and the server. */
#define FLOATLEASE_E_REPLY_EMPTY 37

/** The reply's signature is missing.
 *  Check that base_url is the license server's, and that no proxy removes the LicenseSignature header. */
#define FLOATLEASE_E_REPLY_UNSIGNED 38

/** The reply's signature is invalid: it does not verify under the configured public key.
 *  Check that "public_key" belongs to this server. If it does, a proxy or program on the way alters replies. */
#define FLOATLEASE_E_REPLY_SIGNATURE 39

/** The reply was altered on its way: its inner signature is valid, the signature over its body is not.
 *  Find the proxy or program on the way that rewrites replies. */
#define FLOATLEASE_E_REPLY_ALTERED 40

/** The reply is genuine, but it answers another request, device or license.
 *  Find the proxy on the way that caches or repeats replies. */
#define FLOATLEASE_E_REPLY_NOT_OURS 41

/** The reply's headers are larger than 64 KiB, or more than 128.
 *  Find the proxy on the way that adds headers, and have it add fewer. */
#define FLOATLEASE_E_REPLY_HEADERS_TOO_LARGE 42

/** The token endpoint refused the OAuth client.
 *  Check "client_id" and "client_secret", and that the vendor has not replaced or revoked them. */
#define FLOATLEASE_E_OAUTH_CLIENT_REFUSED 43

/** No stable id of this machine was found.
 *  Set "hardware_id" in the config to an id that stays the same on this machine. */
#define FLOATLEASE_E_HARDWARE_ID 50

/** This machine's trusted certificate authorities are missing.
 *  Set "tls_roots" to "bundled" or to PEM certificates, or install the system's CA certificates. */
#define FLOATLEASE_E_TLS_ROOTS 51

/** A file in "storage_dir" could not be read or written.
 *  Check that "storage_dir" is a folder that this program may write to, and that its disk has room. */
#define FLOATLEASE_E_STORAGE 52

/** A file in "storage_dir" is damaged, or was written by another version.
 *  Restore the file, or move it away and connect to the server, which then confirms the slot again. */
#define FLOATLEASE_E_STORAGE_DAMAGED 53

/** A file in "storage_dir" belongs to another device or product.
 *  Give each machine a "storage_dir" of its own, and move copied files away. */
#define FLOATLEASE_E_STORAGE_FOREIGN 54

/** This machine's clock is behind a date that it has shown or the server has told, so the end of a borrow can't be checked.
 *  Correct this machine's clock, or connect to the server once. */
#define FLOATLEASE_E_CLOCK_MOVED_BACK 55

/** The server can't be reached, and no stored borrow is valid now.
 *  Connect to the network. Next time, borrow before you go offline. */
#define FLOATLEASE_E_NO_PROOF 56

/** The slots of this license are counted by an on-premise server of the vendor.
 *  Use the vendor's client for that server, or ask the vendor for a floating cloud license. */
#define FLOATLEASE_E_NOT_FLOATING 57

/** The queue holds as many consumptions as it can keep.
 *  Connect to the network and call sync_consumptions. Its reply counts what was booked and lists what was refused. */
#define FLOATLEASE_E_QUEUE_FULL 58

/** The sandbox refused the call, or an expectation of the call did not hold.
 *  Read the message. GET /openapi.json of the sandbox lists every call. */
#define FLOATLEASE_E_SANDBOX 60

/** The system has run out of a resource that the call needs.
 *  Try again later. If it persists, close what the program no longer needs, or raise the limit of the resource that the message names. */
#define FLOATLEASE_E_OUT_OF_RESOURCES 61

/** The library failed with an internal error; your program's state is untouched.
 *  Report the defect with this error's message. */
#define FLOATLEASE_E_INTERNAL 70

/** The server refused with a code that this version does not know.
 *  Read server_code and the message. */
#define FLOATLEASE_E_UNKNOWN_CODE 100

/** Required headers are missing from the request.
 *  Find the proxy that removes the Date or Authorization header. */
#define FLOATLEASE_E_MISSING_HEADERS 101

/** The request's Authorization header is invalid.
 *  Find the proxy that rewrites headers, and check api_key for unusual characters. */
#define FLOATLEASE_E_AUTHORIZATION_INVALID_HEADERS 102

/** A parameter of the Authorization header is missing.
 *  Find the proxy that rewrites headers. */
#define FLOATLEASE_E_AUTHORIZATION_MISSING_PARAMS 103

/** The request's signature algorithm is invalid: the server expected hmac-sha256.
 *  Check that base_url is the address of a License API v4. */
#define FLOATLEASE_E_HMAC_REQUIRED 104

/** This machine's clock differs too much from the server's.
 *  Set this machine's clock. */
#define FLOATLEASE_E_DATE_HEADER_DIFF 105

/** The request's signature is invalid.
 *  Check shared_key: it must be the one that belongs to api_key. */
#define FLOATLEASE_E_SIGNATURE_MISMATCH 106

/** The api_key is invalid: the server does not know it.
 *  Check api_key and base_url. */
#define FLOATLEASE_E_INVALID_API_KEY 107

/** The api_key was revoked.
 *  Ship a program with a valid api_key. */
#define FLOATLEASE_E_REVOKED_API_KEY 108

/** The api_key may only read.
 *  Use an api_key that may write. */
#define FLOATLEASE_E_READ_ONLY_API_KEY 109

/** The api_key may not be used for this product.
 *  Use an api_key of this product. */
#define FLOATLEASE_E_API_KEY_PRODUCT_NOT_ALLOWED 110

/** The access token has expired.
 *  Try again: the library fetches a new one. */
#define FLOATLEASE_E_OAUTH_TOKEN_EXPIRED 111

/** The access token is invalid.
 *  Check the client id and secret. */
#define FLOATLEASE_E_OAUTH_TOKEN_MALFORMED 112

/** A parameter of the request is invalid.
 *  Correct the parameter that the message names. */
#define FLOATLEASE_E_VALIDATION_ERROR 113

/** Required parameters are missing from the request.
 *  Add the parameters that the message names. */
#define FLOATLEASE_E_MISSING_PARAMETERS 114

/** The request's content is missing.
 *  Send the content that this operation requires. */
#define FLOATLEASE_E_MISSING_CONTENT 115

/** The request's hardware_id is missing.
 *  Set "hardware_id" in the config or the request. */
#define FLOATLEASE_E_MISSING_HARDWARE_ID 116

/** The request's e-mail address is missing.
 *  Set "email" in the request. */
#define FLOATLEASE_E_EMAIL_MISSING 117

/** The request's JSON arrived invalid.
 *  Find the proxy that rewrites requests. */
#define FLOATLEASE_E_INVALID_JSON 118

/** The server has nothing at this address.
 *  Check base_url: it ends in /api/v4. */
#define FLOATLEASE_E_NOT_FOUND 119

/** The "product" is unknown to the server.
 *  Check "product": it is the product's short code. */
#define FLOATLEASE_E_UNKNOWN_PRODUCT 120

/** The product was archived.
 *  Ask the vendor for the product that replaces it. */
#define FLOATLEASE_E_ARCHIVED_PRODUCT 121

/** The product is disabled.
 *  Ask the vendor to enable it. */
#define FLOATLEASE_E_DISABLED_PRODUCT 122

/** The product does not have this feature, or the feature is disabled.
 *  Check "feature", and which features the product has. */
#define FLOATLEASE_E_UNSUPPORTED_PRODUCT_FEATURE 123

/** The product's licenses are not named this way.
 *  Use license_key for key-based products, username for user-based products. */
#define FLOATLEASE_E_INVALID_PRODUCT_AUTH_METHOD 124

/** The product does not have this version.
 *  Check version, env and channel. */
#define FLOATLEASE_E_VERSION_NOT_FOUND 125

/** The request's license_key is missing.
 *  Set license_key in the config or the request. */
#define FLOATLEASE_E_LICENSE_KEY_REQUIRED 126

/** The request's license_key or username is missing.
 *  Set license_key or username in the config or the request. */
#define FLOATLEASE_E_LICENSE_KEY_OR_LICENSE_USER_REQUIRED 127

/** No license belongs to this key or user.
 *  Check license_key, or username and password, and that they are for this product. */
#define FLOATLEASE_E_LICENSE_NOT_FOUND 128

/** The license is not active.
 *  Ask the vendor to activate it. */
#define FLOATLEASE_E_LICENSE_NOT_ACTIVE 129

/** The license is disabled.
 *  Ask the vendor to enable it. */
#define FLOATLEASE_E_LICENSE_NOT_ENABLED 130

/** The license has expired.
 *  Renew the license. */
#define FLOATLEASE_E_LICENSE_EXPIRED 131

/** The trial has ended.
 *  Buy a license. */
#define FLOATLEASE_E_TRIAL_EXPIRED 132

/** The product offers no trial.
 *  Buy a license. */
#define FLOATLEASE_E_TRIAL_NOT_ALLOWED 133

/** The operation requires an active license.
 *  Activate the license first. */
#define FLOATLEASE_E_ACTIVE_LICENSE_REQUIRED 134

/** The license is active on as many devices as it allows.
 *  Deactivate it on another device. */
#define FLOATLEASE_E_LICENSE_ACTIVATED_MAX_TIMES 135

/** The license was moved between devices as often as it allows.
 *  Ask the vendor for more transfers. */
#define FLOATLEASE_E_LICENSE_TRANSFERRED_MAX_TIMES 136

/** The user is active on as many devices as the license allows.
 *  Deactivate the license on another device. */
#define FLOATLEASE_E_LICENSE_USER_ACTIVATED_MAX_TIMES 137

/** This device is not activated for the license.
 *  Call activate_license first. Check that hardware_id is the same as then. */
#define FLOATLEASE_E_DEVICE_NOT_FOUND 138

/** The vendor has blocked this device.
 *  Ask the vendor to unblock it. */
#define FLOATLEASE_E_BLACKLISTED 139

/** The license does not allow borrowing.
 *  Stay online, or ask for a license that allows borrowing. */
#define FLOATLEASE_E_LICENSE_BORROW_NOT_ALLOWED 140

/** No floating slot is free.
 *  Wait until a colleague releases a slot, or get more slots. */
#define FLOATLEASE_E_FLOATING_NOT_AVAILABLE 141

/** The borrowed_until date is invalid for this license.
 *  Choose a time in the future, within max_borrow_time hours and the license's validity. With null the server chooses the latest. */
#define FLOATLEASE_E_BORROW_UNTIL_NOT_VALID 142

/** The feature does not float.
 *  Use the feature without borrowing or releasing it. */
#define FLOATLEASE_E_FEATURE_NOT_FLOATING 143

/** The feature does not allow borrowing.
 *  Stay online, or ask for a license whose feature allows borrowing. */
#define FLOATLEASE_E_FEATURE_BORROW_NOT_ALLOWED 144

/** This device holds no slot of the feature.
 *  Call check_feature first: it takes the slot. */
#define FLOATLEASE_E_FLOATING_FEATURE_DEVICE_NOT_IN_USE 145

/** The license does not have this feature.
 *  Check "feature", and which features the license includes. */
#define FLOATLEASE_E_INVALID_LICENSE_FEATURE_CODE 146

/** A later request about the same slot reached the server first, so the server did not carry out this one.
 *  Try again. If it persists, check this machine's clock, and that no other machine uses the same hardware_id. */
#define FLOATLEASE_E_ORDER_OUTDATED 147

/** The license does not count consumptions.
 *  Use a license of type consumption, or a consumption feature. */
#define FLOATLEASE_E_LICENSE_NOT_CONSUMPTION 150

/** The feature has too few consumptions left; nothing was booked.
 *  Consume less, wait for the next period, or buy more. */
#define FLOATLEASE_E_FEATURE_NOT_ENOUGH_CONSUMPTIONS 151

/** Negative consumptions are not allowed here.
 *  Book a positive number. */
#define FLOATLEASE_E_NEGATIVE_CONSUMPTIONS_NOT_ALLOWED 152

/** The license has too few consumptions left; nothing was booked.
 *  Consume less, wait for the next period, or buy more. */
#define FLOATLEASE_E_LICENSE_NOT_ENOUGH_CONSUMPTIONS 153

/** The license belongs to another customer account.
 *  Check customer_account_code. */
#define FLOATLEASE_E_CUSTOMER_ACCOUNT_ID_MISMATCH 160

/** The customer_account_code is unknown to the server.
 *  Check customer_account_code. */
#define FLOATLEASE_E_CUSTOMER_ACCOUNT_NOT_FOUND 161

/** The customer is unknown to the server.
 *  Check the customer's e-mail address. */
#define FLOATLEASE_E_CUSTOMER_DOES_NOT_EXIST 162

/** The customer was not found.
 *  Check the customer's e-mail address. */
#define FLOATLEASE_E_CUSTOMER_NOT_FOUND 163

/** The password may not be changed through this API.
 *  Change it where the user's account is kept. */
#define FLOATLEASE_E_CHANGE_PASSWORD_NOT_ALLOWED 164

/** The order id is in use already.
 *  Choose another order id. */
#define FLOATLEASE_E_ORDER_ID_EXISTS 165

/** The server reports an internal error.
 *  Try again later. If it persists, tell the server's operator. */
#define FLOATLEASE_E_SERVER_INTERNAL_ERROR 166


/**
 * The ABI's major version. This header fits libraries whose floatlease_abi_version returns the same number.
 */
#define FLOATLEASE_ABI_VERSION 1

/**
 * The server has confirmed the slot within its timeout: run.
 */
#define FLOATLEASE_STATE_ACTIVE 1

/**
 * The last renewal failed, and the slot is still held: run, and perhaps show a notice.
 */
#define FLOATLEASE_STATE_DEGRADED 2

/**
 * Another device may have the slot, and grace_ms counts down: save now, and run.
 */
#define FLOATLEASE_STATE_GRACE 3

/**
 * The slot is borrowed until a date, with or without a network: run.
 */
#define FLOATLEASE_STATE_BORROWED 4

/**
 * The slot is lost: stop licensed work. The user keeps access to the document.
 */
#define FLOATLEASE_STATE_LOST 5

/**
 * The lease was released, or its client closed.
 */
#define FLOATLEASE_STATE_RELEASED 6

/**
 * A client: one product, one device, one server. The pointer is a token, not an address.
 */
typedef struct floatlease_client floatlease_client;

/**
 * A lease: one slot or several that the library keeps. The pointer is a token, not an address.
 */
typedef struct floatlease_lease floatlease_lease;

/**
 * The result of a call: FLOATLEASE_OK or one of FLOATLEASE_E_…. Expect numbers that this header does not list.
 */
typedef int32_t floatlease_status;

/**
 * The state of a lease: FLOATLEASE_STATE_…, or 0 if the handle is invalid. It is never an error.
 */
typedef int32_t floatlease_state;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Returns the ABI's major version of the loaded library. Compare it with FLOATLEASE_ABI_VERSION before other calls.
 */
uint32_t floatlease_abi_version(void);

/**
 * Returns the library's version, for example "0.1.0". The string is static: do not free it.
 */
const char *floatlease_version(void);

/**
 * Returns the name of a status, for example "FLOATING_NOT_AVAILABLE", or "UNKNOWN_STATUS" for an unknown number. The
 * string is static: do not free it.
 */
const char *floatlease_status_name(floatlease_status status);

/**
 * Frees a string that a function wrote to json_out. NULL is ignored. Free each string once.
 */
void floatlease_string_free(char *string);

/**
 * Opens a client for one product, one device and one server.
 *
 * config_json is one object. An unknown key is an error that names the nearest known key. docs/configuration.md has
 * examples.
 *
 *     key                     type       meaning
 *     product                 string     required: the product's short code
 *     api_key, shared_key     strings    the keys of the vendor's account; required, or the next two
 *     client_id,              strings    an OAuth client of the vendor; the library fetches and renews access tokens
 *     client_secret
 *     oauth_url               string     address of the token endpoint; default: the server names it
 *     license_key             string     names the license; one of this and the next two is required
 *     username, password      strings    name the license of a user-based product
 *     id_token or code        string     names it by SSO, with customer_account_code; redirect_uri may go with code
 *     license_id              integer    which of several licenses of a user
 *     bundle_code             string     the bundle that the license came with
 *     base_url                string     the server's API; default "https://api.licensespring.com/api/v4"
 *     public_key              string     PEM public key or certificate that verifies replies; required for any other
 *                                        base_url
 *     verify                  string     "on" (default) or "off": accept replies without verification
 *     hardware_id             string     names this device; default: derived from an id of the system, which
 *                                        floatlease_client_diagnose reports
 *     timeout_ms              integer    deadline of a call that names none, 1 to 3600000; default 15000
 *     connect_timeout_ms      integer    limit for resolving the name, connecting and TLS together; default 5000
 *     max_parallel            integer    the most calls of floatlease_submit that run at a time, 1 to 1000; default 64
 *     threads                 string     "library" (default), or "host": the library starts no thread, and the program
 *                                        calls floatlease_work
 *     proxy                   string     "env" (default), "none" or "http://name:password@host:port"; a proxy of the
 *                                        environment is not used for a server on this machine: docs/proxies.md
 *     tls_roots               string     "platform" (default), "bundled" or PEM certificates
 *     allow_http              boolean    true: allow plain http:// to another machine too
 *     storage_dir             string     absolute path of a folder on a local disk, for what leases and consumptions keep
 *                                        beyond the process; created if missing; default: no file is written
 *     app_name, app_version   strings    your program, for the server's logs
 *
 * On Windows and macOS, "platform" lets the system verify certificates on a thread of its own. The system may ask the
 * network for revocations; a call waits for that only until its deadline or a cancel.
 *
 * Reply: {}
 *
 * Errors:
 * - FLOATLEASE_E_UNKNOWN_KEY, FLOATLEASE_E_WRONG_TYPE, FLOATLEASE_E_BAD_VALUE, FLOATLEASE_E_MISSING_KEY,
 *   FLOATLEASE_E_CONFLICTING_KEYS: the config is wrong; message names the key.
 * - FLOATLEASE_E_NO_PUBLIC_KEY: base_url is not the vendor's cloud, and public_key is missing.
 * - FLOATLEASE_E_INSECURE_URL: base_url or oauth_url is plain http:// to another machine.
 * - FLOATLEASE_E_HARDWARE_ID: the system has no stable id; set hardware_id.
 * - FLOATLEASE_E_OUT_OF_RESOURCES: a file that it reads can't be opened for lack of a descriptor; try again later.
 *
 * On success *client_out is a handle: close it with floatlease_client_close. On failure it is NULL. This function
 * uses no network, starts no thread and writes no file. It reads the environment (proxy variables, SSL_CERT_FILE); no
 * other function does.
 */
floatlease_status floatlease_client_open(const char *config_json,
                                         floatlease_client **client_out,
                                         char **json_out);

/**
 * Cancels every call in flight on this client: each returns FLOATLEASE_E_CANCELLED within 50 ms.
 *
 * It also ends floatlease_client_diagnose and floatlease_next_event, and submitted acquires that wait for a slot. It does
 * not touch later calls, renewals of leases, or submitted calls whose turn has not come: floatlease_cancel ends those.
 *
 * Errors:
 * - FLOATLEASE_E_HANDLE: the client is closed.
 *
 * Call it from any thread. It does not wait for the cancelled calls to return.
 */
floatlease_status floatlease_client_cancel(floatlease_client *client);

/**
 * Releases every lease of a client at once and within a time, for the end of a program. Borrows are kept.
 *
 * It cancels acquires that are under way, and refuses new ones with FLOATLEASE_E_CANCELLED meanwhile. It releases up to
 * max_parallel leases side by side, those too that are being released in the background or whose handle is closed
 * meanwhile. If the server can't be reached it tries again as long as timeout_ms lasts, from 1 to 3600000. Handles stay;
 * leases that are released become RELEASED.
 *
 * Reply: the numbers of leases as in floatlease_lease_info.
 *
 *     {"released":[1],"kept":[2],"left":[{"lease":3,"status":21,"name":"CONNECT","reason":"…"}]}
 *
 *     kept    leases that are borrowed: the slot stays borrowed until its date
 *     left    leases that were not released in time, and those whose release was refused: the library keeps them until
 *             the program ends; then the server frees their slots after their timeout, or the next start does
 *
 * Errors: what is left is no error, because the reply tells it.
 * - FLOATLEASE_E_BAD_VALUE: timeout_ms is out of range.
 * - FLOATLEASE_E_CANCELLED: floatlease_client_cancel was called meanwhile, or floatlease_cancel with its ticket.
 * - FLOATLEASE_E_HANDLE: the client is closed.
 *
 * Slots that verbs have taken, and not leases, are not known to it: release those by verbs. Blocks until timeout_ms at
 * most; "release_all" of floatlease_submit does not block.
 */
floatlease_status floatlease_client_release_all(floatlease_client *client,
                                                uint32_t timeout_ms,
                                                char **json_out);

/**
 * Closes a client and ends its leases.
 *
 * Calls in flight on other threads are cancelled. A call that comes later returns FLOATLEASE_E_HANDLE, and its message
 * says that the client was closed. The client's connections are closed. Its leases become RELEASED. The library releases
 * their slots in the background, each within its release_on_close_ms, except for leases with "keep_alive":"host". The
 * connections that this takes are closed afterwards. A borrowed slot stays borrowed. You still free the handles of the
 * leases, before or after.
 *
 * This function uses no network and waits for nothing. Closing NULL, closing twice, or in a forked child does
 * nothing.
 */
void floatlease_client_close(floatlease_client *client);

/**
 * Tests the files in storage_dir and each step of the way to the server, and reports how each went. Takes no slot.
 *
 * Reply: the report, which holds no secret.
 *
 *     {"ok":false,"version":"0.1.0","base_url":"…","product":"…","hardware_id":"…","checks":[
 *      {"check":"dns","verdict":"ok","ms":1.2,"detail":"…"}, …]}
 *
 *     check      hardware_id, storage, token_endpoint (with client_id only), proxy, dns, tcp, tls, http, clock_skew,
 *                authorisation or signature
 *     verdict    ok, warning, failed or skipped
 *     ok         false if the verdict of any check is failed
 *
 * Errors: a failed check is not an error, because the report tells it.
 * - FLOATLEASE_E_CANCELLED: floatlease_client_cancel was called meanwhile.
 *
 * Blocks until the config's timeout_ms at most.
 */
floatlease_status floatlease_client_diagnose(floatlease_client *client, char **json_out);

/**
 * Activates the license on this device. Every other operation on the license needs that first, once. Takes no slot.
 *
 * Request keys, all optional, besides the common keys:
 *
 *     key                            type     meaning
 *     variables                      object   values that the server keeps for this device
 *     os_ver, hostname, os_hostname, ip, ip_local, mac_address,
 *     app_ver, vm_info               strings  what the device reports about itself
 *     is_vm                          boolean  true: the device is a virtual machine
 *
 * Reply: the license.
 *
 *     {"id":1,"license_type":"…","license_active":true,"is_floating_cloud":true,"floating_users":2,
 *      "floating_timeout":120,"validity_period":"…","product_features":[…],"device_id":1,"hardware_id":"…",…}
 *
 * Errors:
 * - FLOATLEASE_E_LICENSE_NOT_FOUND: the license_key or user is wrong, or belongs to another product.
 * - FLOATLEASE_E_LICENSE_ACTIVATED_MAX_TIMES: the license is active on as many devices as it allows.
 * - FLOATLEASE_E_LICENSE_EXPIRED, FLOATLEASE_E_LICENSE_NOT_ENABLED, FLOATLEASE_E_LICENSE_NOT_ACTIVE: ask the vendor.
 *
 * Blocks until the deadline at most.
 */
floatlease_status floatlease_activate_license(floatlease_client *client, const char *request_json, char **json_out);

/**
 * Returns the license. On a floating license this takes this device's slot, or renews it; a device never has two.
 *
 * Request keys, all optional, besides the common keys:
 *
 *     key                            type     meaning
 *     include_expired_features       boolean  true: list expired features too
 *     env, channel                   strings  which version of the product to describe
 *     os_ver, hostname, os_hostname, ip, ip_local, mac_address,
 *     app_ver, vm_info               strings  what the device reports about itself
 *     is_vm                          boolean  true: the device is a virtual machine
 *
 * Reply: the license.
 *
 *     {"id":1,"license_type":"…","is_expired":false,"validity_period":"…","is_floating_cloud":true,"floating_users":2,
 *      "floating_timeout":120,"floating_in_use_devices":1,"is_borrowed":false,"borrowed_until":null,
 *      "max_borrow_time":24,"product_features":[{"code":"MESH",…}],…}
 *
 * floating_timeout is in minutes: check again before it passes, or the server frees the slot.
 *
 * Errors:
 * - FLOATLEASE_E_FLOATING_NOT_AVAILABLE: no slot is free.
 * - FLOATLEASE_E_DEVICE_NOT_FOUND: call floatlease_activate_license first.
 * - FLOATLEASE_E_LICENSE_EXPIRED, FLOATLEASE_E_LICENSE_NOT_ENABLED, FLOATLEASE_E_LICENSE_NOT_ACTIVE: ask the vendor.
 *
 * Blocks until the deadline at most. floatlease_lease_acquire takes a slot and keeps it.
 */
floatlease_status floatlease_check_license(floatlease_client *client,
                                           const char *request_json,
                                           char **json_out);

/**
 * Deactivates the license on this device. All slots of the device become free, borrowed ones too.
 *
 * Request keys, all optional, besides the common keys:
 *
 *     key        type     meaning
 *     variables  object   values that the server keeps for this device
 *
 * Reply: {"message":"license_deactivated"}
 *
 * Errors:
 * - FLOATLEASE_E_DEVICE_NOT_FOUND: the device was not active. There is nothing to do.
 *
 * Blocks until the deadline at most.
 */
floatlease_status floatlease_deactivate_license(floatlease_client *client, const char *request_json, char **json_out);

/**
 * Borrows the license: its slot belongs to this device until a date, with or without a network. Takes a slot if the
 * device has none. Borrowing again moves the date.
 *
 * Request keys, all optional, besides the common keys:
 *
 *     key             type            meaning
 *     borrowed_until  string or null  the end of the borrow; null (default): as long as the license allows
 *
 * Reply:
 *
 *     {"borrowed_until":"2026-09-27T23:30:48.016Z","max_borrow_time":24,"license_id":1,"device_id":1,
 *      "floating_in_use_devices":1,…}
 *
 * max_borrow_time is in hours.
 *
 * Errors:
 * - FLOATLEASE_E_FLOATING_NOT_AVAILABLE: no slot is free.
 * - FLOATLEASE_E_LICENSE_BORROW_NOT_ALLOWED: the license does not allow borrowing.
 * - FLOATLEASE_E_BORROW_UNTIL_NOT_VALID: the date is past, or too far away.
 * - FLOATLEASE_E_BAD_DATE: borrowed_until is not a date in a form of the conventions.
 *
 * Blocks until the deadline at most. Use floatlease_lease_borrow if the next start of your program must need no
 * network.
 */
floatlease_status floatlease_borrow_license(floatlease_client *client, const char *request_json, char **json_out);

/**
 * Releases the license's slot, borrowed or not.
 *
 * Request keys: the common keys only.
 *
 * Reply: {}
 *
 * Errors:
 * - FLOATLEASE_E_FLOATING_NOT_AVAILABLE: the device held no slot. There is nothing to do.
 *
 * Blocks until the deadline at most.
 */
floatlease_status floatlease_release_license(floatlease_client *client, const char *request_json, char **json_out);

/**
 * Returns a feature. If the feature floats, this takes this device's slot of it, or renews the slot.
 *
 * Request keys, besides the common keys:
 *
 *     key                      type     meaning
 *     feature                  string   required: the feature's code
 *     include_metadata_string  boolean  true: add the metadata as one string too
 *
 * Reply: the feature; the members from floating_users on only if it floats.
 *
 *     {"license_id":1,"id":7,"code":"MESH","name":"…","feature_type":"activation","expiry_date":null,"is_expired":false,
 *      "is_floating_cloud":true,"floating_users":2,"floating_timeout":120,"floating_in_use_devices":1,
 *      "is_borrowed":false,"borrowed_until":null,…}
 *
 * Errors:
 * - FLOATLEASE_E_FLOATING_NOT_AVAILABLE: no slot of the feature is free.
 * - FLOATLEASE_E_INVALID_LICENSE_FEATURE_CODE: the license does not have this feature.
 * - FLOATLEASE_E_DEVICE_NOT_FOUND: call floatlease_activate_license first.
 *
 * Blocks until the deadline at most.
 */
floatlease_status floatlease_check_feature(floatlease_client *client,
                                           const char *request_json,
                                           char **json_out);

/**
 * Borrows a feature whose slot this device holds. floatlease_check_feature takes the slot.
 *
 * Request keys, besides the common keys:
 *
 *     key             type            meaning
 *     feature         string          required: the feature's code
 *     borrowed_until  string or null  the end of the borrow; null (default): as long as the feature allows
 *
 * Reply:
 *
 *     {"borrowed_until":"2026-09-27T23:30:48.016Z","max_borrow_time":24,"license_id":1,"device_id":1,
 *      "floating_in_use_devices":1,…}
 *
 * Errors:
 * - FLOATLEASE_E_FLOATING_FEATURE_DEVICE_NOT_IN_USE: call floatlease_check_feature first.
 * - FLOATLEASE_E_FEATURE_BORROW_NOT_ALLOWED: the feature does not allow borrowing.
 * - FLOATLEASE_E_FEATURE_NOT_FLOATING: the feature does not float, so use it without borrowing.
 * - FLOATLEASE_E_BORROW_UNTIL_NOT_VALID: the date is past, or too far away.
 *
 * Blocks until the deadline at most.
 */
floatlease_status floatlease_borrow_feature(floatlease_client *client, const char *request_json, char **json_out);

/**
 * Releases a feature's slot, borrowed or not.
 *
 * Request keys, besides the common keys:
 *
 *     key      type    meaning
 *     feature  string  required: the feature's code
 *
 * Reply: {}
 *
 * Errors:
 * - FLOATLEASE_E_FLOATING_FEATURE_DEVICE_NOT_IN_USE: the device held no slot. There is nothing to do.
 * - FLOATLEASE_E_FEATURE_NOT_FLOATING: the feature has no slots. There is nothing to do.
 *
 * Blocks until the deadline at most.
 */
floatlease_status floatlease_release_feature(floatlease_client *client, const char *request_json, char **json_out);

/**
 * Books consumptions on a license of type consumption: all of them or none.
 *
 * Request keys, all optional, besides the common keys:
 *
 *     key              type     meaning
 *     consumptions     integer  how many; default 1; negative if the license allows it
 *     allow_overages   boolean  sets whether the license's total may exceed max_consumptions
 *     max_overages     integer  sets by how much
 *     event            array    "consumption_add" (default) or "offline_floating_consumptions_sync", as the only element
 *     ignore_events    boolean  passed on to the server
 *     offline          string   "queue": keep the consumption on disk if the server can't be reached
 *
 * Reply:
 *
 *     {"id":1,"total_consumptions":5,"max_consumptions":100,"allow_overages":false,"max_overages":0,…}
 *
 * With "offline":"queue" and no connection the status is FLOATLEASE_OK, and the reply says why the consumption waits:
 *
 *     {"queued":true,"queued_consumptions":3,"idempotency_key":"…","status":21,"name":"CONNECT","reason":"…"}
 *
 * Errors:
 * - FLOATLEASE_E_LICENSE_NOT_ENOUGH_CONSUMPTIONS: too few are left; nothing was booked.
 * - FLOATLEASE_E_LICENSE_NOT_CONSUMPTION: the license does not count consumptions.
 * - FLOATLEASE_E_CONNECTION_LOST and others with outcome "unknown": the server may have booked them. With
 *   floatlease-server, repeat the call with the same idempotency_key. With the vendor's cloud, read
 *   total_consumptions by floatlease_check_license before you repeat it.
 * - FLOATLEASE_E_MISSING_KEY: "offline" needs storage_dir in the config.
 * - FLOATLEASE_E_QUEUE_FULL: 10,000 consumptions or 8 MiB are queued.
 * - FLOATLEASE_E_BAD_VALUE: the idempotency_key belongs to another queued consumption.
 *
 * Blocks until the deadline at most. docs/offline-consumption.md explains the queue: when it is sent, and how a lost
 * reply is resolved.
 */
floatlease_status floatlease_add_consumption(floatlease_client *client,
                                             const char *request_json,
                                             char **json_out);

/**
 * Books consumptions on a consumption feature: all of them or none.
 *
 * Request keys, besides the common keys:
 *
 *     key           type     meaning
 *     feature       string   required: the feature's code
 *     consumptions  integer  how many; default 1; negative if the feature allows it
 *     event         array    "consumption_add" (default) or "offline_floating_consumptions_sync", as the only element
 *     offline       string   "queue": as for floatlease_add_consumption
 *
 * Reply, or the one of a queued consumption as for floatlease_add_consumption:
 *
 *     {"id":7,"license_id":1,"total_consumptions":5,"max_consumptions":100,"allow_overages":false,"max_overages":0,…}
 *
 * Errors, besides those of floatlease_add_consumption:
 * - FLOATLEASE_E_FEATURE_NOT_ENOUGH_CONSUMPTIONS: too few are left; nothing was booked.
 * - FLOATLEASE_E_UNSUPPORTED_PRODUCT_FEATURE: the product does not have this feature.
 *
 * Blocks until the deadline at most.
 */
floatlease_status floatlease_add_feature_consumption(floatlease_client *client,
                                                     const char *request_json,
                                                     char **json_out);

/**
 * Performs an operation by its name. docs/operations.md lists all names.
 *
 * operation is the name of a function above without its prefix, such as "borrow_license", or one of these:
 *
 *     operation                 request keys                            reply
 *     "product_details"         include_latest_version (boolean),       {"short_code":"…",…}
 *                               include_custom_fields (boolean),
 *                               env, channel (strings)
 *     "products"                none                                    {"items":[{"short_code":"…",…},…]}
 *     "trial_key"               license_policy, email, first_name,      {"license":"the license key","license_type":"…",
 *                               last_name, phone, address, postcode,     "is_trial":true,…}
 *                               state, country, city, reference,
 *                               company_name (strings)
 *     "versions"                env, channel (strings)                  {"items":[{"version":"…",…},…]}
 *     "installation_file"       env, channel, version (strings)         {"version":"…","installation_file":"…",…}
 *     "device_licenses"         hardware_id (string)                    {"items":[the license,…]}
 *     "activate_bundle"         those of floatlease_activate_license;   {"items":[the license,…]}
 *                               product: the bundle
 *     "check_bundle"            those of floatlease_check_license;      {"items":[the license,…]}
 *                               product: the bundle
 *     "deactivate_bundle"       those of floatlease_deactivate_license, {"message":"license_deactivated"}
 *                               and password; product: the bundle
 *     "get_device_variables"    none                                    {"items":[{"variable":"…","value":"…",…},…]}
 *     "track_device_variables"  variables (object), required            {"items":[{"variable":"…","value":"…",…},…]}
 *     "change_password"         username, password, new_password        {"message":"password_changed"}
 *     "user_licenses"           those that name a user, with password   {"items":[{"license":{…},"user":{…}},…]}
 *     "customer_license_users"  customer (string), required             {"customer":{…},"users":[…],…}
 *     "sso_url"                 customer_account_code (string),         {"url":"…","openid_configuration":{…},
 *                               required; redirect_uri, response_type    "alternate_urls":[…]}
 *     "activate_offline"        file (string), required                 the license, which is the reply file
 *     "deactivate_offline"      file (string), required                 {"message":"license_deactivated"}
 *     "write_offline_activation"    those of floatlease_activate_license;  {"file":"…","request_id":"…"}
 *                                   schema_version (1 or 2),
 *                                   pool_reservation (integer)
 *     "write_offline_deactivation"  variables, feature_consumptions        {"file":"…","request_id":"…"}
 *                                   (objects), consumptions,
 *                                   schema_version (integers)
 *     "read_offline_activation"     file, required; request_id (strings)   the license
 *     "sync_consumptions"       those that name license and device;     the object below
 *                               timeout_ms is for the whole of it
 *
 * "change_password" takes username and password from the config if the request leaves them out. The config keeps the old
 * password, so open a new client with the new one. docs/users.md says more.
 *
 * Those with "offline" in their names activate a device without a network by files (docs/offline-activation.md). Those
 * that write or read a file send nothing and never wait.
 *
 * "sync_consumptions" books what is queued (docs/offline-consumption.md). Each consumption that was refused, or whose
 * outcome is unknown, is reported once:
 *
 *     {"event":"CONSUMPTIONS_SYNCED","booked":2,"refused":[{"operation":"add_feature_consumption","feature":"MESH",
 *      "consumptions":7,"idempotency_key":"…","at":"2026-09-27T23:30:48.016Z","status":151,
 *      "name":"FEATURE_NOT_ENOUGH_CONSUMPTIONS","server_code":"feature_not_enough_consumptions","reason":"…"}],
 *      "unknown":[],"waiting":0,"status":0,"name":"OK","reason":null}
 *
 * "waiting" counts what is still queued because of "reason". A missing network is a reason, not an error.
 *
 * Errors, besides those of the operation:
 * - FLOATLEASE_E_UNKNOWN_OPERATION: there is no operation of this name; message names the nearest.
 *
 * Blocks until the deadline at most. Leases have functions of their own.
 */
floatlease_status floatlease_call(floatlease_client *client,
                                  const char *operation,
                                  const char *request_json,
                                  char **json_out);

/**
 * Runs a call in the background and returns at once.
 *
 * operation is a name for floatlease_call, or one of these:
 *
 *     operation        request keys
 *     "lease_acquire"  as for floatlease_lease_acquire
 *     "lease_renew"    lease (integer, required: its number), timeout_ms
 *     "lease_release"  lease (integer, required: its number), timeout_ms
 *     "lease_borrow"   lease (integer, required: its number), timeout_ms, borrowed_until
 *     "release_all"    timeout_ms (integer); see floatlease_client_release_all
 *
 * *ticket_out names the call in floatlease_cancel and in its completion. The completion is an event of
 * floatlease_next_event:
 *
 *     {"event":"COMPLETED","ticket":7,"status":0,"reply":{…}}
 *     {"event":"COMPLETED","ticket":7,"status":141,"error":{…}}
 *
 * Each ticket is completed exactly once while the client is open, also if it is cancelled. A mistake in the request
 * is reported by the completion too, and so is a thread that the system does not start. After a "lease_acquire", call
 * floatlease_lease_accept.
 *
 * Errors:
 * - FLOATLEASE_E_TOO_MANY_CALLS: 1,000 calls are under way, or their completions were not read.
 * - FLOATLEASE_E_HANDLE: the client is closed.
 *
 * Does not block. Up to max_parallel calls run at a time, 64 unless the config says otherwise. Calls that release or
 * renew (release_…, deactivate_…, lease_release, lease_renew) never wait for others. The deadline of a call counts from
 * this function: a call whose turn never comes ends with FLOATLEASE_E_TIMEOUT. A lease_acquire that waits for a slot
 * takes no place meanwhile.
 */
floatlease_status floatlease_submit(floatlease_client *client,
                                    const char *operation,
                                    const char *request_json,
                                    uint64_t *ticket_out);

/**
 * Cancels a submitted call. Its completion arrives within 50 ms, and tells how far the call got.
 *
 * Errors:
 * - FLOATLEASE_E_TICKET: the call is done already.
 *
 * Does not block.
 */
floatlease_status floatlease_cancel(floatlease_client *client, uint64_t ticket);

/**
 * Returns the oldest unread event, or waits for one. wait_ms limits the wait; 0 does not wait.
 *
 * *json_out is NULL with FLOATLEASE_OK if no event came. json_out itself must not be NULL. An event is a completion
 * of floatlease_submit, the event CONSUMPTIONS_SYNCED of floatlease_call, or an event of a lease:
 *
 *     {"event":"GRACE_STARTED","lease":1,"features":["MESH"],"tag":null,"state":"GRACE","remaining_ms":300000,
 *      "status":21,"name":"CONNECT","reason":"…","borrowed_until":null,"at":"2026-09-27T23:30:48.016Z"}
 *     {"event":"WAITING","ticket":7,"lease":2,"features":["SOLVER"],"tag":"main window","status":141,
 *      "name":"FLOATING_NOT_AVAILABLE","reason":"…","asks_again_in_ms":1000,"left_ms":60000}
 *
 *     event          what happened, and what to do
 *     DEGRADED       a renewal failed; the slot is still held
 *     RENEWED        the server confirmed the slot
 *     GRACE_STARTED  another device may have the slot: save now
 *     LOST           save, and stop licensed work; the library keeps asking for the slot
 *     REGAINED       after GRACE_STARTED or LOST, the slot is held again
 *     BORROW_ENDING  the borrow ends in borrow_ending_hours or less
 *     EXPIRING       the license or a feature expires in borrow_ending_hours or less
 *     WAITING        an acquire with wait_ms queues: see asks_again_in_ms and left_ms; there is no state. "ticket" is
 *                    that of floatlease_submit, and is missing for an acquire on a thread of yours
 *
 * Each event of a lease has "lease", the number from floatlease_lease_acquire and floatlease_lease_info, "features",
 * which is empty for the license's own slot, and "tag", the tag of the acquire or null. Tell events apart by "event"
 * first, because WAITING and COMPLETED both have a ticket. "status", "name" and "reason" describe the last failure: 0,
 * "OK" and null without one. The library keeps the newest 1,000 events of leases. If it dropped any, the next event
 * has "missed" with their number.
 *
 * Errors:
 * - FLOATLEASE_E_CANCELLED: floatlease_client_cancel was called during the wait.
 * - FLOATLEASE_E_HANDLE: the client is closed.
 */
floatlease_status floatlease_next_event(floatlease_client *client, uint32_t wait_ms, char **json_out);

/**
 * Returns how many events of a client wait to be read by floatlease_next_event; 0 for a handle that is closed or invalid.
 *
 * With leases of "keep_alive":"host" it counts no transition that is due: floatlease_next_event applies the time first.
 *
 * Wait-free like floatlease_lease_state. A game that looks at this number in every frame takes no lock in a frame without
 * news.
 */
uint32_t floatlease_events_waiting(floatlease_client *client);

/**
 * Does what is due on the calling thread, for a client with "threads":"host": submitted calls, renewals of leases, releases
 * in the background, and bookings of queued consumptions.
 *
 * It does one thing after the other until nothing is due, and begins nothing after max_ms; at least one thing is done if
 * one is due. A request takes as long as its deadline allows, so use short ones (timeout_ms), or several threads: any
 * number of them may call this function at the same time, and each does something else. While one call waits for the
 * server on the only thread, leases are renewed late.
 *
 * *next_ms_out is the time in milliseconds until something is due again, unless a call is submitted before; -1 if nothing
 * is. It may be NULL. A client that only acquires and releases leases is due about every half of a slot's timeout.
 *
 * Errors:
 * - FLOATLEASE_E_BAD_VALUE: the config does not say "threads":"host".
 * - FLOATLEASE_E_HANDLE: the client is closed.
 */
floatlease_status floatlease_work(floatlease_client *client,
                                  uint32_t max_ms,
                                  int64_t *next_ms_out);

/**
 * Advances the clock of this client's leases by by_ms milliseconds, as a sleep of the computer would. For tests.
 *
 * Advance a sandbox's clock by the same time. An advance can't be undone; a client that is opened later begins with
 * the system's clock. Deadlines of calls and wait_ms follow real time.
 *
 * Errors:
 * - FLOATLEASE_E_HANDLE: the client is closed.
 *
 * Does not block.
 */
floatlease_status floatlease_client_advance_clock(floatlease_client *client, uint32_t by_ms);

/**
 * Takes one slot or several, and keeps them: the library renews them in time, reports failures, and recovers after
 * them.
 *
 * docs/leases.md draws the states of a lease, and says what to do in each.
 *
 * Request keys, all optional. Besides them: the common keys that name license and device, and extra.
 *
 *     key                  type     meaning
 *     feature              string   the floating feature to take; without it, the license's own slot
 *     features             array    up to 64 features instead, all or none
 *     tag                  string   any text of up to 256 bytes; events and infos of the lease repeat it
 *     activate             boolean  true: a device that is new to the license is activated first; default false
 *     keep_alive           string   "thread" (default): a thread of the client renews at half of the slot's timeout.
 *                                   "host": no thread; your program calls floatlease_lease_renew, see docs/leases.md
 *     grace_ms             integer  how long work may go on when the slot may be lost; 0 to 86400000, default 300000
 *     borrow_ending_hours  integer  how long before their ends BORROW_ENDING and EXPIRING are reported; 0 to 8760,
 *                                   default 2
 *     wait_ms              integer  how long to queue while all slots are taken, or the server can't be reached; 0 to
 *                                   86400000, default 0
 *     release_on_close_ms  integer  how long the library tries to release the slot in the background after
 *                                   floatlease_lease_free or floatlease_client_close; 0 to 3600000, default 5000; 0
 *                                   releases nothing, nor does "keep_alive":"host"
 *     timeout_ms           integer  deadline of each request about this lease, renewals too; 1 to 3600000, default:
 *                                   the config's. A call may take three times as long for each slot
 *
 * Reply: as for floatlease_lease_info.
 *
 * Errors:
 * - FLOATLEASE_E_FLOATING_NOT_AVAILABLE: no slot is free.
 * - FLOATLEASE_E_DEVICE_NOT_FOUND: the device is new to the license: acquire with "activate":true.
 * - With "activate":true, the errors of floatlease_activate_license, such as
 *   FLOATLEASE_E_LICENSE_ACTIVATED_MAX_TIMES. "outcome" is about the slot: if the device was activated and the slot
 *   could not be had, "message" says so.
 * - FLOATLEASE_E_NOT_FLOATING: an on-premise server of the vendor counts the slots. This library does not speak its
 *   API.
 * - FLOATLEASE_E_STORAGE: storage_dir can't be written to. Nothing was sent.
 * - FLOATLEASE_E_STORAGE_DAMAGED, FLOATLEASE_E_STORAGE_FOREIGN, FLOATLEASE_E_CLOCK_MOVED_BACK, FLOATLEASE_E_NO_PROOF:
 *   the server can't be reached, and the files in storage_dir do not prove a borrow. Connect to the network.
 *
 * "activate":true costs no request on a device that the server knows. The activation has the deadline and the cancel
 * of the acquire, and is tried once; if its reply is lost, the slot is asked for all the same. What it needs must be
 * in the config or the request, such as the password of a user. A renewal activates nothing.
 *
 * A license or feature that does not float needs no slot, and is acquired all the same. With storage_dir, all
 * processes of this user that use the same folder share the slot, and a borrow is proven at the next start without a
 * network.
 *
 * On success *lease_out is a handle: free it with floatlease_lease_free. On failure it is NULL. Blocks for
 * three times timeout_ms at most for each slot, and for wait_ms in addition; floatlease_submit does not block.
 */
floatlease_status floatlease_lease_acquire(floatlease_client *client,
                                           const char *request_json,
                                           floatlease_lease **lease_out,
                                           char **json_out);

/**
 * Returns the handle of the lease that a submitted "lease_acquire" has taken. Call it once its completion was read.
 *
 * Reply: as for floatlease_lease_info.
 *
 * Errors:
 * - FLOATLEASE_E_TICKET: the call took no lease, or the lease was accepted before.
 *
 * On success *lease_out is a handle: free it with floatlease_lease_free. A lease that is never accepted is held until
 * the client is closed. Does not block.
 */
floatlease_status floatlease_lease_accept(floatlease_client *client,
                                          uint64_t ticket,
                                          floatlease_lease **lease_out,
                                          char **json_out);

/**
 * Returns the state of a lease: FLOATLEASE_STATE_ACTIVE and so on, or 0 if the handle is invalid.
 *
 * Licensed work goes on in ACTIVE, DEGRADED, GRACE and BORROWED. 0 means that the handle is closed, invented, or was
 * inherited through fork.
 *
 * Wait-free: no lock, no allocation, and no system call except on Linux before 4.14. Call it in every frame, or on an
 * audio thread.
 */
floatlease_state floatlease_lease_state(floatlease_lease *lease);

/**
 * Returns the milliseconds until licensed work must stop; 0 if it must stop now, or the handle is invalid.
 *
 * In BORROWED it ends at borrowed_until by the server's clock, or a little earlier, never later. In GRACE it is the
 * rest of grace_ms. After a sleep of the computer it may be 0 for some seconds, while the library asks the server. The
 * state decides, not this number.
 *
 * Wait-free like floatlease_lease_state; it reads the system's clock.
 */
int64_t floatlease_lease_remaining(floatlease_lease *lease);

/**
 * Returns everything that is known about a lease.
 *
 * Reply:
 *
 *     {"lease":1,"features":[],"tag":null,"state":"ACTIVE","remaining_ms":7500000,"renews_in_ms":3600000,"status":0,
 *      "name":"OK","reason":null,"borrowed_until":null,"keep_alive":"thread","slots":[{"feature":null,"reply":{…}}]}
 *
 *     lease              the lease's number in events and in floatlease_submit
 *     features           the features of the lease; empty: the license's own slot
 *     tag                the tag of the acquire; null without one
 *     renews_in_ms       time until the next renewal; null if none is due
 *     status             the last failure, with name and reason; 0, "OK" and null without one
 *     slots              each slot, with the server's last reply about it; null if this process has not asked yet
 *
 * Errors:
 * - FLOATLEASE_E_HANDLE: the lease is freed.
 *
 * Uses no network and does not block.
 */
floatlease_status floatlease_lease_info(floatlease_lease *lease, char **json_out);

/**
 * Renews a lease now, with either keep_alive.
 *
 * Reply: as for floatlease_lease_info.
 *
 * Errors: read the state after a failure, because most failures only make the lease DEGRADED.
 * - FLOATLEASE_E_LEASE_OVER: the lease was released, or its client closed.
 *
 * Blocks for three times timeout_ms at most for each slot.
 */
floatlease_status floatlease_lease_renew(floatlease_lease *lease, char **json_out);

/**
 * Borrows a lease: its slots belong to this computer until a date, with or without a network, in this process and
 * later ones.
 *
 * All slots of the lease are borrowed or none. The config needs storage_dir.
 *
 * Request keys, all optional; no others are allowed:
 *
 *     key             type            meaning
 *     borrowed_until  string or null  the end of the borrow; null (default): as long as the license allows
 *     timeout_ms      integer         deadline of each request, 1 to 3600000; default: the lease's
 *
 * Reply: as for floatlease_lease_info, with borrowed_until.
 *
 * Errors: the lease goes on as before, and an earlier borrow stays valid until its own date.
 * - FLOATLEASE_E_LICENSE_BORROW_NOT_ALLOWED, FLOATLEASE_E_FEATURE_BORROW_NOT_ALLOWED: acquire a lease without this
 *   slot.
 * - FLOATLEASE_E_BORROW_UNTIL_NOT_VALID: the date is past, or too far away.
 * - FLOATLEASE_E_MISSING_KEY: storage_dir is missing from the config.
 * - Any error with outcome "unknown": borrow again. Until the server answers, the earlier of both dates counts.
 *
 * Blocks for three times timeout_ms at most for each slot.
 */
floatlease_status floatlease_lease_borrow(floatlease_lease *lease, const char *request_json, char **json_out);

/**
 * Releases the slots of a lease, borrowed or not. The lease becomes RELEASED.
 *
 * The library tells the server only if no other process of this computer holds the slots too. A borrow that another
 * process made, and that this lease has not seen, stays. If the server no longer knows the license, feature or
 * device, the lease is RELEASED as well, and "name" and "reason" say why.
 *
 * Reply: as for floatlease_lease_info.
 *
 * Errors: the lease is still held.
 * - FLOATLEASE_E_STORAGE: the borrow can't be ended while storage_dir can't be written to.
 * - Any error with outcome "unknown": release again. If part of the slots was released, the lease is LOST until the
 *   library has taken them again. If the reply was lost, the library soon asks the server whether the slot is held.
 *
 * Blocks for timeout_ms at most for each slot. docs/leases.md says how to end a program.
 */
floatlease_status floatlease_lease_release(floatlease_lease *lease, char **json_out);

/**
 * Frees the handle of a lease.
 *
 * The library releases a slot that is still held in the background, within release_on_close_ms; not if that is 0, nor
 * for a lease with "keep_alive":"host". A borrow stays,
 * whether the lease or a verb of this client made it. Call floatlease_lease_release before the process ends, because
 * the background work ends with the process.
 *
 * This function uses no network and waits for nothing, so it is safe in a finalizer. Freeing NULL, freeing twice, or
 * in a forked child does nothing.
 */
void floatlease_lease_free(floatlease_lease *lease);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* FLOATLEASE_H */
