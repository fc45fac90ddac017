// Generated from src/status.rs by `make header`. Do not edit.

namespace FloatLease
{
    /// <summary>What a call came to. Expect numbers that are not listed here.</summary>
    public enum Status
    {
        /// <summary>The call succeeded.</summary>
        /// <remarks>Nothing to do.</remarks>
        Ok = 0,

        /// <summary>A pointer that must not be NULL is NULL.</summary>
        /// <remarks>Pass the argument the header asks for.</remarks>
        NullPointer = 1,

        /// <summary>A string is not valid UTF-8.</summary>
        /// <remarks>Encode every string passed to floatlease in UTF-8.</remarks>
        Utf8 = 2,

        /// <summary>A text is not a JSON object.</summary>
        /// <remarks>Pass one JSON object, for example {}; a JSON checker finds the place.</remarks>
        Json = 3,

        /// <summary>A key is not known here.</summary>
        /// <remarks>Correct the key; members the library does not know go into "extra".</remarks>
        UnknownKey = 4,

        /// <summary>A value has the wrong JSON type.</summary>
        /// <remarks>Write the value as the type the message names.</remarks>
        WrongType = 5,

        /// <summary>A required key is missing.</summary>
        /// <remarks>Add the key to the config or to the request.</remarks>
        MissingKey = 6,

        /// <summary>A value is not acceptable.</summary>
        /// <remarks>Correct the value as the message says.</remarks>
        BadValue = 7,

        /// <summary>The handle is not open: closed already, of another kind, or never opened.</summary>
        /// <remarks>Use the handle floatlease gave you, until you close it, and only for what it is.</remarks>
        Handle = 8,

        /// <summary>The handle was opened before a fork, by the parent process.</summary>
        /// <remarks>Open a client of its own in the child process.</remarks>
        Forked = 9,

        /// <summary>There is no operation of this name.</summary>
        /// <remarks>Use a name from the table in the header, for example "borrow_license".</remarks>
        UnknownOperation = 10,

        /// <summary>Keys that exclude each other are given together.</summary>
        /// <remarks>Give only one of them. A license is named by license_key, or username, or an SSO token.</remarks>
        ConflictingKeys = 11,

        /// <summary>The text is not a date.</summary>
        /// <remarks>Write it as 2026-09-27T23:30:48.016Z, 2026-09-27 23:30 or 2026-09-27, in UTC, or with an offset.</remarks>
        BadDate = 12,

        /// <summary>Without a public key no reply can be proven.</summary>
        /// <remarks>Set "public_key" to the server's PEM key; to do without proof, say "verify":"off".</remarks>
        NoPublicKey = 13,

        /// <summary>The base_url would send the license key over an open network.</summary>
        /// <remarks>Use https://; to accept plain http:// to another machine, set "allow_http":true.</remarks>
        InsecureUrl = 14,

        /// <summary>No such call is under way.</summary>
        /// <remarks>Use the ticket floatlease_submit gave you, until its completion comes out of floatlease_next_event.</remarks>
        Ticket = 15,

        /// <summary>Too many submitted calls are under way.</summary>
        /// <remarks>Read floatlease_next_event until it gives none.</remarks>
        TooManyCalls = 16,

        /// <summary>The lease was given back.</summary>
        /// <remarks>Acquire a new one.</remarks>
        LeaseOver = 17,

        /// <summary>The server's name could not be resolved.</summary>
        /// <remarks>Check the network connection and the host in base_url.</remarks>
        Dns = 20,

        /// <summary>No connection to the server could be made.</summary>
        /// <remarks>Check that the server is running and that a firewall lets this program out.</remarks>
        Connect = 21,

        /// <summary>The secure connection could not be set up.</summary>
        /// <remarks>Check that base_url names a TLS server and that nothing in between alters the connection.</remarks>
        Tls = 22,

        /// <summary>The server's certificate is not valid at this time.</summary>
        /// <remarks>Renew the server's certificate; if it is fresh, correct this machine's clock.</remarks>
        TlsExpired = 23,

        /// <summary>The server's certificate is for another host.</summary>
        /// <remarks>Use the host name the certificate was issued for in base_url.</remarks>
        TlsWrongHost = 24,

        /// <summary>The server's certificate is not signed by a trusted authority.</summary>
        /// <remarks>Set "tls_roots" to "platform" or to the PEM of the authority that signed it.</remarks>
        TlsUnknownCa = 25,

        /// <summary>The proxy did not connect to the server.</summary>
        /// <remarks>Check "proxy" and that the proxy allows CONNECT to the server; "none" goes direct.</remarks>
        Proxy = 26,

        /// <summary>The proxy wants a name and a password.</summary>
        /// <remarks>Write them into the proxy's URL: http://name:password@host:port.</remarks>
        ProxyAuth = 27,

        /// <summary>The deadline passed before the call was done.</summary>
        /// <remarks>Try again later, or raise "timeout_ms".</remarks>
        Timeout = 28,

        /// <summary>The call was cancelled.</summary>
        /// <remarks>Nothing to do: your program asked for it.</remarks>
        Cancelled = 29,

        /// <summary>The connection ended before the reply came.</summary>
        /// <remarks>Ask the server where things stand before you try again: see "outcome".</remarks>
        ConnectionLost = 30,

        /// <summary>The server limits the rate of requests.</summary>
        /// <remarks>Wait for retry_after_ms before the next call.</remarks>
        RateLimited = 31,

        /// <summary>The server could not answer because of an error of its own.</summary>
        /// <remarks>Try again later; if it stays, tell whoever runs the server.</remarks>
        ServerError = 32,

        /// <summary>What answered is not a license server.</summary>
        /// <remarks>Log in to the network if it has a log-in page; check base_url and the proxy.</remarks>
        ReplyNotApi = 33,

        /// <summary>The reply ended too early.</summary>
        /// <remarks>Try again; if it stays, look at proxies between here and the server.</remarks>
        ReplyTruncated = 34,

        /// <summary>The reply is larger than 1 MiB.</summary>
        /// <remarks>Check base_url: a license server does not answer that.</remarks>
        ReplyTooLarge = 35,

        /// <summary>The server redirects to another address; a signed request is not sent elsewhere.</summary>
        /// <remarks>Set base_url to the final address.</remarks>
        ReplyRedirect = 36,

        /// <summary>The reply is empty where the API sends an object.</summary>
        /// <remarks>Check base_url and proxies between here and the server.</remarks>
        ReplyEmpty = 37,

        /// <summary>The reply carries no signature, so it proves nothing.</summary>
        /// <remarks>Check that base_url is the license server and that no proxy strips the LicenseSignature header.</remarks>
        ReplyUnsigned = 38,

        /// <summary>The reply's signature was not made with the configured public key over these bytes.</summary>
        /// <remarks>Check that "public_key" is this server's key; if it is, something in between alters replies.</remarks>
        ReplySignature = 39,

        /// <summary>The reply was altered on its way: its inner signature is the server's, its body is not what was signed.</summary>
        /// <remarks>Look for a proxy or a program on the way that rewrites replies.</remarks>
        ReplyAltered = 40,

        /// <summary>The reply is genuine, but it is about another device or license.</summary>
        /// <remarks>Look for a proxy that caches or repeats replies.</remarks>
        ReplyNotOurs = 41,

        /// <summary>No stable id of this machine was found.</summary>
        /// <remarks>Set "hardware_id" in the config to an id of your own that stays the same on this machine.</remarks>
        HardwareId = 50,

        /// <summary>No trusted certificate authorities were found on this machine.</summary>
        /// <remarks>Set "tls_roots" to "bundled" or to PEM certificates, or install the system's CA certificates.</remarks>
        TlsRoots = 51,

        /// <summary>What is kept on disk can't be read or written.</summary>
        /// <remarks>Check that "storage_dir" is a folder that this program may write to, and that its disk has room.</remarks>
        Storage = 52,

        /// <summary>A file that floatlease keeps is damaged.</summary>
        /// <remarks>Restore the file, or move it away; the server must then confirm again what it proved.</remarks>
        StorageDamaged = 53,

        /// <summary>A file that floatlease keeps is of another device or another product.</summary>
        /// <remarks>Give each machine a "storage_dir" of its own; move a copied file away.</remarks>
        StorageForeign = 54,

        /// <summary>This machine's clock was set back, so it can't tell whether a borrow is over.</summary>
        /// <remarks>Correct this machine's clock, or connect to the server once.</remarks>
        ClockMovedBack = 55,

        /// <summary>Nothing that is stored proves a running borrow, and the server can't be asked.</summary>
        /// <remarks>Connect to the network; borrow before you leave it next time.</remarks>
        NoProof = 56,

        /// <summary>The slots of this license are counted by another server.</summary>
        /// <remarks>Use the vendor's on-premise floating server with a client of the vendor, or ask for a floating cloud license.</remarks>
        NotFloating = 57,

        /// <summary>As many consumptions as can be kept wait to be booked or to be told.</summary>
        /// <remarks>Connect to the network and call sync_consumptions; its reply tells what was refused.</remarks>
        QueueFull = 58,

        /// <summary>The sandbox refused the call, or what was expected of it did not happen.</summary>
        /// <remarks>Read the message; in the sandbox GET /openapi.json lists every call.</remarks>
        Sandbox = 60,

        /// <summary>The library failed; your program's state is untouched.</summary>
        /// <remarks>Please report it with this error's message.</remarks>
        Internal = 70,

        /// <summary>The server refused with a code this version does not know.</summary>
        /// <remarks>See server_code and the message.</remarks>
        UnknownCode = 100,

        /// <summary>The server missed request headers.</summary>
        /// <remarks>Look for a proxy that strips Date or Authorization.</remarks>
        MissingHeaders = 101,

        /// <summary>The server could not read the Authorization header.</summary>
        /// <remarks>Look for a proxy that rewrites headers; check api_key for odd characters.</remarks>
        AuthorizationInvalidHeaders = 102,

        /// <summary>The Authorization header misses a parameter.</summary>
        /// <remarks>Look for a proxy that rewrites headers.</remarks>
        AuthorizationMissingParams = 103,

        /// <summary>The server wants hmac-sha256.</summary>
        /// <remarks>Check that base_url is a License API v4.</remarks>
        HmacRequired = 104,

        /// <summary>This machine's clock is too far from the server's, also after correction.</summary>
        /// <remarks>Set this machine's clock.</remarks>
        DateHeaderDiff = 105,

        /// <summary>The server does not accept the request's signature.</summary>
        /// <remarks>Check shared_key: it must be the one that belongs to api_key.</remarks>
        SignatureMismatch = 106,

        /// <summary>The server does not know the API key.</summary>
        /// <remarks>Check api_key and base_url.</remarks>
        InvalidApiKey = 107,

        /// <summary>The API key was revoked.</summary>
        /// <remarks>Ship a program with a valid api_key.</remarks>
        RevokedApiKey = 108,

        /// <summary>The API key may only read.</summary>
        /// <remarks>Use an api_key that may write.</remarks>
        ReadOnlyApiKey = 109,

        /// <summary>The API key may not be used for this product.</summary>
        /// <remarks>Use an api_key of this product.</remarks>
        ApiKeyProductNotAllowed = 110,

        /// <summary>The access token has expired.</summary>
        /// <remarks>Try again: a new one is fetched.</remarks>
        OauthTokenExpired = 111,

        /// <summary>The server could not read the access token.</summary>
        /// <remarks>Check the client id and secret.</remarks>
        OauthTokenMalformed = 112,

        /// <summary>The server found a parameter invalid.</summary>
        /// <remarks>See the message for the parameter.</remarks>
        ValidationError = 113,

        /// <summary>The server missed parameters.</summary>
        /// <remarks>See the message for their names.</remarks>
        MissingParameters = 114,

        /// <summary>The server missed the request's content.</summary>
        /// <remarks>Send the content this operation asks for.</remarks>
        MissingContent = 115,

        /// <summary>The server missed the hardware id.</summary>
        /// <remarks>Set hardware_id.</remarks>
        MissingHardwareId = 116,

        /// <summary>The server wants an e-mail address.</summary>
        /// <remarks>Give "email".</remarks>
        EmailMissing = 117,

        /// <summary>The server could not read the request's JSON.</summary>
        /// <remarks>Look for a proxy that rewrites requests.</remarks>
        InvalidJson = 118,

        /// <summary>The server does not have this address.</summary>
        /// <remarks>Check base_url; it ends in /api/v4.</remarks>
        NotFound = 119,

        /// <summary>The server does not know the product.</summary>
        /// <remarks>Check "product": it is the product's short code.</remarks>
        UnknownProduct = 120,

        /// <summary>The product was archived.</summary>
        /// <remarks>Ask the vendor for the product that replaces it.</remarks>
        ArchivedProduct = 121,

        /// <summary>The product is disabled.</summary>
        /// <remarks>Ask the vendor.</remarks>
        DisabledProduct = 122,

        /// <summary>The license does not have this feature.</summary>
        /// <remarks>Check "feature" and what the license includes.</remarks>
        UnsupportedProductFeature = 123,

        /// <summary>The product does not take this kind of authorisation.</summary>
        /// <remarks>Use a license key for key-based products, a username for user-based ones.</remarks>
        InvalidProductAuthMethod = 124,

        /// <summary>There is no such version of the product.</summary>
        /// <remarks>Check version, env and channel.</remarks>
        VersionNotFound = 125,

        /// <summary>The product wants a license key.</summary>
        /// <remarks>Set license_key.</remarks>
        LicenseKeyRequired = 126,

        /// <summary>The server wants a license key or a user.</summary>
        /// <remarks>Set license_key, or username.</remarks>
        LicenseKeyOrLicenseUserRequired = 127,

        /// <summary>No license belongs to this key or user.</summary>
        /// <remarks>Check license_key, or username and password, and that they are for this product.</remarks>
        LicenseNotFound = 128,

        /// <summary>The license is not active.</summary>
        /// <remarks>Ask the vendor to activate it.</remarks>
        LicenseNotActive = 129,

        /// <summary>The license is disabled.</summary>
        /// <remarks>Ask the vendor why.</remarks>
        LicenseNotEnabled = 130,

        /// <summary>The license has expired.</summary>
        /// <remarks>Renew the license.</remarks>
        LicenseExpired = 131,

        /// <summary>The trial has ended.</summary>
        /// <remarks>Buy a license.</remarks>
        TrialExpired = 132,

        /// <summary>The product offers no trial.</summary>
        /// <remarks>Buy a license.</remarks>
        TrialNotAllowed = 133,

        /// <summary>This needs an active license.</summary>
        /// <remarks>Activate the license first.</remarks>
        ActiveLicenseRequired = 134,

        /// <summary>The license is active on as many devices as it allows.</summary>
        /// <remarks>Deactivate it on another device.</remarks>
        LicenseActivatedMaxTimes = 135,

        /// <summary>The license was moved between devices as often as it allows.</summary>
        /// <remarks>Ask the vendor.</remarks>
        LicenseTransferredMaxTimes = 136,

        /// <summary>The user is active on as many devices as the license allows.</summary>
        /// <remarks>Deactivate it on another device.</remarks>
        LicenseUserActivatedMaxTimes = 137,

        /// <summary>This device is not activated for the license.</summary>
        /// <remarks>Call activate_license first; check that hardware_id is the same as then.</remarks>
        DeviceNotFound = 138,

        /// <summary>The vendor has blocked this device.</summary>
        /// <remarks>Ask the vendor.</remarks>
        Blacklisted = 139,

        /// <summary>The license may not be borrowed.</summary>
        /// <remarks>Stay online, or ask for a license that may be borrowed.</remarks>
        LicenseBorrowNotAllowed = 140,

        /// <summary>No floating slot is free.</summary>
        /// <remarks>Wait until a colleague gives a slot back, or get more slots.</remarks>
        FloatingNotAvailable = 141,

        /// <summary>The license cannot be borrowed until then.</summary>
        /// <remarks>Choose a time in the future within max_borrow_time hours and the license's validity; null takes the longest.</remarks>
        BorrowUntilNotValid = 142,

        /// <summary>The feature does not float.</summary>
        /// <remarks>Use it without borrowing or releasing it.</remarks>
        FeatureNotFloating = 143,

        /// <summary>The feature may not be borrowed.</summary>
        /// <remarks>Stay online, or ask for a license whose feature may be borrowed.</remarks>
        FeatureBorrowNotAllowed = 144,

        /// <summary>This device holds no slot of the feature.</summary>
        /// <remarks>Call check_feature first; it takes the slot.</remarks>
        FloatingFeatureDeviceNotInUse = 145,

        /// <summary>The license does not have this feature.</summary>
        /// <remarks>Check "feature" and what the license includes.</remarks>
        InvalidLicenseFeatureCode = 146,

        /// <summary>A later request about the same slot reached the server first, so this one was not carried out.</summary>
        /// <remarks>Try again. If it stays, check this machine's clock, and that no other machine uses the same hardware_id.</remarks>
        OrderOutdated = 147,

        /// <summary>The license does not count consumptions.</summary>
        /// <remarks>Use a license of type consumption, or a consumption feature.</remarks>
        LicenseNotConsumption = 150,

        /// <summary>The feature has too few consumptions left; nothing was booked.</summary>
        /// <remarks>Consume less, wait for the next period, or buy more.</remarks>
        FeatureNotEnoughConsumptions = 151,

        /// <summary>Consumptions may not be given back here.</summary>
        /// <remarks>Add a positive number.</remarks>
        NegativeConsumptionsNotAllowed = 152,

        /// <summary>The license has too few consumptions left; nothing was booked.</summary>
        /// <remarks>Consume less, wait for the next period, or buy more.</remarks>
        LicenseNotEnoughConsumptions = 153,

        /// <summary>The license belongs to another customer account.</summary>
        /// <remarks>Check customer_account_code.</remarks>
        CustomerAccountIdMismatch = 160,

        /// <summary>There is no such customer account.</summary>
        /// <remarks>Check customer_account_code.</remarks>
        CustomerAccountNotFound = 161,

        /// <summary>There is no such customer.</summary>
        /// <remarks>Check the customer's e-mail address.</remarks>
        CustomerDoesNotExist = 162,

        /// <summary>There is no such customer.</summary>
        /// <remarks>Check the customer's e-mail address.</remarks>
        CustomerNotFound = 163,

        /// <summary>The password may not be changed here.</summary>
        /// <remarks>Change it where the user's account is kept.</remarks>
        ChangePasswordNotAllowed = 164,

        /// <summary>The order id is in use.</summary>
        /// <remarks>Choose another order id.</remarks>
        OrderIdExists = 165,

        /// <summary>The server reports an error of its own.</summary>
        /// <remarks>Try again later; if it stays, tell whoever runs the server.</remarks>
        ServerInternalError = 166,
    }

    internal static class StatusNames
    {
        internal static string Of(int status)
        {
            switch (status)
            {
                case 0: return "OK";
                case 1: return "NULL_POINTER";
                case 2: return "UTF8";
                case 3: return "JSON";
                case 4: return "UNKNOWN_KEY";
                case 5: return "WRONG_TYPE";
                case 6: return "MISSING_KEY";
                case 7: return "BAD_VALUE";
                case 8: return "HANDLE";
                case 9: return "FORKED";
                case 10: return "UNKNOWN_OPERATION";
                case 11: return "CONFLICTING_KEYS";
                case 12: return "BAD_DATE";
                case 13: return "NO_PUBLIC_KEY";
                case 14: return "INSECURE_URL";
                case 15: return "TICKET";
                case 16: return "TOO_MANY_CALLS";
                case 17: return "LEASE_OVER";
                case 20: return "DNS";
                case 21: return "CONNECT";
                case 22: return "TLS";
                case 23: return "TLS_EXPIRED";
                case 24: return "TLS_WRONG_HOST";
                case 25: return "TLS_UNKNOWN_CA";
                case 26: return "PROXY";
                case 27: return "PROXY_AUTH";
                case 28: return "TIMEOUT";
                case 29: return "CANCELLED";
                case 30: return "CONNECTION_LOST";
                case 31: return "RATE_LIMITED";
                case 32: return "SERVER_ERROR";
                case 33: return "REPLY_NOT_API";
                case 34: return "REPLY_TRUNCATED";
                case 35: return "REPLY_TOO_LARGE";
                case 36: return "REPLY_REDIRECT";
                case 37: return "REPLY_EMPTY";
                case 38: return "REPLY_UNSIGNED";
                case 39: return "REPLY_SIGNATURE";
                case 40: return "REPLY_ALTERED";
                case 41: return "REPLY_NOT_OURS";
                case 50: return "HARDWARE_ID";
                case 51: return "TLS_ROOTS";
                case 52: return "STORAGE";
                case 53: return "STORAGE_DAMAGED";
                case 54: return "STORAGE_FOREIGN";
                case 55: return "CLOCK_MOVED_BACK";
                case 56: return "NO_PROOF";
                case 57: return "NOT_FLOATING";
                case 58: return "QUEUE_FULL";
                case 60: return "SANDBOX";
                case 70: return "INTERNAL";
                case 100: return "UNKNOWN_CODE";
                case 101: return "MISSING_HEADERS";
                case 102: return "AUTHORIZATION_INVALID_HEADERS";
                case 103: return "AUTHORIZATION_MISSING_PARAMS";
                case 104: return "HMAC_REQUIRED";
                case 105: return "DATE_HEADER_DIFF";
                case 106: return "SIGNATURE_MISMATCH";
                case 107: return "INVALID_API_KEY";
                case 108: return "REVOKED_API_KEY";
                case 109: return "READ_ONLY_API_KEY";
                case 110: return "API_KEY_PRODUCT_NOT_ALLOWED";
                case 111: return "OAUTH_TOKEN_EXPIRED";
                case 112: return "OAUTH_TOKEN_MALFORMED";
                case 113: return "VALIDATION_ERROR";
                case 114: return "MISSING_PARAMETERS";
                case 115: return "MISSING_CONTENT";
                case 116: return "MISSING_HARDWARE_ID";
                case 117: return "EMAIL_MISSING";
                case 118: return "INVALID_JSON";
                case 119: return "NOT_FOUND";
                case 120: return "UNKNOWN_PRODUCT";
                case 121: return "ARCHIVED_PRODUCT";
                case 122: return "DISABLED_PRODUCT";
                case 123: return "UNSUPPORTED_PRODUCT_FEATURE";
                case 124: return "INVALID_PRODUCT_AUTH_METHOD";
                case 125: return "VERSION_NOT_FOUND";
                case 126: return "LICENSE_KEY_REQUIRED";
                case 127: return "LICENSE_KEY_OR_LICENSE_USER_REQUIRED";
                case 128: return "LICENSE_NOT_FOUND";
                case 129: return "LICENSE_NOT_ACTIVE";
                case 130: return "LICENSE_NOT_ENABLED";
                case 131: return "LICENSE_EXPIRED";
                case 132: return "TRIAL_EXPIRED";
                case 133: return "TRIAL_NOT_ALLOWED";
                case 134: return "ACTIVE_LICENSE_REQUIRED";
                case 135: return "LICENSE_ACTIVATED_MAX_TIMES";
                case 136: return "LICENSE_TRANSFERRED_MAX_TIMES";
                case 137: return "LICENSE_USER_ACTIVATED_MAX_TIMES";
                case 138: return "DEVICE_NOT_FOUND";
                case 139: return "BLACKLISTED";
                case 140: return "LICENSE_BORROW_NOT_ALLOWED";
                case 141: return "FLOATING_NOT_AVAILABLE";
                case 142: return "BORROW_UNTIL_NOT_VALID";
                case 143: return "FEATURE_NOT_FLOATING";
                case 144: return "FEATURE_BORROW_NOT_ALLOWED";
                case 145: return "FLOATING_FEATURE_DEVICE_NOT_IN_USE";
                case 146: return "INVALID_LICENSE_FEATURE_CODE";
                case 147: return "ORDER_OUTDATED";
                case 150: return "LICENSE_NOT_CONSUMPTION";
                case 151: return "FEATURE_NOT_ENOUGH_CONSUMPTIONS";
                case 152: return "NEGATIVE_CONSUMPTIONS_NOT_ALLOWED";
                case 153: return "LICENSE_NOT_ENOUGH_CONSUMPTIONS";
                case 160: return "CUSTOMER_ACCOUNT_ID_MISMATCH";
                case 161: return "CUSTOMER_ACCOUNT_NOT_FOUND";
                case 162: return "CUSTOMER_DOES_NOT_EXIST";
                case 163: return "CUSTOMER_NOT_FOUND";
                case 164: return "CHANGE_PASSWORD_NOT_ALLOWED";
                case 165: return "ORDER_ID_EXISTS";
                case 166: return "SERVER_INTERNAL_ERROR";
                default: return "UNKNOWN_STATUS";
            }
        }
    }
}
