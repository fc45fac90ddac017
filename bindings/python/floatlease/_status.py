# Generated from src/status.rs by `make header`. Do not edit.
"""The statuses of calls."""

from __future__ import annotations

import enum


class Status(enum.IntEnum):
    """The result of a call. A newer library may return numbers that are not listed here."""

    OK = 0
    """The call succeeded.

    Nothing to do.
    """

    NULL_POINTER = 1
    """A required pointer argument is NULL.

    Pass the argument that the message names.
    """

    UTF8 = 2
    """A string argument is invalid UTF-8.

    Encode every string that you pass to floatlease in UTF-8.
    """

    JSON = 3
    """The text is invalid: expected one JSON object.

    Pass one JSON object, for example {}. A JSON checker finds the place of the mistake.
    """

    UNKNOWN_KEY = 4
    """The config or request holds an unknown key.

    Correct the key's spelling. Members that the library does not know go into "extra".
    """

    WRONG_TYPE = 5
    """A value has the wrong JSON type.

    Write the value as the type that the message expects.
    """

    MISSING_KEY = 6
    """A required key is missing.

    Add the key that the message names to the config or to the request.
    """

    BAD_VALUE = 7
    """A value is invalid.

    Correct the value as the message says.
    """

    HANDLE = 8
    """The handle is invalid: it was closed, is of another kind, or was never opened.

    Pass a handle that floatlease returned and that you have not closed, to a function of its own kind.
    """

    FORKED = 9
    """The handle was opened by the parent process, before a fork.

    Open a new client in the child process.
    """

    UNKNOWN_OPERATION = 10
    """There is no operation of this name.

    Use a name from docs/operations.md, for example "borrow_license".
    """

    CONFLICTING_KEYS = 11
    """The config or request holds keys that exclude each other.

    Give only one of them. A license is named by license_key, or username, or an SSO token.
    """

    BAD_DATE = 12
    """The date is invalid.

    Write it as 2026-09-27T23:30:48.016Z, 2026-09-27 23:30 or 2026-09-27, in UTC, or with an offset.
    """

    NO_PUBLIC_KEY = 13
    """The config's "public_key" is missing, so no reply could be verified.

    Set "public_key" to the server's PEM key, or turn verification off with "verify":"off".
    """

    INSECURE_URL = 14
    """The base_url would send the license key unencrypted to another machine.

    Use https://, or set "allow_http":true to accept plain http://.
    """

    TICKET = 15
    """No such call is under way.

    Use the ticket from floatlease_submit, until floatlease_next_event returns its completion.
    """

    TOO_MANY_CALLS = 16
    """1,000 submitted calls are under way or were not read.

    Call floatlease_next_event until it returns no event.
    """

    LEASE_OVER = 17
    """The lease was released.

    Acquire a new lease.
    """

    DNS = 20
    """The server's host name could not be resolved.

    Check the network connection and the host name in base_url, or in the proxy's URL if the message names a proxy.
    """

    CONNECT = 21
    """The connection to the server failed.

    Check that the server, or the proxy that the message names, is running, and that no firewall blocks this program.
    """

    TLS = 22
    """The TLS connection to the server could not be set up.

    Check that base_url names a TLS server, and that no proxy alters the connection.
    """

    TLS_EXPIRED = 23
    """The server's certificate has expired or is not yet valid.

    Renew the server's certificate. If its dates are right, correct this machine's clock.
    """

    TLS_WRONG_HOST = 24
    """The server's certificate was issued for another host name.

    Put the host name from the certificate into base_url.
    """

    TLS_UNKNOWN_CA = 25
    """The server's certificate was signed by an untrusted authority.

    Set "tls_roots" to "platform", or to the PEM certificate of the authority that signed it.
    """

    PROXY = 26
    """The proxy did not connect to the server.

    Check the proxy that the message names, and that it allows CONNECT to the server. With "proxy":"none" the library connects directly.
    """

    PROXY_AUTH = 27
    """The proxy requires a name and a password.

    Write them into the proxy's URL: http://name:password@host:port.
    """

    TIMEOUT = 28
    """The call's deadline passed before it was done.

    Try again later, or raise "timeout_ms".
    """

    CANCELLED = 29
    """The call was cancelled.

    Nothing to do: your program cancelled it.
    """

    CONNECTION_LOST = 30
    """The connection ended before the reply arrived.

    If "outcome" is "unknown", ask the server for the current state before you try again.
    """

    RATE_LIMITED = 31
    """The server refused the request: too many requests.

    Wait for retry_after_ms before the next call.
    """

    SERVER_ERROR = 32
    """The server failed with an error of its own.

    Try again later. If it persists, tell the server's operator.
    """

    REPLY_NOT_API = 33
    """The reply did not come from a license server.

    If the network has a log-in page, log in. Check base_url and the proxy.
    """

    REPLY_TRUNCATED = 34
    """The reply is incomplete.

    Try again. If it persists, check the proxies between this machine and the server.
    """

    REPLY_TOO_LARGE = 35
    """The reply is larger than 1 MiB.

    Ask the vendor for a license with fewer features and less metadata, or find the proxy on the way that enlarges replies.
    """

    REPLY_REDIRECT = 36
    """The server redirects to another address, and signed requests are not sent to other addresses.

    Set base_url to the final address.
    """

    REPLY_EMPTY = 37
    """The reply is empty: expected a JSON object.

    Check base_url and the proxies between this machine and the server.
    """

    REPLY_UNSIGNED = 38
    """The reply's signature is missing.

    Check that base_url is the license server's, and that no proxy removes the LicenseSignature header.
    """

    REPLY_SIGNATURE = 39
    """The reply's signature is invalid: it does not verify under the configured public key.

    Check that "public_key" belongs to this server. If it does, a proxy or program on the way alters replies.
    """

    REPLY_ALTERED = 40
    """The reply was altered on its way: its inner signature is valid, the signature over its body is not.

    Find the proxy or program on the way that rewrites replies.
    """

    REPLY_NOT_OURS = 41
    """The reply is genuine, but it answers another request, device or license.

    Find the proxy on the way that caches or repeats replies.
    """

    REPLY_HEADERS_TOO_LARGE = 42
    """The reply's headers are larger than 64 KiB, or more than 128.

    Find the proxy on the way that adds headers, and have it add fewer.
    """

    OAUTH_CLIENT_REFUSED = 43
    """The token endpoint refused the OAuth client.

    Check "client_id" and "client_secret", and that the vendor has not replaced or revoked them.
    """

    HARDWARE_ID = 50
    """No stable id of this machine was found.

    Set "hardware_id" in the config to an id that stays the same on this machine.
    """

    TLS_ROOTS = 51
    """This machine's trusted certificate authorities are missing.

    Set "tls_roots" to "bundled" or to PEM certificates, or install the system's CA certificates.
    """

    STORAGE = 52
    """A file in "storage_dir" could not be read or written.

    Check that "storage_dir" is a folder that this program may write to, and that its disk has room.
    """

    STORAGE_DAMAGED = 53
    """A file in "storage_dir" is damaged, or was written by another version.

    Restore the file, or move it away and connect to the server, which then confirms the slot again.
    """

    STORAGE_FOREIGN = 54
    """A file in "storage_dir" belongs to another device or product.

    Give each machine a "storage_dir" of its own, and move copied files away.
    """

    CLOCK_MOVED_BACK = 55
    """This machine's clock is behind a date that it has shown or the server has told, so the end of a borrow can't be checked.

    Correct this machine's clock, or connect to the server once.
    """

    NO_PROOF = 56
    """The server can't be reached, and no stored borrow is valid now.

    Connect to the network. Next time, borrow before you go offline.
    """

    NOT_FLOATING = 57
    """The slots of this license are counted by an on-premise server of the vendor.

    Use the vendor's client for that server, or ask the vendor for a floating cloud license.
    """

    QUEUE_FULL = 58
    """The queue holds as many consumptions as it can keep.

    Connect to the network and call sync_consumptions. Its reply counts what was booked and lists what was refused.
    """

    SANDBOX = 60
    """The sandbox refused the call, or an expectation of the call did not hold.

    Read the message. GET /openapi.json of the sandbox lists every call.
    """

    OUT_OF_RESOURCES = 61
    """The system has run out of a resource that the call needs.

    Try again later. If it persists, close what the program no longer needs, or raise the limit of the resource that the message names.
    """

    INTERNAL = 70
    """The library failed with an internal error; your program's state is untouched.

    Report the defect with this error's message.
    """

    UNKNOWN_CODE = 100
    """The server refused with a code that this version does not know.

    Read server_code and the message.
    """

    MISSING_HEADERS = 101
    """Required headers are missing from the request.

    Find the proxy that removes the Date or Authorization header.
    """

    AUTHORIZATION_INVALID_HEADERS = 102
    """The request's Authorization header is invalid.

    Find the proxy that rewrites headers, and check api_key for unusual characters.
    """

    AUTHORIZATION_MISSING_PARAMS = 103
    """A parameter of the Authorization header is missing.

    Find the proxy that rewrites headers.
    """

    HMAC_REQUIRED = 104
    """The request's signature algorithm is invalid: the server expected hmac-sha256.

    Check that base_url is the address of a License API v4.
    """

    DATE_HEADER_DIFF = 105
    """This machine's clock differs too much from the server's.

    Set this machine's clock.
    """

    SIGNATURE_MISMATCH = 106
    """The request's signature is invalid.

    Check shared_key: it must be the one that belongs to api_key.
    """

    INVALID_API_KEY = 107
    """The api_key is invalid: the server does not know it.

    Check api_key and base_url.
    """

    REVOKED_API_KEY = 108
    """The api_key was revoked.

    Ship a program with a valid api_key.
    """

    READ_ONLY_API_KEY = 109
    """The api_key may only read.

    Use an api_key that may write.
    """

    API_KEY_PRODUCT_NOT_ALLOWED = 110
    """The api_key may not be used for this product.

    Use an api_key of this product.
    """

    OAUTH_TOKEN_EXPIRED = 111
    """The access token has expired.

    Try again: the library fetches a new one.
    """

    OAUTH_TOKEN_MALFORMED = 112
    """The access token is invalid.

    Check the client id and secret.
    """

    VALIDATION_ERROR = 113
    """A parameter of the request is invalid.

    Correct the parameter that the message names.
    """

    MISSING_PARAMETERS = 114
    """Required parameters are missing from the request.

    Add the parameters that the message names.
    """

    MISSING_CONTENT = 115
    """The request's content is missing.

    Send the content that this operation requires.
    """

    MISSING_HARDWARE_ID = 116
    """The request's hardware_id is missing.

    Set "hardware_id" in the config or the request.
    """

    EMAIL_MISSING = 117
    """The request's e-mail address is missing.

    Set "email" in the request.
    """

    INVALID_JSON = 118
    """The request's JSON arrived invalid.

    Find the proxy that rewrites requests.
    """

    NOT_FOUND = 119
    """The server has nothing at this address.

    Check base_url: it ends in /api/v4.
    """

    UNKNOWN_PRODUCT = 120
    """The "product" is unknown to the server.

    Check "product": it is the product's short code.
    """

    ARCHIVED_PRODUCT = 121
    """The product was archived.

    Ask the vendor for the product that replaces it.
    """

    DISABLED_PRODUCT = 122
    """The product is disabled.

    Ask the vendor to enable it.
    """

    UNSUPPORTED_PRODUCT_FEATURE = 123
    """The product does not have this feature, or the feature is disabled.

    Check "feature", and which features the product has.
    """

    INVALID_PRODUCT_AUTH_METHOD = 124
    """The product's licenses are not named this way.

    Use license_key for key-based products, username for user-based products.
    """

    VERSION_NOT_FOUND = 125
    """The product does not have this version.

    Check version, env and channel.
    """

    LICENSE_KEY_REQUIRED = 126
    """The request's license_key is missing.

    Set license_key in the config or the request.
    """

    LICENSE_KEY_OR_LICENSE_USER_REQUIRED = 127
    """The request's license_key or username is missing.

    Set license_key or username in the config or the request.
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

    Ask the vendor to enable it.
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
    """The operation requires an active license.

    Activate the license first.
    """

    LICENSE_ACTIVATED_MAX_TIMES = 135
    """The license is active on as many devices as it allows.

    Deactivate it on another device.
    """

    LICENSE_TRANSFERRED_MAX_TIMES = 136
    """The license was moved between devices as often as it allows.

    Ask the vendor for more transfers.
    """

    LICENSE_USER_ACTIVATED_MAX_TIMES = 137
    """The user is active on as many devices as the license allows.

    Deactivate the license on another device.
    """

    DEVICE_NOT_FOUND = 138
    """This device is not activated for the license.

    Call activate_license first. Check that hardware_id is the same as then.
    """

    BLACKLISTED = 139
    """The vendor has blocked this device.

    Ask the vendor to unblock it.
    """

    LICENSE_BORROW_NOT_ALLOWED = 140
    """The license does not allow borrowing.

    Stay online, or ask for a license that allows borrowing.
    """

    FLOATING_NOT_AVAILABLE = 141
    """No floating slot is free.

    Wait until a colleague releases a slot, or get more slots.
    """

    BORROW_UNTIL_NOT_VALID = 142
    """The borrowed_until date is invalid for this license.

    Choose a time in the future, within max_borrow_time hours and the license's validity. With null the server chooses the latest.
    """

    FEATURE_NOT_FLOATING = 143
    """The feature does not float.

    Use the feature without borrowing or releasing it.
    """

    FEATURE_BORROW_NOT_ALLOWED = 144
    """The feature does not allow borrowing.

    Stay online, or ask for a license whose feature allows borrowing.
    """

    FLOATING_FEATURE_DEVICE_NOT_IN_USE = 145
    """This device holds no slot of the feature.

    Call check_feature first: it takes the slot.
    """

    INVALID_LICENSE_FEATURE_CODE = 146
    """The license does not have this feature.

    Check "feature", and which features the license includes.
    """

    ORDER_OUTDATED = 147
    """A later request about the same slot reached the server first, so the server did not carry out this one.

    Try again. If it persists, check this machine's clock, and that no other machine uses the same hardware_id.
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
    """Negative consumptions are not allowed here.

    Book a positive number.
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
    """The customer_account_code is unknown to the server.

    Check customer_account_code.
    """

    CUSTOMER_DOES_NOT_EXIST = 162
    """The customer is unknown to the server.

    Check the customer's e-mail address.
    """

    CUSTOMER_NOT_FOUND = 163
    """The customer was not found.

    Check the customer's e-mail address.
    """

    CHANGE_PASSWORD_NOT_ALLOWED = 164
    """The password may not be changed through this API.

    Change it where the user's account is kept.
    """

    ORDER_ID_EXISTS = 165
    """The order id is in use already.

    Choose another order id.
    """

    SERVER_INTERNAL_ERROR = 166
    """The server reports an internal error.

    Try again later. If it persists, tell the server's operator.
    """


#: The subject of each status; `category` in the error object.
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
    42: "reply",
    43: "authorization",
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
    61: "local",
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
