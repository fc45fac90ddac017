/*
 * floatlease: take, hold and give back floating (concurrent) licenses.
 *
 * CONVENTIONS, for every function
 *
 * Shape      A function takes a handle and one JSON object, and gives a status and one JSON text. The status says
 *            what happened; the text is the server's answer as it came, for a lease what is known of it, or on failure
 *            an error object (below).
 * Strings    UTF-8, NUL-terminated. What is passed in is read during the call only. What comes out in json_out is
 *            the caller's and is freed with floatlease_string_free.
 * Out        Out pointers are set to NULL on entry. json_out may itself be NULL: the text is not wanted.
 * Requests   request_json may be NULL: everything comes from the client's config. Any request may hold, besides its
 *            own keys: product, hardware_id, license_id, bundle_code, sdk_ver; another way to name the license;
 *            "timeout_ms", the deadline of this call; "extra", an object whose members go to the server as they
 *            are. A number there is an integer of 64 bits, or else the nearest double, and is written as one: 1e2 as 100.0.
 *            Operations that do more than ask take "idempotency_key", 1 to 255 visible ASCII characters, sent as the
 *            Idempotency-Key header; each call has one of its own by default. floatlease-server books a consumption once
 *            for each key, however often it arrives, says so by the same header in its reply, and remembers
 *            it for a week at least, unless the device makes 100,000 such calls meanwhile; the vendor's cloud ignores
 *            the header.
 *            A null member counts as absent, but license_id and bundle_code with null leave the config's out, as does a
 *            request that names another license or product. Of a key given twice the last counts. An unknown key or a wrong type is
 *            an error that names it, and nothing is sent.
 * Dates      "2026-09-27T23:30:48.016Z", "2026-09-27 23:30:48.016", "2026-09-27 23:30:48", "2026-09-27 23:30" and
 *            "2026-09-27" are UTC; an offset as in "2026-09-28T01:30:48+02:00" is honoured. Sent as UTC always.
 * Handles    Tokens, not addresses. A closed, foreign or invented one gives FLOATLEASE_E_HANDLE, one inherited through
 *            fork FLOATLEASE_E_FORKED; it is never a crash. A forked child opens a client of its own.
 * Threads    Any function from any thread at any time. Calls on one client run side by side. Nothing calls back: what
 *            happens by itself comes out of floatlease_next_event.
 * Waiting    Every call that talks to the server ends at its deadline at the latest, and within 50 ms when cancelled. An
 *            acquire may queue for its wait_ms besides. floatlease_submit has the same done in the background. What
 *            frees, closes or tells how a lease stands never waits.
 * Host       Nothing ends the process, except the system when memory has run out: no exception or panic leaves the
 *            library. Nothing is printed. No signal handler; no file, except in "storage_dir" if you give one;
 *            no environment variable read outside floatlease_client_open. Threads, all named "floatlease": one for each
 *            client with leases to keep alive, unless they are yours to keep ("keep_alive":"host"); one while freed
 *            leases are given back; one while consumptions that wait are booked after a renewal; up to four while
 *            submitted calls are under way, and ten seconds longer; one while the system resolves a host name that is
 *            no address, and one while Windows or macOS checks a certificate.
 * Proof      A reply counts only if it carries the server's signature over its very bytes and answers what was asked.
 *            The API leaves the answers to release and deactivate unsigned, and signs no question: an old reply to
 *            the same question verifies as well as a new one. floatlease-server repeats the number of the request, so a
 *            reply that something on the way has kept is told apart as long as nobody alters its headers.
 * Order      What concerns a slot or a device carries a number that only grows, as the FloatLease-Order header.
 *            floatlease-server carries out nothing older than what it has seen, so a request that nobody waits for any
 *            more undoes nothing. docs/guarantees.md says what holds with other servers.
 * Stability  Numbers, names and JSON keys are never changed or reused within an ABI version, only added.
 *
 * THE ERROR OBJECT
 *
 * {"status":141,"name":"FLOATING_NOT_AVAILABLE","category":"license","message":"what happened","advice":"what to do",
 *  "retryable":true,"retry_after_ms":null,"outcome":"rejected","http_status":400,
 *  "server_code":"floating_not_available","attempts":1,"elapsed_ms":12}
 *
 * outcome is what a program must know before it tries again: "not_sent", the request did not leave this machine;
 * "rejected", the server refused it and did nothing; "unknown", it may have been carried out, so ask first. It is of all requests of the call together.
 */


#ifndef FLOATLEASE_H
#define FLOATLEASE_H

/* Generated from src/ffi/exports.rs and src/status.rs by `make header`. Do not edit. */

#include <stdint.h>

/** The call succeeded.
 *  Nothing to do. */
#define FLOATLEASE_OK 0

/** A pointer that must not be NULL is NULL.
 *  Pass the argument the header asks for. */
#define FLOATLEASE_E_NULL_POINTER 1

/** A string is not valid UTF-8.
 *  Encode every string passed to floatlease in UTF-8. */
#define FLOATLEASE_E_UTF8 2

/** A text is not a JSON object.
 *  Pass one JSON object, for example {}; a JSON checker finds the place. */
#define FLOATLEASE_E_JSON 3

/** A key is not known here.
 *  Correct the key; members the library does not know go into "extra". */
#define FLOATLEASE_E_UNKNOWN_KEY 4

/** A value has the wrong JSON type.
 *  Write the value as the type the message names. */
#define FLOATLEASE_E_WRONG_TYPE 5

/** A required key is missing.
 *  Add the key to the config or to the request. */
#define FLOATLEASE_E_MISSING_KEY 6

/** A value is not acceptable.
 *  Correct the value as the message says. */
#define FLOATLEASE_E_BAD_VALUE 7

/** The handle is not open: closed already, of another kind, or never opened.
 *  Use the handle floatlease gave you, until you close it, and only for what it is. */
#define FLOATLEASE_E_HANDLE 8

/** The handle was opened before a fork, by the parent process.
 *  Open a client of its own in the child process. */
#define FLOATLEASE_E_FORKED 9

/** There is no operation of this name.
 *  Use a name from the table in the header, for example "borrow_license". */
#define FLOATLEASE_E_UNKNOWN_OPERATION 10

/** Keys that exclude each other are given together.
 *  Give only one of them. A license is named by license_key, or username, or an SSO token. */
#define FLOATLEASE_E_CONFLICTING_KEYS 11

/** The text is not a date.
 *  Write it as 2026-09-27T23:30:48.016Z, 2026-09-27 23:30 or 2026-09-27, in UTC, or with an offset. */
#define FLOATLEASE_E_BAD_DATE 12

/** Without a public key no reply can be proven.
 *  Set "public_key" to the server's PEM key; to do without proof, say "verify":"off". */
#define FLOATLEASE_E_NO_PUBLIC_KEY 13

/** The base_url would send the license key over an open network.
 *  Use https://; to accept plain http:// to another machine, set "allow_http":true. */
#define FLOATLEASE_E_INSECURE_URL 14

/** No such call is under way.
 *  Use the ticket floatlease_submit gave you, until its completion comes out of floatlease_next_event. */
#define FLOATLEASE_E_TICKET 15

/** Too many submitted calls are under way.
 *  Read floatlease_next_event until it gives none. */
#define FLOATLEASE_E_TOO_MANY_CALLS 16

/** The lease was given back.
 *  Acquire a new one. */
#define FLOATLEASE_E_LEASE_OVER 17

/** The server's name could not be resolved.
 *  Check the network connection and the host in base_url. */
#define FLOATLEASE_E_DNS 20

/** No connection to the server could be made.
 *  Check that the server is running and that a firewall lets this program out. */
#define FLOATLEASE_E_CONNECT 21

/** The secure connection could not be set up.
 *  Check that base_url names a TLS server and that nothing in between alters the connection. */
#define FLOATLEASE_E_TLS 22

/** The server's certificate is not valid at this time.
 *  Renew the server's certificate; if it is fresh, correct this machine's clock. */
#define FLOATLEASE_E_TLS_EXPIRED 23

/** The server's certificate is for another host.
 *  Use the host name the certificate was issued for in base_url. */
#define FLOATLEASE_E_TLS_WRONG_HOST 24

/** The server's certificate is not signed by a trusted authority.
 *  Set "tls_roots" to "platform" or to the PEM of the authority that signed it. */
#define FLOATLEASE_E_TLS_UNKNOWN_CA 25

/** The proxy did not connect to the server.
 *  Check "proxy" and that the proxy allows CONNECT to the server; "none" goes direct. */
#define FLOATLEASE_E_PROXY 26

/** The proxy wants a name and a password.
 *  Write them into the proxy's URL: http://name:password@host:port. */
#define FLOATLEASE_E_PROXY_AUTH 27

/** The deadline passed before the call was done.
 *  Try again later, or raise "timeout_ms". */
#define FLOATLEASE_E_TIMEOUT 28

/** The call was cancelled.
 *  Nothing to do: your program asked for it. */
#define FLOATLEASE_E_CANCELLED 29

/** The connection ended before the reply came.
 *  Ask the server where things stand before you try again: see "outcome". */
#define FLOATLEASE_E_CONNECTION_LOST 30

/** The server limits the rate of requests.
 *  Wait for retry_after_ms before the next call. */
#define FLOATLEASE_E_RATE_LIMITED 31

/** The server could not answer because of an error of its own.
 *  Try again later; if it stays, tell whoever runs the server. */
#define FLOATLEASE_E_SERVER_ERROR 32

/** What answered is not a license server.
 *  Log in to the network if it has a log-in page; check base_url and the proxy. */
#define FLOATLEASE_E_REPLY_NOT_API 33

/** The reply ended too early.
 *  Try again; if it stays, look at proxies between here and the server. */
#define FLOATLEASE_E_REPLY_TRUNCATED 34

/** The reply is larger than 1 MiB.
 *  Check base_url: a license server does not answer that. */
#define FLOATLEASE_E_REPLY_TOO_LARGE 35

/** The server redirects to another address; a signed request is not sent elsewhere.
 *  Set base_url to the final address. */
#define FLOATLEASE_E_REPLY_REDIRECT 36

/** The reply is empty where the API sends an object.
 *  Check base_url and proxies between here and the server. */
#define FLOATLEASE_E_REPLY_EMPTY 37

/** The reply carries no signature, so it proves nothing.
 *  Check that base_url is the license server and that no proxy strips the LicenseSignature header. */
#define FLOATLEASE_E_REPLY_UNSIGNED 38

/** The reply's signature was not made with the configured public key over these bytes.
 *  Check that "public_key" is this server's key; if it is, something in between alters replies. */
#define FLOATLEASE_E_REPLY_SIGNATURE 39

/** The reply was altered on its way: its inner signature is the server's, its body is not what was signed.
 *  Look for a proxy or a program on the way that rewrites replies. */
#define FLOATLEASE_E_REPLY_ALTERED 40

/** The reply is genuine, but it is about another device or license.
 *  Look for a proxy that caches or repeats replies. */
#define FLOATLEASE_E_REPLY_NOT_OURS 41

/** No stable id of this machine was found.
 *  Set "hardware_id" in the config to an id of your own that stays the same on this machine. */
#define FLOATLEASE_E_HARDWARE_ID 50

/** No trusted certificate authorities were found on this machine.
 *  Set "tls_roots" to "bundled" or to PEM certificates, or install the system's CA certificates. */
#define FLOATLEASE_E_TLS_ROOTS 51

/** What is kept on disk can't be read or written.
 *  Check that "storage_dir" is a folder that this program may write to, and that its disk has room. */
#define FLOATLEASE_E_STORAGE 52

/** A file that floatlease keeps is damaged.
 *  Restore the file, or move it away; the server must then confirm again what it proved. */
#define FLOATLEASE_E_STORAGE_DAMAGED 53

/** A file that floatlease keeps is of another device or another product.
 *  Give each machine a "storage_dir" of its own; move a copied file away. */
#define FLOATLEASE_E_STORAGE_FOREIGN 54

/** This machine's clock was set back, so it can't tell whether a borrow is over.
 *  Correct this machine's clock, or connect to the server once. */
#define FLOATLEASE_E_CLOCK_MOVED_BACK 55

/** Nothing that is stored proves a running borrow, and the server can't be asked.
 *  Connect to the network; borrow before you leave it next time. */
#define FLOATLEASE_E_NO_PROOF 56

/** The slots of this license are counted by another server.
 *  Use the vendor's on-premise floating server with a client of the vendor, or ask for a floating cloud license. */
#define FLOATLEASE_E_NOT_FLOATING 57

/** As many consumptions as can be kept wait to be booked or to be told.
 *  Connect to the network and call sync_consumptions; its reply tells what was refused. */
#define FLOATLEASE_E_QUEUE_FULL 58

/** The sandbox refused the call, or what was expected of it did not happen.
 *  Read the message; in the sandbox GET /openapi.json lists every call. */
#define FLOATLEASE_E_SANDBOX 60

/** The library failed; your program's state is untouched.
 *  Please report it with this error's message. */
#define FLOATLEASE_E_INTERNAL 70

/** The server refused with a code this version does not know.
 *  See server_code and the message. */
#define FLOATLEASE_E_UNKNOWN_CODE 100

/** The server missed request headers.
 *  Look for a proxy that strips Date or Authorization. */
#define FLOATLEASE_E_MISSING_HEADERS 101

/** The server could not read the Authorization header.
 *  Look for a proxy that rewrites headers; check api_key for odd characters. */
#define FLOATLEASE_E_AUTHORIZATION_INVALID_HEADERS 102

/** The Authorization header misses a parameter.
 *  Look for a proxy that rewrites headers. */
#define FLOATLEASE_E_AUTHORIZATION_MISSING_PARAMS 103

/** The server wants hmac-sha256.
 *  Check that base_url is a License API v4. */
#define FLOATLEASE_E_HMAC_REQUIRED 104

/** This machine's clock is too far from the server's, also after correction.
 *  Set this machine's clock. */
#define FLOATLEASE_E_DATE_HEADER_DIFF 105

/** The server does not accept the request's signature.
 *  Check shared_key: it must be the one that belongs to api_key. */
#define FLOATLEASE_E_SIGNATURE_MISMATCH 106

/** The server does not know the API key.
 *  Check api_key and base_url. */
#define FLOATLEASE_E_INVALID_API_KEY 107

/** The API key was revoked.
 *  Ship a program with a valid api_key. */
#define FLOATLEASE_E_REVOKED_API_KEY 108

/** The API key may only read.
 *  Use an api_key that may write. */
#define FLOATLEASE_E_READ_ONLY_API_KEY 109

/** The API key may not be used for this product.
 *  Use an api_key of this product. */
#define FLOATLEASE_E_API_KEY_PRODUCT_NOT_ALLOWED 110

/** The access token has expired.
 *  Try again: a new one is fetched. */
#define FLOATLEASE_E_OAUTH_TOKEN_EXPIRED 111

/** The server could not read the access token.
 *  Check the client id and secret. */
#define FLOATLEASE_E_OAUTH_TOKEN_MALFORMED 112

/** The server found a parameter invalid.
 *  See the message for the parameter. */
#define FLOATLEASE_E_VALIDATION_ERROR 113

/** The server missed parameters.
 *  See the message for their names. */
#define FLOATLEASE_E_MISSING_PARAMETERS 114

/** The server missed the request's content.
 *  Send the content this operation asks for. */
#define FLOATLEASE_E_MISSING_CONTENT 115

/** The server missed the hardware id.
 *  Set hardware_id. */
#define FLOATLEASE_E_MISSING_HARDWARE_ID 116

/** The server wants an e-mail address.
 *  Give "email". */
#define FLOATLEASE_E_EMAIL_MISSING 117

/** The server could not read the request's JSON.
 *  Look for a proxy that rewrites requests. */
#define FLOATLEASE_E_INVALID_JSON 118

/** The server does not have this address.
 *  Check base_url; it ends in /api/v4. */
#define FLOATLEASE_E_NOT_FOUND 119

/** The server does not know the product.
 *  Check "product": it is the product's short code. */
#define FLOATLEASE_E_UNKNOWN_PRODUCT 120

/** The product was archived.
 *  Ask the vendor for the product that replaces it. */
#define FLOATLEASE_E_ARCHIVED_PRODUCT 121

/** The product is disabled.
 *  Ask the vendor. */
#define FLOATLEASE_E_DISABLED_PRODUCT 122

/** The license does not have this feature.
 *  Check "feature" and what the license includes. */
#define FLOATLEASE_E_UNSUPPORTED_PRODUCT_FEATURE 123

/** The product does not take this kind of authorisation.
 *  Use a license key for key-based products, a username for user-based ones. */
#define FLOATLEASE_E_INVALID_PRODUCT_AUTH_METHOD 124

/** There is no such version of the product.
 *  Check version, env and channel. */
#define FLOATLEASE_E_VERSION_NOT_FOUND 125

/** The product wants a license key.
 *  Set license_key. */
#define FLOATLEASE_E_LICENSE_KEY_REQUIRED 126

/** The server wants a license key or a user.
 *  Set license_key, or username. */
#define FLOATLEASE_E_LICENSE_KEY_OR_LICENSE_USER_REQUIRED 127

/** No license belongs to this key or user.
 *  Check license_key, or username and password, and that they are for this product. */
#define FLOATLEASE_E_LICENSE_NOT_FOUND 128

/** The license is not active.
 *  Ask the vendor to activate it. */
#define FLOATLEASE_E_LICENSE_NOT_ACTIVE 129

/** The license is disabled.
 *  Ask the vendor why. */
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

/** This needs an active license.
 *  Activate the license first. */
#define FLOATLEASE_E_ACTIVE_LICENSE_REQUIRED 134

/** The license is active on as many devices as it allows.
 *  Deactivate it on another device. */
#define FLOATLEASE_E_LICENSE_ACTIVATED_MAX_TIMES 135

/** The license was moved between devices as often as it allows.
 *  Ask the vendor. */
#define FLOATLEASE_E_LICENSE_TRANSFERRED_MAX_TIMES 136

/** The user is active on as many devices as the license allows.
 *  Deactivate it on another device. */
#define FLOATLEASE_E_LICENSE_USER_ACTIVATED_MAX_TIMES 137

/** This device is not activated for the license.
 *  Call activate_license first; check that hardware_id is the same as then. */
#define FLOATLEASE_E_DEVICE_NOT_FOUND 138

/** The vendor has blocked this device.
 *  Ask the vendor. */
#define FLOATLEASE_E_BLACKLISTED 139

/** The license may not be borrowed.
 *  Stay online, or ask for a license that may be borrowed. */
#define FLOATLEASE_E_LICENSE_BORROW_NOT_ALLOWED 140

/** No floating slot is free.
 *  Wait until a colleague gives a slot back, or get more slots. */
#define FLOATLEASE_E_FLOATING_NOT_AVAILABLE 141

/** The license cannot be borrowed until then.
 *  Choose a time in the future within max_borrow_time hours and the license's validity; null takes the longest. */
#define FLOATLEASE_E_BORROW_UNTIL_NOT_VALID 142

/** The feature does not float.
 *  Use it without borrowing or releasing it. */
#define FLOATLEASE_E_FEATURE_NOT_FLOATING 143

/** The feature may not be borrowed.
 *  Stay online, or ask for a license whose feature may be borrowed. */
#define FLOATLEASE_E_FEATURE_BORROW_NOT_ALLOWED 144

/** This device holds no slot of the feature.
 *  Call check_feature first; it takes the slot. */
#define FLOATLEASE_E_FLOATING_FEATURE_DEVICE_NOT_IN_USE 145

/** The license does not have this feature.
 *  Check "feature" and what the license includes. */
#define FLOATLEASE_E_INVALID_LICENSE_FEATURE_CODE 146

/** A later request about the same slot reached the server first, so this one was not carried out.
 *  Try again. If it stays, check this machine's clock, and that no other machine uses the same hardware_id. */
#define FLOATLEASE_E_ORDER_OUTDATED 147

/** The license does not count consumptions.
 *  Use a license of type consumption, or a consumption feature. */
#define FLOATLEASE_E_LICENSE_NOT_CONSUMPTION 150

/** The feature has too few consumptions left; nothing was booked.
 *  Consume less, wait for the next period, or buy more. */
#define FLOATLEASE_E_FEATURE_NOT_ENOUGH_CONSUMPTIONS 151

/** Consumptions may not be given back here.
 *  Add a positive number. */
#define FLOATLEASE_E_NEGATIVE_CONSUMPTIONS_NOT_ALLOWED 152

/** The license has too few consumptions left; nothing was booked.
 *  Consume less, wait for the next period, or buy more. */
#define FLOATLEASE_E_LICENSE_NOT_ENOUGH_CONSUMPTIONS 153

/** The license belongs to another customer account.
 *  Check customer_account_code. */
#define FLOATLEASE_E_CUSTOMER_ACCOUNT_ID_MISMATCH 160

/** There is no such customer account.
 *  Check customer_account_code. */
#define FLOATLEASE_E_CUSTOMER_ACCOUNT_NOT_FOUND 161

/** There is no such customer.
 *  Check the customer's e-mail address. */
#define FLOATLEASE_E_CUSTOMER_DOES_NOT_EXIST 162

/** There is no such customer.
 *  Check the customer's e-mail address. */
#define FLOATLEASE_E_CUSTOMER_NOT_FOUND 163

/** The password may not be changed here.
 *  Change it where the user's account is kept. */
#define FLOATLEASE_E_CHANGE_PASSWORD_NOT_ALLOWED 164

/** The order id is in use.
 *  Choose another order id. */
#define FLOATLEASE_E_ORDER_ID_EXISTS 165

/** The server reports an error of its own.
 *  Try again later; if it stays, tell whoever runs the server. */
#define FLOATLEASE_E_SERVER_INTERNAL_ERROR 166


/**
 * The ABI's major version: this header belongs to libraries that return the same.
 */
#define FLOATLEASE_ABI_VERSION 1

/**
 * Confirmed by the server within its timeout: run.
 */
#define FLOATLEASE_STATE_ACTIVE 1

/**
 * The last renewal failed, the slot is still yours: run; perhaps a quiet notice.
 */
#define FLOATLEASE_STATE_DEGRADED 2

/**
 * The slot is no longer surely yours, your own grace_ms counts down: run, and ask the user to save.
 */
#define FLOATLEASE_STATE_GRACE 3

/**
 * Yours until a date, network or not: run.
 */
#define FLOATLEASE_STATE_BORROWED 4

/**
 * Over: stop licensed work; the document is still the user's.
 */
#define FLOATLEASE_STATE_LOST 5

/**
 * Given back.
 */
#define FLOATLEASE_STATE_RELEASED 6

/**
 * A client: one product, one device, one server. A token, not an address.
 */
typedef struct floatlease_client floatlease_client;

/**
 * A lease: a held slot of a license or a feature, or several. A token, not an address.
 */
typedef struct floatlease_lease floatlease_lease;

/**
 * What a call returns: FLOATLEASE_OK or one of FLOATLEASE_E_…. Expect numbers that this header does not know.
 */
typedef int32_t floatlease_status;

/**
 * How a lease stands: FLOATLEASE_STATE_…, or 0 for what is no open lease. Never an error.
 */
typedef int32_t floatlease_state;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The ABI's major version of the library that was loaded. Compare it with FLOATLEASE_ABI_VERSION.
 */
uint32_t floatlease_abi_version(void);

/**
 * The library's version, for example "0.1.0". Static: not to be freed.
 */
const char *floatlease_version(void);

/**
 * The name of a status, for example "FLOATING_NOT_AVAILABLE"; "UNKNOWN_STATUS" for a number that is none. Static:
 * not to be freed.
 */
const char *floatlease_status_name(floatlease_status status);

/**
 * Frees a string that a function put into json_out. NULL is ignored. Each string is freed once.
 */
void floatlease_string_free(char *string);

/**
 * Opens a client. Touches no network, starts no thread, writes no file; reads the environment here and nowhere
 * else (proxy variables, SSL_CERT_FILE).
 *
 * config_json is one object. Unknown keys are errors; a null member counts as absent.
 *
 *     product              required: the product's short code
 *     license_key          names the license; or
 *     username, password   for user-based products; or
 *     id_token | code      with customer_account_code: an SSO token or code
 *     redirect_uri         optional, goes with an SSO code
 *     license_id           optional integer: which of several licenses of a user
 *     bundle_code          optional: the bundle the license came with
 *     api_key, shared_key  required: the keys of the vendor's account
 *     base_url             default "https://api.licensespring.com/api/v4"
 *     public_key           PEM public key or certificate that proves replies; required for any other base_url
 *     verify               "on" (default) or "off": believe replies without proof
 *     hardware_id          names this device; default: derived from an id of the system, see
 *                          floatlease_client_diagnose
 *     timeout_ms           deadline of a call that names none; default 15000
 *     connect_timeout_ms   the most of it for name, connection and TLS together; default 5000
 *     proxy                "env" (default), "none" or "http://name:password@host:port"; from the environment it is
 *                          not used for a server on this machine
 *     tls_roots            "platform" (default), "bundled" or PEM certificates. On Windows and macOS "platform" leaves
 *                          the check of certificates to the system, which may ask the network for revocations: a
 *                          thread waits for that, and a call no longer than its deadline
 *     allow_http           true: plain http:// also to other machines
 *     storage_dir          the absolute path of a folder on a local disk, made if need be, for what leases and
 *                          consumptions keep beyond the process: see floatlease_lease_acquire,
 *                          floatlease_add_consumption. Without it no file is ever written
 *     app_name, app_version   the host program, for the server's logs
 *
 * On success *client_out is a handle for floatlease_client_close and *json_out "{}". On failure *client_out is NULL.
 */
floatlease_status floatlease_client_open(const char *config_json, floatlease_client **client_out, char **json_out);

/**
 * Wakes every call in flight on this client, floatlease_client_diagnose and floatlease_next_event too: each returns
 * FLOATLEASE_E_CANCELLED. Calls made later are not touched, nor are renewals of leases, nor submitted calls whose turn
 * has not come: floatlease_cancel ends those.
 */
floatlease_status floatlease_client_cancel(floatlease_client *client);

/**
 * Closes a client. Local: touches no network and waits for nothing. Calls in flight on other threads are cancelled, and
 * its leases are over: RELEASED. What they held is given back in the background, each within its release_on_close_ms,
 * but for those that the host keeps alive; what is borrowed stays borrowed. Their handles are still yours to free, before or after.
 * Closing NULL, twice, or in a forked child does nothing.
 */
void floatlease_client_close(floatlease_client *client);

/**
 * Tries each step from here to the server's signature and tells how it went. Takes no slot; the report holds no
 * secret. Returns FLOATLEASE_OK whenever there is a report:
 *
 *     {"ok":false,"version":"0.1.0","base_url":"…","product":"…","hardware_id":"…","checks":[
 *      {"check":"dns","verdict":"ok","ms":1.2,"detail":"…"}, …]}
 *
 * Checks: hardware_id, proxy, dns, tcp, tls, http, clock_skew, authorisation, signature. Verdicts: ok, warning,
 * failed, skipped. "ok" is false if any check failed.
 */
floatlease_status floatlease_client_diagnose(floatlease_client *client, char **json_out);

/**
 * Makes this device known to the license. Takes no slot. Must precede everything below.
 *
 * Own keys: variables (object), and what the device tells of itself: os_ver, hostname, os_hostname, ip, ip_local,
 * mac_address, app_ver, vm_info (strings), is_vm (boolean).
 * Reply: the license object.
 */
floatlease_status floatlease_activate_license(floatlease_client *client, const char *request_json, char **json_out);

/**
 * Asks how the license stands. On a floating license this takes this device's slot, or renews it; a device never
 * has more than one. FLOATLEASE_E_FLOATING_NOT_AVAILABLE if none is free.
 *
 * Own keys: include_expired_features (boolean), env, channel, and those of floatlease_activate_license but variables.
 * Reply: the license object, with floating_in_use_devices, is_borrowed, borrowed_until.
 */
floatlease_status floatlease_check_license(floatlease_client *client, const char *request_json, char **json_out);

/**
 * Makes the license forget this device; all its slots are free, borrowed ones too.
 *
 * Own keys: variables (object). Reply: {"message":"license_deactivated"}.
 */
floatlease_status floatlease_deactivate_license(floatlease_client *client, const char *request_json, char **json_out);

/**
 * Borrows the license: its slot is this device's until borrowed_until, with or without a network. Takes a slot if
 * need be. Borrowing again moves the date.
 *
 * Own keys: borrowed_until, a date in the forms of the conventions, or null (default): as long as the license allows.
 * Reply: {"borrowed_until":…,"max_borrow_time":hours,"device_id":…,"license_id":…,"floating_in_use_devices":…}.
 */
floatlease_status floatlease_borrow_license(floatlease_client *client, const char *request_json, char **json_out);

/**
 * Gives the license's slot back, borrowed or not. FLOATLEASE_E_FLOATING_NOT_AVAILABLE if this device held none.
 *
 * Own keys: none. Reply: {}.
 */
floatlease_status floatlease_release_license(floatlease_client *client, const char *request_json, char **json_out);

/**
 * Asks how a feature stands. If it floats, this takes this device's slot of the feature, or renews it.
 *
 * Own keys: feature (required), include_metadata_string (boolean).
 * Reply: the feature with license_id; on floating features also floating_in_use_devices.
 */
floatlease_status floatlease_check_feature(floatlease_client *client, const char *request_json, char **json_out);

/**
 * Borrows a feature whose slot this device holds already (floatlease_check_feature takes it).
 *
 * Own keys: feature (required), borrowed_until as for floatlease_borrow_license. Reply: as there.
 */
floatlease_status floatlease_borrow_feature(floatlease_client *client, const char *request_json, char **json_out);

/**
 * Gives a feature's slot back, borrowed or not. FLOATLEASE_E_FLOATING_FEATURE_DEVICE_NOT_IN_USE if this device held
 * none.
 *
 * Own keys: feature (required). Reply: {}.
 */
floatlease_status floatlease_release_feature(floatlease_client *client, const char *request_json, char **json_out);

/**
 * Books consumptions on a license of type consumption: all of them or none. If the outcome is "unknown", try again with
 * the same "idempotency_key" where the server is floatlease-server; the vendor's cloud knows no repetition, so ask for
 * total_consumptions there before you try again.
 *
 * Own keys: consumptions (integer, default 1, negative if the license allows it), max_overages (integer),
 * allow_overages (boolean), event (array of one string), ignore_events (boolean), offline ("queue").
 * Reply: total_consumptions, max_consumptions and the license's limits.
 *
 * With "offline":"queue", and "storage_dir" in the config, nothing is lost if the server can't be reached: what is asked
 * for is on disk before it is sent, and is booked later, behind what waits already, by this process or another:
 *
 *     {"queued":true,"queued_consumptions":3,"idempotency_key":"…","status":21,"name":"CONNECT","reason":"…"}
 *
 * is then the reply, with FLOATLEASE_OK; the middle one counts what waits of this license on this device, the last three
 * say why. What the server refuses is an error as ever, and is not kept. A consumption is booked once: after a lost reply
 * floatlease-server is asked again under the same key, for six days; any other server is asked for its total before and after, by
 * floatlease_check_license or floatlease_check_feature (a slot that this takes of what floats is given back at once,
 * unless a lease of this machine holds it). Such a server may still book what it was asked for until 30 s after the
 * request was sent, or until its timeout_ms if that is longer; so long the consumption stays queued, with all behind it.
 * If the total is as it was, and the license allows no negative consumptions, the consumption is sent again. Any other
 * total may be another device's doing, even one that has risen by the same amount: then it is
 * FLOATLEASE_E_CONNECTION_LOST with the outcome "unknown", and never repeated. The same "idempotency_key" again is the
 * same wish while it waits, and at floatlease-server once it is booked too; for other consumptions it is
 * FLOATLEASE_E_BAD_VALUE as long as the first wait or are to be told. Whoever else books on this machine is waited for,
 * until the deadline; a consumption is kept then, if its turn did not come.
 *
 * What waits is booked, with the event "offline_floating_consumptions_sync", by "sync_consumptions" of floatlease_call,
 * before the next consumption with "offline":"queue", and when a lease of this license with "keep_alive":"thread" was
 * acquired or renewed. FLOATLEASE_E_QUEUE_FULL at 10,000 entries or 8 MiB.
 */
floatlease_status floatlease_add_consumption(floatlease_client *client,
                                             const char *request_json,
                                             char **json_out);

/**
 * Books consumptions on a consumption feature, as floatlease_add_consumption does on a license.
 *
 * Own keys: feature (required), consumptions, event, offline. Reply: total_consumptions, max_consumptions and the
 * feature's limits.
 */
floatlease_status floatlease_add_feature_consumption(floatlease_client *client,
                                                     const char *request_json,
                                                     char **json_out);

/**
 * Performs an operation by name: each of the functions above without its prefix ("borrow_license"), and
 * "product_details" (own keys: include_latest_version, include_custom_fields, env), which has no function; and
 * "sync_consumptions" (no keys but those that name license and device, and timeout_ms for all of it), which books what
 * waits, see floatlease_add_consumption:
 *
 *     {"event":"CONSUMPTIONS_SYNCED","booked":2,"refused":[{"operation":"add_feature_consumption","feature":"MESH",
 *      "consumptions":7,"idempotency_key":"…","at":"2026-09-27T23:30:48.016Z","status":151,
 *      "name":"FEATURE_NOT_ENOUGH_CONSUMPTIONS","server_code":"feature_not_enough_consumptions","reason":"…"}],
 *      "unknown":[],"waiting":0,"status":0,"name":"OK","reason":null}
 *
 * "refused" were not booked, of "unknown" nobody can tell: each is kept until this reply has told it once. "waiting" are
 * left because of "reason", such as no network, which is no error here. Leases have functions of their own, and
 * floatlease_submit.
 */
floatlease_status floatlease_call(floatlease_client *client,
                                  const char *operation,
                                  const char *request_json,
                                  char **json_out);

/**
 * Does a call in the background. operation is any that floatlease_call knows, "sync_consumptions" too, or
 * "lease_acquire", "lease_renew", "lease_borrow", "lease_release", whose requests are those of the functions; the last
 * three take the number of the lease as "lease" besides, and may have a "timeout_ms". Returns at once; what is wrong with
 * the request is told by the completion, and the call's deadline counts from the moment its turn comes. Up to four are
 * done at the same time.
 *
 * *ticket_out names the call in floatlease_cancel and in its completion, which is an event:
 *
 *     {"event":"COMPLETED","ticket":7,"status":0,"reply":{…}}   or   {…,"status":141,"error":{…}}
 *
 * Each ticket is completed exactly once, also if it is cancelled, with the client open. FLOATLEASE_E_TOO_MANY_CALLS if
 * 1,000 are under way or were not read.
 */
floatlease_status floatlease_submit(floatlease_client *client,
                                    const char *operation,
                                    const char *request_json,
                                    uint64_t *ticket_out);

/**
 * Ends a submitted call as soon as it can be, within 50 ms (name resolution excepted); its completion says how far it
 * got. FLOATLEASE_E_TICKET if it is done already.
 */
floatlease_status floatlease_cancel(floatlease_client *client, uint64_t ticket);

/**
 * Gives the oldest event that was not read yet; waits for one wait_ms at most, 0: not at all. FLOATLEASE_OK with
 * *json_out NULL: none came; json_out itself must not be NULL. Completions of floatlease_submit stand above; leases tell:
 *
 *     {"event":"GRACE_STARTED","lease":1,"state":"GRACE","remaining_ms":300000,"status":21,"name":"CONNECT",
 *      "reason":"…","borrowed_until":null,"at":"2026-09-27T23:30:48.016Z"}
 *
 *     DEGRADED       a renewal failed; the slot is still yours
 *     RENEWED        it was renewed
 *     GRACE_STARTED  the slot is no longer surely yours: save
 *     LOST           save, and stop licensed work; the library goes on asking
 *     REGAINED       after GRACE_STARTED or LOST, it is yours again
 *     BORROW_ENDING  the borrow ends in borrow_ending_hours or less
 *     EXPIRING       the license, or a feature, expires in borrow_ending_hours or less
 *     WAITING        an acquire with wait_ms queues: asks_again_in_ms and left_ms, and no state
 *
 * and CONSUMPTIONS_SYNCED tells, as the reply of "sync_consumptions" does, what was booked or refused besides.
 *
 * "lease" is the number that floatlease_lease_acquire and floatlease_lease_info tell; "status", "name" and "reason" are
 * of the last failure, 0, "OK" and null without one. Events of leases are kept for you to the number of 1,000, the
 * newest; if any were dropped, the next one says how many: "missed":n. Expect events and members that this header does
 * not know. FLOATLEASE_E_CANCELLED if floatlease_client_cancel came while it waited, FLOATLEASE_E_HANDLE once the client
 * is closed.
 */
floatlease_status floatlease_next_event(floatlease_client *client,
                                        uint32_t wait_ms,
                                        char **json_out);

/**
 * Puts the clock of this client's leases ahead by so many milliseconds, as a sleep of the machine would. For tests,
 * beside the same advance of a sandbox's clock. It can only bring ends nearer; nothing puts it back, and a client that is
 * opened later begins with the system's clock. Deadlines of calls and wait_ms go by real time.
 */
floatlease_status floatlease_client_advance_clock(floatlease_client *client,
                                                  uint32_t by_ms);

/**
 * Takes a slot, or several, and keeps them: renews in time, tells when that fails, comes back when it can. The device
 * must be known to the license: FLOATLEASE_E_DEVICE_NOT_FOUND asks for floatlease_activate_license, once. docs/leases.md
 * draws the states and says what to do in each.
 *
 * Own keys, all optional; besides them those that name license and device, "extra", and "timeout_ms", here the deadline
 * of each request about the lease, renewals too. A call has the time of three for each slot, which it needs where a borrow
 * is to be proven; most are done with one.
 *
 *     feature              the floating feature to take; without it, the license's own slot
 *     features             several, 64 at most: all of them or none
 *     keep_alive           "thread" (default): one thread for all leases of this client renews at half of the slot's
 *                          timeout; while it waits for an answer, another looks after the other leases. "host": no
 *                          thread; call floatlease_lease_renew when renews_in_ms is 0, and floatlease_next_event every
 *                          second or so, which then moves the state as time goes by; release before you free, for
 *                          nobody gives the slot back in the background
 *     grace_ms             how long you may run on when the slot is no longer surely yours; default 300000, 86400000 at
 *                          most, 0: not at all
 *     borrow_ending_hours  how long before its end a borrow is announced to end, and a license or a feature to expire;
 *                          default 2, 8760 at most
 *     wait_ms              how long to queue for a slot while all are taken, or the server can't be asked: asks again,
 *                          ever more seldom up to every 15 s, and tells WAITING and why; default 0, 86400000 at most
 *     release_on_close_ms  how long the slot may still be given back after floatlease_lease_free and
 *                          floatlease_client_close, if the process lives on; default 5000, 3600000 at most, 0 leaves it
 *                          to the next start or the server's timeout
 *
 * With "storage_dir" in the config the slot is shared by all processes of this machine and user that use the same
 * folder: the last one out gives it back, also after the others were killed; what a killed process held is taken over or
 * given back by the next acquire; and a borrow is proven by the server's signed replies, so that the next start needs no
 * network. While the server can't be asked, files that can't be believed are refused (FLOATLEASE_E_STORAGE_DAMAGED,
 * …_STORAGE_FOREIGN, …_CLOCK_MOVED_BACK, …_NO_PROOF); once it can, it decides, and a damaged file is moved aside. None is
 * deleted. Without a folder the leases of one client share a slot, and nothing outlives the process.
 *
 * On success *lease_out is a handle for floatlease_lease_free and *json_out what floatlease_lease_info tells.
 * FLOATLEASE_E_FLOATING_NOT_AVAILABLE if no slot is free. What does not float needs no slot and is acquired all the same;
 * FLOATLEASE_E_NOT_FLOATING if it floats on a server that the vendor runs at the site, which this library does not know.
 */
floatlease_status floatlease_lease_acquire(floatlease_client *client,
                                           const char *request_json,
                                           floatlease_lease **lease_out,
                                           char **json_out);

/**
 * Gives the handle of the lease that a submitted "lease_acquire" has taken, once its completion was read. One that is
 * never accepted is held until the client is closed. FLOATLEASE_E_TICKET if that call has taken none, or it was accepted
 * already. *json_out is what floatlease_lease_info tells.
 */
floatlease_status floatlease_lease_accept(floatlease_client *client,
                                          uint64_t ticket,
                                          floatlease_lease **lease_out,
                                          char **json_out);

/**
 * How a lease stands. Wait-free: no lock, no memory, no system call (but one on Linux before 4.14); for every frame and for
 * an audio thread.
 * 0 if the handle is no open lease, or was inherited through fork. Work goes on in ACTIVE, DEGRADED, GRACE and BORROWED.
 */
floatlease_state floatlease_lease_state(floatlease_lease *lease);

/**
 * Milliseconds until licensed work must stop, 0 when it must; in GRACE, what is left of it. Wait-free like
 * floatlease_lease_state; it reads the system's clock. After a sleep of the machine it may be 0 for some seconds while the
 * server is asked, and the state still as before: go by the state.
 */
int64_t floatlease_lease_remaining(floatlease_lease *lease);

/**
 * All that is known of a lease. Local.
 *
 *     {"lease":1,"state":"ACTIVE","remaining_ms":7500000,"renews_in_ms":3600000,"status":0,"name":"OK","reason":null,
 *      "borrowed_until":null,"keep_alive":"thread","slots":[{"feature":null,"reply":{…}}]}
 *
 * "lease" is its number in events; "slots" are its slots with the server's last reply about each (null if it was not
 * asked since this process began); "renews_in_ms" is null when it is not going to be renewed.
 */
floatlease_status floatlease_lease_info(floatlease_lease *lease, char **json_out);

/**
 * Renews a lease now, whoever keeps it alive. Its state says what a failure means; FLOATLEASE_E_LEASE_OVER once it was
 * given back. *json_out is what floatlease_lease_info tells.
 */
floatlease_status floatlease_lease_renew(floatlease_lease *lease, char **json_out);

/**
 * Borrows a lease: its slots are this machine's until borrowed_until, with or without a network, in this process and in
 * those to come. All of its slots or none, so leave out of the lease what may not be borrowed. Needs "storage_dir". On
 * failure the lease goes on as it was, and a borrow that runs already stands until its own date; if the outcome is
 * "unknown", borrow again. One that was to end sooner then counts until the earlier date, until the server is asked.
 *
 * Own keys: borrowed_until, a date in the forms of the conventions, or null (default): as long as the license allows;
 * timeout_ms. *json_out is what floatlease_lease_info tells, with borrowed_until.
 */
floatlease_status floatlease_lease_borrow(floatlease_lease *lease, const char *request_json, char **json_out);

/**
 * Gives the slots of a lease back, borrowed or not; the server hears of it only if no other process of this machine
 * holds them too. A borrow that another process has made, and this lease has not heard of, stays. A server that no
 * longer knows the license, the feature or the device has nothing to let go of: the lease is RELEASED, and "name" and
 * "reason" say so. Does not depend on "storage_dir", except for a borrow. On failure the lease is still held; if a part
 * of its slots was given back it is LOST, until they are taken again, and the outcome is "unknown": release again. If
 * the answer was lost, the server is asked soon whether the slot is still yours. *json_out is what
 * floatlease_lease_info tells: RELEASED.
 */
floatlease_status floatlease_lease_release(floatlease_lease *lease, char **json_out);

/**
 * Frees the handle of a lease. Local: touches no network and waits for nothing, so it is safe in a finalizer. A slot
 * that is still held is given back in the background within release_on_close_ms; a borrow stays, whether the lease or a
 * verb of this client made it. At the end of a process
 * call floatlease_lease_release first: what is in the background ends with it. Freeing NULL, twice, or in a forked child
 * does nothing.
 */
void floatlease_lease_free(floatlease_lease *lease);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* FLOATLEASE_H */
