# Generated from src/status.rs by `make header`. Do not edit.
"""What a call can come to."""

from __future__ import annotations

import enum


class Status(enum.IntEnum):
    """What a call came to. A newer library may know numbers that are not listed here."""

    OK = 0
    """The call succeeded.

    Nothing to do.
    """

    NULL_POINTER = 1
    """A pointer that must not be NULL is NULL.

    Pass the argument the header asks for.
    """

    UTF8 = 2
    """A string is not valid UTF-8.

    Encode every string passed to floatlease in UTF-8.
    """

    JSON = 3
    """A text is not a JSON object.

    Pass one JSON object, for example {}; a JSON checker finds the place.
    """

    UNKNOWN_KEY = 4
    """A key is not known here.

    Correct the key; members the library does not know go into "extra".
    """

    WRONG_TYPE = 5
    """A value has the wrong JSON type.

    Write the value as the type the message names.
    """

    MISSING_KEY = 6
    """A required key is missing.

    Add the key to the config or to the request.
    """

    BAD_VALUE = 7
    """A value is not acceptable.

    Correct the value as the message says.
    """

    HANDLE = 8
    """The handle is not open: closed already, of another kind, or never opened.

    Use the handle floatlease gave you, until you close it, and only for what it is.
    """

    FORKED = 9
    """The handle was opened before a fork, by the parent process.

    Open a client of its own in the child process.
    """

    UNKNOWN_OPERATION = 10
    """There is no operation of this name.

    Use a name from the table in the header, for example "borrow_license".
    """

    CONFLICTING_KEYS = 11
    """Keys that exclude each other are given together.

    Give only one of them. A license is named by license_key, or username, or an SSO token.
    """

    BAD_DATE = 12
    """The text is not a date.

    Write it as 2026-09-27T23:30:48.016Z, 2026-09-27 23:30 or 2026-09-27, in UTC, or with an offset.
    """

    NO_PUBLIC_KEY = 13
    """Without a public key no reply can be proven.

    Set "public_key" to the server's PEM key; to do without proof, say "verify":"off".
    """

    INSECURE_URL = 14
    """The base_url would send the license key over an open network.

    Use https://; to accept plain http:// to another machine, set "allow_http":true.
    """

    TICKET = 15
    """No such call is under way.

    Use the ticket floatlease_submit gave you, until its completion comes out of floatlease_next_event.
    """

    TOO_MANY_CALLS = 16
    """Too many submitted calls are under way.

    Read floatlease_next_event until it gives none.
    """

    LEASE_OVER = 17
    """The lease was given back.

    Acquire a new one.
    """

    DNS = 20
    """The server's name could not be resolved.

    Check the network connection and the host in base_url.
    """

    CONNECT = 21
    """No connection to the server could be made.

    Check that the server is running and that a firewall lets this program out.
    """

    TLS = 22
    """The secure connection could not be set up.

    Check that base_url names a TLS server and that nothing in between alters the connection.
    """

    TLS_EXPIRED = 23
    """The server's certificate is not valid at this time.

    Renew the server's certificate; if it is fresh, correct this machine's clock.
    """

    TLS_WRONG_HOST = 24
    """The server's certificate is for another host.

    Use the host name the certificate was issued for in base_url.
    """

    TLS_UNKNOWN_CA = 25
    """The server's certificate is not signed by a trusted authority.

    Set "tls_roots" to "platform" or to the PEM of the authority that signed it.
    """

    PROXY = 26
    """The proxy did not connect to the server.

    Check "proxy" and that the proxy allows CONNECT to the server; "none" goes direct.
    """

    PROXY_AUTH = 27
    """The proxy wants a name and a password.

    Write them into the proxy's URL: http://name:password@host:port.
    """

    TIMEOUT = 28
    """The deadline passed before the call was done.

    Try again later, or raise "timeout_ms".
    """

    CANCELLED = 29
    """The call was cancelled.

    Nothing to do: your program asked for it.
    """

    CONNECTION_LOST = 30
    """The connection ended before the reply came.

    Ask the server where things stand before you try again: see "outcome".
    """

    RATE_LIMITED = 31
    """The server limits the rate of requests.

    Wait for retry_after_ms before the next call.
    """

    SERVER_ERROR = 32
    """The server could not answer because of an error of its own.

    Try again later; if it stays, tell whoever runs the server.
    """

    REPLY_NOT_API = 33
    """What answered is not a license server.

    Log in to the network if it has a log-in page; check base_url and the proxy.
    """

    REPLY_TRUNCATED = 34
    """The reply ended too early.

    Try again; if it stays, look at proxies between here and the server.
    """

    REPLY_TOO_LARGE = 35
    """The reply is larger than 1 MiB.

    Check base_url: a license server does not answer that.
    """

    REPLY_REDIRECT = 36
    """The server redirects to another address; a signed request is not sent elsewhere.

    Set base_url to the final address.
    """

    REPLY_EMPTY = 37
    """The reply is empty where the API sends an object.

    Check base_url and proxies between here and the server.
    """

    REPLY_UNSIGNED = 38
    """The reply carries no signature, so it proves nothing.

    Check that base_url is the license server and that no proxy strips the LicenseSignature header.
    """

    REPLY_SIGNATURE = 39
    """The reply's signature was not made with the configured public key over these bytes.

    Check that "public_key" is this server's key; if it is, something in between alters replies.
    """

    REPLY_ALTERED = 40
    """The reply was altered on its way: its inner signature is the server's, its body is not what was signed.

    Look for a proxy or a program on the way that rewrites replies.
    """

    REPLY_NOT_OURS = 41
    """The reply is genuine, but it is about another device or license.

    Look for a proxy that caches or repeats replies.
    """

    HARDWARE_ID = 50
    """No stable id of this machine was found.

    Set "hardware_id" in the config to an id of your own that stays the same on this machine.
    """

    TLS_ROOTS = 51
    """No trusted certificate authorities were found on this machine.

    Set "tls_roots" to "bundled" or to PEM certificates, or install the system's CA certificates.
    """

    STORAGE = 52
    """What is kept on disk can't be read or written.

    Check that "storage_dir" is a folder that this program may write to, and that its disk has room.
    """

    STORAGE_DAMAGED = 53
    """A file that floatlease keeps is damaged.

    Restore the file, or move it away; the server must then confirm again what it proved.
    """

    STORAGE_FOREIGN = 54
    """A file that floatlease keeps is of another device or another product.

    Give each machine a "storage_dir" of its own; move a copied file away.
    """

    CLOCK_MOVED_BACK = 55
    """This machine's clock was set back, so it can't tell whether a borrow is over.

    Correct this machine's clock, or connect to the server once.
    """

    NO_PROOF = 56
    """Nothing that is stored proves a running borrow, and the server can't be asked.

    Connect to the network; borrow before you leave it next time.
    """

    NOT_FLOATING = 57
    """The slots of this license are counted by another server.

    Use the vendor's on-premise floating server with a client of the vendor, or ask for a floating cloud license.
    """

    QUEUE_FULL = 58
    """As many consumptions as can be kept wait to be booked or to be told.

    Connect to the network and call sync_consumptions; its reply tells what was refused.
    """

    SANDBOX = 60
    """The sandbox refused the call, or what was expected of it did not happen.

    Read the message; in the sandbox GET /openapi.json lists every call.
    """

    INTERNAL = 70
    """The library failed; your program's state is untouched.

    Please report it with this error's message.
    """

    UNKNOWN_CODE = 100
    """The server refused with a code this version does not know.

    See server_code and the message.
    """

    MISSING_HEADERS = 101
    """The server missed request headers.

    Look for a proxy that strips Date or Authorization.
    """

    AUTHORIZATION_INVALID_HEADERS = 102
    """The server could not read the Authorization header.

    Look for a proxy that rewrites headers; check api_key for odd characters.
    """

    AUTHORIZATION_MISSING_PARAMS = 103
    """The Authorization header misses a parameter.

    Look for a proxy that rewrites headers.
    """

    HMAC_REQUIRED = 104
    """The server wants hmac-sha256.

    Check that base_url is a License API v4.
    """

    DATE_HEADER_DIFF = 105
    """This machine's clock is too far from the server's, also after correction.

    Set this machine's clock.
    """

    SIGNATURE_MISMATCH = 106
    """The server does not accept the request's signature.

    Check shared_key: it must be the one that belongs to api_key.
    """

    INVALID_API_KEY = 107
    """The server does not know the API key.

    Check api_key and base_url.
    """

    REVOKED_API_KEY = 108
    """The API key was revoked.

    Ship a program with a valid api_key.
    """

    READ_ONLY_API_KEY = 109
    """The API key may only read.

    Use an api_key that may write.
    """

    API_KEY_PRODUCT_NOT_ALLOWED = 110
    """The API key may not be used for this product.

    Use an api_key of this product.
    """

    OAUTH_TOKEN_EXPIRED = 111
    """The access token has expired.

    Try again: a new one is fetched.
    """

    OAUTH_TOKEN_MALFORMED = 112
    """The server could not read the access token.

    Check the client id and secret.
    """

    VALIDATION_ERROR = 113
    """The server found a parameter invalid.

    See the message for the parameter.
    """

    MISSING_PARAMETERS = 114
    """The server missed parameters.

    See the message for their names.
    """

    MISSING_CONTENT = 115
    """The server missed the request's content.

    Send the content this operation asks for.
    """

    MISSING_HARDWARE_ID = 116
    """The server missed the hardware id.

    Set hardware_id.
    """

    EMAIL_MISSING = 117
    """The server wants an e-mail address.

    Give "email".
    """

    INVALID_JSON = 118
    """The server could not read the request's JSON.

    Look for a proxy that rewrites requests.
    """

    NOT_FOUND = 119
    """The server does not have this address.

    Check base_url; it ends in /api/v4.
    """

    UNKNOWN_PRODUCT = 120
    """The server does not know the product.

    Check "product": it is the product's short code.
    """

    ARCHIVED_PRODUCT = 121
    """The product was archived.

    Ask the vendor for the product that replaces it.
    """

    DISABLED_PRODUCT = 122
    """The product is disabled.

    Ask the vendor.
    """

    UNSUPPORTED_PRODUCT_FEATURE = 123
    """The license does not have this feature.

    Check "feature" and what the license includes.
    """

    INVALID_PRODUCT_AUTH_METHOD = 124
    """The product does not take this kind of authorisation.

    Use a license key for key-based products, a username for user-based ones.
    """

    VERSION_NOT_FOUND = 125
    """There is no such version of the product.

    Check version, env and channel.
    """

    LICENSE_KEY_REQUIRED = 126
    """The product wants a license key.

    Set license_key.
    """

    LICENSE_KEY_OR_LICENSE_USER_REQUIRED = 127
    """The server wants a license key or a user.

    Set license_key, or username.
    """

    LICENSE_NOT_FOUND = 128
    """No license belongs to this key or user.

    Check license_key, or username and password, and that they are for this product.
    """

    LICENSE_NOT_ACTIVE = 129
    """The license is not active.

    Ask the vendor to activate it.
    """

    LICENSE_NOT_ENABLED = 130
    """The license is disabled.

    Ask the vendor why.
    """

    LICENSE_EXPIRED = 131
    """The license has expired.

    Renew the license.
    """

    TRIAL_EXPIRED = 132
    """The trial has ended.

    Buy a license.
    """

    TRIAL_NOT_ALLOWED = 133
    """The product offers no trial.

    Buy a license.
    """

    ACTIVE_LICENSE_REQUIRED = 134
    """This needs an active license.

    Activate the license first.
    """

    LICENSE_ACTIVATED_MAX_TIMES = 135
    """The license is active on as many devices as it allows.

    Deactivate it on another device.
    """

    LICENSE_TRANSFERRED_MAX_TIMES = 136
    """The license was moved between devices as often as it allows.

    Ask the vendor.
    """

    LICENSE_USER_ACTIVATED_MAX_TIMES = 137
    """The user is active on as many devices as the license allows.

    Deactivate it on another device.
    """

    DEVICE_NOT_FOUND = 138
    """This device is not activated for the license.

    Call activate_license first; check that hardware_id is the same as then.
    """

    BLACKLISTED = 139
    """The vendor has blocked this device.

    Ask the vendor.
    """

    LICENSE_BORROW_NOT_ALLOWED = 140
    """The license may not be borrowed.

    Stay online, or ask for a license that may be borrowed.
    """

    FLOATING_NOT_AVAILABLE = 141
    """No floating slot is free.

    Wait until a colleague gives a slot back, or get more slots.
    """

    BORROW_UNTIL_NOT_VALID = 142
    """The license cannot be borrowed until then.

    Choose a time in the future within max_borrow_time hours and the license's validity; null takes the longest.
    """

    FEATURE_NOT_FLOATING = 143
    """The feature does not float.

    Use it without borrowing or releasing it.
    """

    FEATURE_BORROW_NOT_ALLOWED = 144
    """The feature may not be borrowed.

    Stay online, or ask for a license whose feature may be borrowed.
    """

    FLOATING_FEATURE_DEVICE_NOT_IN_USE = 145
    """This device holds no slot of the feature.

    Call check_feature first; it takes the slot.
    """

    INVALID_LICENSE_FEATURE_CODE = 146
    """The license does not have this feature.

    Check "feature" and what the license includes.
    """

    ORDER_OUTDATED = 147
    """A later request about the same slot reached the server first, so this one was not carried out.

    Try again. If it stays, check this machine's clock, and that no other machine uses the same hardware_id.
    """

    LICENSE_NOT_CONSUMPTION = 150
    """The license does not count consumptions.

    Use a license of type consumption, or a consumption feature.
    """

    FEATURE_NOT_ENOUGH_CONSUMPTIONS = 151
    """The feature has too few consumptions left; nothing was booked.

    Consume less, wait for the next period, or buy more.
    """

    NEGATIVE_CONSUMPTIONS_NOT_ALLOWED = 152
    """Consumptions may not be given back here.

    Add a positive number.
    """

    LICENSE_NOT_ENOUGH_CONSUMPTIONS = 153
    """The license has too few consumptions left; nothing was booked.

    Consume less, wait for the next period, or buy more.
    """

    CUSTOMER_ACCOUNT_ID_MISMATCH = 160
    """The license belongs to another customer account.

    Check customer_account_code.
    """

    CUSTOMER_ACCOUNT_NOT_FOUND = 161
    """There is no such customer account.

    Check customer_account_code.
    """

    CUSTOMER_DOES_NOT_EXIST = 162
    """There is no such customer.

    Check the customer's e-mail address.
    """

    CUSTOMER_NOT_FOUND = 163
    """There is no such customer.

    Check the customer's e-mail address.
    """

    CHANGE_PASSWORD_NOT_ALLOWED = 164
    """The password may not be changed here.

    Change it where the user's account is kept.
    """

    ORDER_ID_EXISTS = 165
    """The order id is in use.

    Choose another order id.
    """

    SERVER_INTERNAL_ERROR = 166
    """The server reports an error of its own.

    Try again later; if it stays, tell whoever runs the server.
    """


#: What each is about; `category` in the error object.
CATEGORIES: dict[int, str] = {
    0: "ok",
    1: "usage",
    2: "usage",
    3: "usage",
    4: "usage",
    5: "usage",
    6: "usage",
    7: "usage",
    8: "usage",
    9: "usage",
    10: "usage",
    11: "usage",
    12: "usage",
    13: "usage",
    14: "usage",
    15: "usage",
    16: "usage",
    17: "usage",
    20: "network",
    21: "network",
    22: "network",
    23: "network",
    24: "network",
    25: "network",
    26: "network",
    27: "network",
    28: "network",
    29: "network",
    30: "network",
    31: "network",
    32: "network",
    33: "reply",
    34: "reply",
    35: "reply",
    36: "reply",
    37: "reply",
    38: "reply",
    39: "reply",
    40: "reply",
    41: "reply",
    50: "local",
    51: "local",
    52: "local",
    53: "local",
    54: "local",
    55: "local",
    56: "local",
    57: "local",
    58: "local",
    60: "local",
    70: "internal",
    100: "request",
    101: "authorization",
    102: "authorization",
    103: "authorization",
    104: "authorization",
    105: "authorization",
    106: "authorization",
    107: "authorization",
    108: "authorization",
    109: "authorization",
    110: "authorization",
    111: "authorization",
    112: "authorization",
    113: "request",
    114: "request",
    115: "request",
    116: "request",
    117: "request",
    118: "request",
    119: "request",
    120: "product",
    121: "product",
    122: "product",
    123: "feature",
    124: "product",
    125: "product",
    126: "license",
    127: "license",
    128: "license",
    129: "license",
    130: "license",
    131: "license",
    132: "license",
    133: "license",
    134: "license",
    135: "license",
    136: "license",
    137: "license",
    138: "device",
    139: "device",
    140: "license",
    141: "license",
    142: "license",
    143: "feature",
    144: "feature",
    145: "feature",
    146: "feature",
    147: "request",
    150: "consumption",
    151: "consumption",
    152: "consumption",
    153: "consumption",
    160: "customer",
    161: "customer",
    162: "customer",
    163: "customer",
    164: "customer",
    165: "request",
    166: "network",
}
