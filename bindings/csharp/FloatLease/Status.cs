// Generated from src/status.rs by `make header`. Do not edit.

namespace FloatLease
{
    /// <summary>The result of a call. Expect numbers that are not listed here.</summary>
    public enum Status
    {
        /// <summary>The call succeeded.</summary>
        /// <remarks>Nothing to do.</remarks>
        Ok = 0,

        /// <summary>A required pointer argument is NULL.</summary>
        /// <remarks>Pass the argument that the message names.</remarks>
        NullPointer = 1,

        /// <summary>A string argument is invalid UTF-8.</summary>
        /// <remarks>Encode every string that you pass to floatlease in UTF-8.</remarks>
        Utf8 = 2,

        /// <summary>The text is invalid: expected one JSON object.</summary>
        /// <remarks>Pass one JSON object, for example {}. A JSON checker finds the place of the mistake.</remarks>
        Json = 3,

        /// <summary>The config or request holds an unknown key.</summary>
        /// <remarks>Correct the key's spelling. Members that the library does not know go into "extra".</remarks>
        UnknownKey = 4,

        /// <summary>A value has the wrong JSON type.</summary>
        /// <remarks>Write the value as the type that the message expects.</remarks>
        WrongType = 5,

        /// <summary>A required key is missing.</summary>
        /// <remarks>Add the key that the message names to the config or to the request.</remarks>
        MissingKey = 6,

        /// <summary>A value is invalid.</summary>
        /// <remarks>Correct the value as the message says.</remarks>
        BadValue = 7,

        /// <summary>The handle is invalid: it was closed, is of another kind, or was never opened.</summary>
        /// <remarks>Pass a handle that floatlease returned and that you have not closed, to a function of its own kind.</remarks>
        Handle = 8,

        /// <summary>The handle was opened by the parent process, before a fork.</summary>
        /// <remarks>Open a new client in the child process.</remarks>
        Forked = 9,

        /// <summary>There is no operation of this name.</summary>
        /// <remarks>Use a name from docs/operations.md, for example "borrow_license".</remarks>
        UnknownOperation = 10,

        /// <summary>The config or request holds keys that exclude each other.</summary>
        /// <remarks>Give only one of them. A license is named by license_key, or username, or an SSO token.</remarks>
        ConflictingKeys = 11,

        /// <summary>The date is invalid.</summary>
        /// <remarks>Write it as 2026-09-27T23:30:48.016Z, 2026-09-27 23:30 or 2026-09-27, in UTC, or with an offset.</remarks>
        BadDate = 12,

        /// <summary>The config's "public_key" is missing, so no reply could be verified.</summary>
        /// <remarks>Set "public_key" to the server's PEM key, or turn verification off with "verify":"off".</remarks>
        NoPublicKey = 13,

        /// <summary>The base_url would send the license key unencrypted to another machine.</summary>
        /// <remarks>Use https://, or set "allow_http":true to accept plain http://.</remarks>
        InsecureUrl = 14,

        /// <summary>No such call is under way.</summary>
        /// <remarks>Use the ticket from floatlease_submit, until floatlease_next_event returns its completion.</remarks>
        Ticket = 15,

        /// <summary>1,000 submitted calls are under way or were not read.</summary>
        /// <remarks>Call floatlease_next_event until it returns no event.</remarks>
        TooManyCalls = 16,

        /// <summary>The lease was released.</summary>
        /// <remarks>Acquire a new lease.</remarks>
        LeaseOver = 17,

        /// <summary>The server's host name could not be resolved.</summary>
        /// <remarks>Check the network connection and the host name in base_url, or in the proxy's URL if the message names a proxy.</remarks>
        Dns = 20,

        /// <summary>The connection to the server failed.</summary>
        /// <remarks>Check that the server, or the proxy that the message names, is running, and that no firewall blocks this program.</remarks>
        Connect = 21,

        /// <summary>The TLS connection to the server could not be set up.</summary>
        /// <remarks>Check that base_url names a TLS server, and that no proxy alters the connection.</remarks>
        Tls = 22,

        /// <summary>The server's certificate has expired or is not yet valid.</summary>
        /// <remarks>Renew the server's certificate. If its dates are right, correct this machine's clock.</remarks>
        TlsExpired = 23,

        /// <summary>The server's certificate was issued for another host name.</summary>
        /// <remarks>Put the host name from the certificate into base_url.</remarks>
        TlsWrongHost = 24,

        /// <summary>The server's certificate was signed by an untrusted authority.</summary>
        /// <remarks>Set "tls_roots" to "platform", or to the PEM certificate of the authority that signed it.</remarks>
        TlsUnknownCa = 25,

        /// <summary>The proxy did not connect to the server.</summary>
        /// <remarks>Check the proxy that the message names, and that it allows CONNECT to the server. With "proxy":"none" the library connects directly.</remarks>
        Proxy = 26,

        /// <summary>The proxy requires a name and a password.</summary>
        /// <remarks>Write them into the proxy's URL: http://name:password@host:port.</remarks>
        ProxyAuth = 27,

        /// <summary>The call's deadline passed before it was done.</summary>
        /// <remarks>Try again later, or raise "timeout_ms".</remarks>
        Timeout = 28,

        /// <summary>The call was cancelled.</summary>
        /// <remarks>Nothing to do: your program cancelled it.</remarks>
        Cancelled = 29,

        /// <summary>The connection ended before the reply arrived.</summary>
        /// <remarks>If "outcome" is "unknown", ask the server for the current state before you try again.</remarks>
        ConnectionLost = 30,

        /// <summary>The server refused the request: too many requests.</summary>
        /// <remarks>Wait for retry_after_ms before the next call.</remarks>
        RateLimited = 31,

        /// <summary>The server failed with an error of its own.</summary>
        /// <remarks>Try again later. If it persists, tell the server's operator.</remarks>
        ServerError = 32,

        /// <summary>The reply did not come from a license server.</summary>
        /// <remarks>If the network has a log-in page, log in. Check base_url and the proxy.</remarks>
        ReplyNotApi = 33,

        /// <summary>The reply is incomplete.</summary>
        /// <remarks>Try again. If it persists, check the proxies between this machine and the server.</remarks>
        ReplyTruncated = 34,

        /// <summary>The reply is larger than 1 MiB.</summary>
        /// <remarks>Ask the vendor for a license with fewer features and less metadata, or find the proxy on the way that enlarges replies.</remarks>
        ReplyTooLarge = 35,

        /// <summary>The server redirects to another address, and signed requests are not sent to other addresses.</summary>
        /// <remarks>Set base_url to the final address.</remarks>
        ReplyRedirect = 36,

        /// <summary>The reply is empty: expected a JSON object.</summary>
        /// <remarks>Check base_url and the proxies between this machine and the server.</remarks>
        ReplyEmpty = 37,

        /// <summary>The reply's signature is missing.</summary>
        /// <remarks>Check that base_url is the license server's, and that no proxy removes the LicenseSignature header.</remarks>
        ReplyUnsigned = 38,

        /// <summary>The reply's signature is invalid: it does not verify under the configured public key.</summary>
        /// <remarks>Check that "public_key" belongs to this server. If it does, a proxy or program on the way alters replies.</remarks>
        ReplySignature = 39,

        /// <summary>The reply was altered on its way: its inner signature is valid, the signature over its body is not.</summary>
        /// <remarks>Find the proxy or program on the way that rewrites replies.</remarks>
        ReplyAltered = 40,

        /// <summary>The reply is genuine, but it answers another request, device or license.</summary>
        /// <remarks>Find the proxy on the way that caches or repeats replies.</remarks>
        ReplyNotOurs = 41,

        /// <summary>The reply's headers are larger than 64 KiB, or more than 128.</summary>
        /// <remarks>Find the proxy on the way that adds headers, and have it add fewer.</remarks>
        ReplyHeadersTooLarge = 42,

        /// <summary>The token endpoint refused the OAuth client.</summary>
        /// <remarks>Check "client_id" and "client_secret", and that the vendor has not replaced or revoked them.</remarks>
        OauthClientRefused = 43,

        /// <summary>No stable id of this machine was found.</summary>
        /// <remarks>Set "hardware_id" in the config to an id that stays the same on this machine.</remarks>
        HardwareId = 50,

        /// <summary>This machine's trusted certificate authorities are missing.</summary>
        /// <remarks>Set "tls_roots" to "bundled" or to PEM certificates, or install the system's CA certificates.</remarks>
        TlsRoots = 51,

        /// <summary>A file in "storage_dir" could not be read or written.</summary>
        /// <remarks>Check that "storage_dir" is a folder that this program may write to, and that its disk has room.</remarks>
        Storage = 52,

        /// <summary>A file in "storage_dir" is damaged, or was written by another version.</summary>
        /// <remarks>Restore the file, or move it away and connect to the server, which then confirms the slot again.</remarks>
        StorageDamaged = 53,

        /// <summary>A file in "storage_dir" belongs to another device or product.</summary>
        /// <remarks>Give each machine a "storage_dir" of its own, and move copied files away.</remarks>
        StorageForeign = 54,

        /// <summary>This machine's clock is behind a date that it has shown or the server has told, so the end of a borrow can't be checked.</summary>
        /// <remarks>Correct this machine's clock, or connect to the server once.</remarks>
        ClockMovedBack = 55,

        /// <summary>The server can't be reached, and no stored borrow is valid now.</summary>
        /// <remarks>Connect to the network. Next time, borrow before you go offline.</remarks>
        NoProof = 56,

        /// <summary>The slots of this license are counted by an on-premise server of the vendor.</summary>
        /// <remarks>Use the vendor's client for that server, or ask the vendor for a floating cloud license.</remarks>
        NotFloating = 57,

        /// <summary>The queue holds as many consumptions as it can keep.</summary>
        /// <remarks>Connect to the network and call sync_consumptions. Its reply counts what was booked and lists what was refused.</remarks>
        QueueFull = 58,

        /// <summary>The sandbox refused the call, or an expectation of the call did not hold.</summary>
        /// <remarks>Read the message. GET /openapi.json of the sandbox lists every call.</remarks>
        Sandbox = 60,

        /// <summary>The system has run out of a resource that the call needs.</summary>
        /// <remarks>Try again later. If it persists, close what the program no longer needs, or raise the limit of the resource that the message names.</remarks>
        OutOfResources = 61,

        /// <summary>The library failed with an internal error; your program's state is untouched.</summary>
        /// <remarks>Report the defect with this error's message.</remarks>
        Internal = 70,

        /// <summary>The server refused with a code that this version does not know.</summary>
        /// <remarks>Read server_code and the message.</remarks>
        UnknownCode = 100,

        /// <summary>Required headers are missing from the request.</summary>
        /// <remarks>Find the proxy that removes the Date or Authorization header.</remarks>
        MissingHeaders = 101,

        /// <summary>The request's Authorization header is invalid.</summary>
        /// <remarks>Find the proxy that rewrites headers, and check api_key for unusual characters.</remarks>
        AuthorizationInvalidHeaders = 102,

        /// <summary>A parameter of the Authorization header is missing.</summary>
        /// <remarks>Find the proxy that rewrites headers.</remarks>
        AuthorizationMissingParams = 103,

        /// <summary>The request's signature algorithm is invalid: the server expected hmac-sha256.</summary>
        /// <remarks>Check that base_url is the address of a License API v4.</remarks>
        HmacRequired = 104,

        /// <summary>This machine's clock differs too much from the server's.</summary>
        /// <remarks>Set this machine's clock.</remarks>
        DateHeaderDiff = 105,

        /// <summary>The request's signature is invalid.</summary>
        /// <remarks>Check shared_key: it must be the one that belongs to api_key.</remarks>
        SignatureMismatch = 106,

        /// <summary>The api_key is invalid: the server does not know it.</summary>
        /// <remarks>Check api_key and base_url.</remarks>
        InvalidApiKey = 107,

        /// <summary>The api_key was revoked.</summary>
        /// <remarks>Ship a program with a valid api_key.</remarks>
        RevokedApiKey = 108,

        /// <summary>The api_key may only read.</summary>
        /// <remarks>Use an api_key that may write.</remarks>
        ReadOnlyApiKey = 109,

        /// <summary>The api_key may not be used for this product.</summary>
        /// <remarks>Use an api_key of this product.</remarks>
        ApiKeyProductNotAllowed = 110,

        /// <summary>The access token has expired.</summary>
        /// <remarks>Try again: the library fetches a new one.</remarks>
        OauthTokenExpired = 111,

        /// <summary>The access token is invalid.</summary>
        /// <remarks>Check the client id and secret.</remarks>
        OauthTokenMalformed = 112,

        /// <summary>A parameter of the request is invalid.</summary>
        /// <remarks>Correct the parameter that the message names.</remarks>
        ValidationError = 113,

        /// <summary>Required parameters are missing from the request.</summary>
        /// <remarks>Add the parameters that the message names.</remarks>
        MissingParameters = 114,

        /// <summary>The request's content is missing.</summary>
        /// <remarks>Send the content that this operation requires.</remarks>
        MissingContent = 115,

        /// <summary>The request's hardware_id is missing.</summary>
        /// <remarks>Set "hardware_id" in the config or the request.</remarks>
        MissingHardwareId = 116,

        /// <summary>The request's e-mail address is missing.</summary>
        /// <remarks>Set "email" in the request.</remarks>
        EmailMissing = 117,

        /// <summary>The request's JSON arrived invalid.</summary>
        /// <remarks>Find the proxy that rewrites requests.</remarks>
        InvalidJson = 118,

        /// <summary>The server has nothing at this address.</summary>
        /// <remarks>Check base_url: it ends in /api/v4.</remarks>
        NotFound = 119,

        /// <summary>The "product" is unknown to the server.</summary>
        /// <remarks>Check "product": it is the product's short code.</remarks>
        UnknownProduct = 120,

        /// <summary>The product was archived.</summary>
        /// <remarks>Ask the vendor for the product that replaces it.</remarks>
        ArchivedProduct = 121,

        /// <summary>The product is disabled.</summary>
        /// <remarks>Ask the vendor to enable it.</remarks>
        DisabledProduct = 122,

        /// <summary>The product does not have this feature, or the feature is disabled.</summary>
        /// <remarks>Check "feature", and which features the product has.</remarks>
        UnsupportedProductFeature = 123,

        /// <summary>The product's licenses are not named this way.</summary>
        /// <remarks>Use license_key for key-based products, username for user-based products.</remarks>
        InvalidProductAuthMethod = 124,

        /// <summary>The product does not have this version.</summary>
        /// <remarks>Check version, env and channel.</remarks>
        VersionNotFound = 125,

        /// <summary>The request's license_key is missing.</summary>
        /// <remarks>Set license_key in the config or the request.</remarks>
        LicenseKeyRequired = 126,

        /// <summary>The request's license_key or username is missing.</summary>
        /// <remarks>Set license_key or username in the config or the request.</remarks>
        LicenseKeyOrLicenseUserRequired = 127,

        /// <summary>No license belongs to this key or user.</summary>
        /// <remarks>Check license_key, or username and password, and that they are for this product.</remarks>
        LicenseNotFound = 128,

        /// <summary>The license is not active.</summary>
        /// <remarks>Ask the vendor to activate it.</remarks>
        LicenseNotActive = 129,

        /// <summary>The license is disabled.</summary>
        /// <remarks>Ask the vendor to enable it.</remarks>
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

        /// <summary>The operation requires an active license.</summary>
        /// <remarks>Activate the license first.</remarks>
        ActiveLicenseRequired = 134,

        /// <summary>The license is active on as many devices as it allows.</summary>
        /// <remarks>Deactivate it on another device.</remarks>
        LicenseActivatedMaxTimes = 135,

        /// <summary>The license was moved between devices as often as it allows.</summary>
        /// <remarks>Ask the vendor for more transfers.</remarks>
        LicenseTransferredMaxTimes = 136,

        /// <summary>The user is active on as many devices as the license allows.</summary>
        /// <remarks>Deactivate the license on another device.</remarks>
        LicenseUserActivatedMaxTimes = 137,

        /// <summary>This device is not activated for the license.</summary>
        /// <remarks>Call activate_license first. Check that hardware_id is the same as then.</remarks>
        DeviceNotFound = 138,

        /// <summary>The vendor has blocked this device.</summary>
        /// <remarks>Ask the vendor to unblock it.</remarks>
        Blacklisted = 139,

        /// <summary>The license does not allow borrowing.</summary>
        /// <remarks>Stay online, or ask for a license that allows borrowing.</remarks>
        LicenseBorrowNotAllowed = 140,

        /// <summary>No floating slot is free.</summary>
        /// <remarks>Wait until a colleague releases a slot, or get more slots.</remarks>
        FloatingNotAvailable = 141,

        /// <summary>The borrowed_until date is invalid for this license.</summary>
        /// <remarks>Choose a time in the future, within max_borrow_time hours and the license's validity. With null the server chooses the latest.</remarks>
        BorrowUntilNotValid = 142,

        /// <summary>The feature does not float.</summary>
        /// <remarks>Use the feature without borrowing or releasing it.</remarks>
        FeatureNotFloating = 143,

        /// <summary>The feature does not allow borrowing.</summary>
        /// <remarks>Stay online, or ask for a license whose feature allows borrowing.</remarks>
        FeatureBorrowNotAllowed = 144,

        /// <summary>This device holds no slot of the feature.</summary>
        /// <remarks>Call check_feature first: it takes the slot.</remarks>
        FloatingFeatureDeviceNotInUse = 145,

        /// <summary>The license does not have this feature.</summary>
        /// <remarks>Check "feature", and which features the license includes.</remarks>
        InvalidLicenseFeatureCode = 146,

        /// <summary>A later request about the same slot reached the server first, so the server did not carry out this one.</summary>
        /// <remarks>Try again. If it persists, check this machine's clock, and that no other machine uses the same hardware_id.</remarks>
        OrderOutdated = 147,

        /// <summary>The license does not count consumptions.</summary>
        /// <remarks>Use a license of type consumption, or a consumption feature.</remarks>
        LicenseNotConsumption = 150,

        /// <summary>The feature has too few consumptions left; nothing was booked.</summary>
        /// <remarks>Consume less, wait for the next period, or buy more.</remarks>
        FeatureNotEnoughConsumptions = 151,

        /// <summary>Negative consumptions are not allowed here.</summary>
        /// <remarks>Book a positive number.</remarks>
        NegativeConsumptionsNotAllowed = 152,

        /// <summary>The license has too few consumptions left; nothing was booked.</summary>
        /// <remarks>Consume less, wait for the next period, or buy more.</remarks>
        LicenseNotEnoughConsumptions = 153,

        /// <summary>The license belongs to another customer account.</summary>
        /// <remarks>Check customer_account_code.</remarks>
        CustomerAccountIdMismatch = 160,

        /// <summary>The customer_account_code is unknown to the server.</summary>
        /// <remarks>Check customer_account_code.</remarks>
        CustomerAccountNotFound = 161,

        /// <summary>The customer is unknown to the server.</summary>
        /// <remarks>Check the customer's e-mail address.</remarks>
        CustomerDoesNotExist = 162,

        /// <summary>The customer was not found.</summary>
        /// <remarks>Check the customer's e-mail address.</remarks>
        CustomerNotFound = 163,

        /// <summary>The password may not be changed through this API.</summary>
        /// <remarks>Change it where the user's account is kept.</remarks>
        ChangePasswordNotAllowed = 164,

        /// <summary>The order id is in use already.</summary>
        /// <remarks>Choose another order id.</remarks>
        OrderIdExists = 165,

        /// <summary>The server reports an internal error.</summary>
        /// <remarks>Try again later. If it persists, tell the server's operator.</remarks>
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
                case 42: return "REPLY_HEADERS_TOO_LARGE";
                case 43: return "OAUTH_CLIENT_REFUSED";
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
                case 61: return "OUT_OF_RESOURCES";
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
