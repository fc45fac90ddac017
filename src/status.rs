//! The status table: every number that the ABI can return, with its name, message and advice.
//!
//! `build.rs` generates the header's constants from it, and `make header` the tables of the bindings and
//! `docs/errors.md`. Numbers are only added and never reused: a retired row stays.
//!
//! A message says what is wrong and names the value. An advice says what to do. Both are full sentences.

/// The subject of a status; `category` in the error object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Category {
    /// No error.
    Ok,
    /// A mistake of the caller: arguments, config, handles.
    Usage,
    /// A failure between this machine and the server.
    Network,
    /// A reply that failed verification.
    Reply,
    /// A failure of this machine.
    Local,
    /// A defect of this library.
    Internal,
    /// The server refused: keys and request headers.
    Authorization,
    /// The server refused: the request itself.
    Request,
    /// The server refused: the product.
    Product,
    /// The server refused: the license, its state or its slots.
    License,
    /// The server refused: this device.
    Device,
    /// The server refused: a feature or its slots.
    Feature,
    /// The server refused: a consumption.
    Consumption,
    /// The server refused: the customer or the user.
    Customer,
}

impl Category {
    /// Returns its name in the error object.
    pub const fn name(self) -> &'static str {
        match self {
            Category::Ok => "ok",
            Category::Usage => "usage",
            Category::Network => "network",
            Category::Reply => "reply",
            Category::Local => "local",
            Category::Internal => "internal",
            Category::Authorization => "authorization",
            Category::Request => "request",
            Category::Product => "product",
            Category::License => "license",
            Category::Device => "device",
            Category::Feature => "feature",
            Category::Consumption => "consumption",
            Category::Customer => "customer",
        }
    }
}

/// Says if the same call may succeed later although nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The call fails until something is changed.
    Never,
    /// The call may succeed later.
    Later,
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The number.
    pub number: i32,
    /// `NAME`: `FLOATLEASE_E_NAME` in C, `"name":"NAME"` in the error object.
    pub name: &'static str,
    /// Its subject.
    pub category: Category,
    /// The License API's `code` that it stands for; empty if there is none.
    pub server_code: &'static str,
    /// [`Retry::Later`] if the same call may succeed later.
    pub retry: Retry,
    /// The message: what is wrong.
    pub message: &'static str,
    /// The advice: what to do about it.
    pub advice: &'static str,
}

/// The meaning of a status for one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meaning {
    /// [`Retry::Later`] if the same call may succeed later.
    pub retry: Retry,
    /// The message: what is wrong.
    pub message: &'static str,
    /// The advice: what to do about it.
    pub advice: &'static str,
}

/// The advice for a release or deactivation of something that was released or deactivated before.
const NOTHING_LEFT: &str = "Nothing to do: the call's purpose is already achieved.";

/// Errors that mean something else for one operation: (operation, status, message, advice). A repetition never helps.
pub const OF_OPERATIONS: &[(&str, Status, &str, &str)] = &[
    ("release_license", Status::FloatingNotAvailable, "This device holds no slot of the license.", NOTHING_LEFT),
    (
        "release_feature",
        Status::FloatingFeatureDeviceNotInUse,
        "This device holds no slot of the feature.",
        NOTHING_LEFT,
    ),
    ("release_feature", Status::FeatureNotFloating, "The feature does not float, so it has no slots.", NOTHING_LEFT),
    (
        "activate_offline",
        Status::OrderOutdated,
        "This request file was used before, or a later one of its device was.",
        "Write another request file on the device.",
    ),
    (
        "deactivate_offline",
        Status::OrderOutdated,
        "This request file was used before, or a later one of its device was.",
        "If the device is active still, write another request file on it.",
    ),
    (
        "read_offline_activation",
        Status::ReplyNotOurs,
        "The file is genuine, but it is for another device or license, or answers another request.",
        "Write a request file on this device, and read the file that the server returns for it.",
    ),
    (
        "read_offline_activation",
        Status::ReplySignature,
        "The file was altered, or another server has signed it.",
        "Fetch the file anew, and check that \"public_key\" belongs to the server that has written it.",
    ),
    ("deactivate_license", Status::DeviceNotFound, "This device is not activated for the license.", NOTHING_LEFT),
];

macro_rules! statuses {
    ($($number:literal $variant:ident $name:ident $category:ident $code:literal $retry:ident $message:literal $advice:literal)*) => {
        /// A status, which is one row of the table.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(i32)]
        pub enum Status {
            $(#[doc = $message] $variant = $number,)*
        }

        /// Every status, ordered by number.
        pub const STATUSES: &[Status] = &[$(Status::$variant),*];

        impl Status {
            /// Returns its name as a C string.
            pub const fn c_name(self) -> &'static std::ffi::CStr {
                match self {
                    $(Status::$variant => {
                        // Names are identifiers, so they hold no NUL.
                        match std::ffi::CStr::from_bytes_with_nul(concat!(stringify!($name), "\0").as_bytes()) {
                            Ok(name) => name,
                            Err(_) => c"",
                        }
                    })*
                }
            }

            /// Returns its row.
            pub const fn row(self) -> Row {
                match self {
                    $(Status::$variant => Row {
                        number: $number,
                        name: stringify!($name),
                        category: Category::$category,
                        server_code: $code,
                        retry: Retry::$retry,
                        message: $message,
                        advice: $advice,
                    },)*
                }
            }
        }
    };
}

statuses! {
    // ---- 0: done
    0 Ok OK Ok "" Never "The call succeeded." "Nothing to do."

    // ---- 1 to 19: mistakes of the caller
    1 NullPointer NULL_POINTER Usage "" Never "A required pointer argument is NULL." "Pass the argument that the message names."
    2 Utf8 UTF8 Usage "" Never "A string argument is invalid UTF-8." "Encode every string that you pass to floatlease in UTF-8."
    3 Json JSON Usage "" Never "The text is invalid: expected one JSON object." "Pass one JSON object, for example {}. A JSON checker finds the place of the mistake."
    4 UnknownKey UNKNOWN_KEY Usage "" Never "The config or request holds an unknown key." "Correct the key's spelling. Members that the library does not know go into \"extra\"."
    5 WrongType WRONG_TYPE Usage "" Never "A value has the wrong JSON type." "Write the value as the type that the message expects."
    6 MissingKey MISSING_KEY Usage "" Never "A required key is missing." "Add the key that the message names to the config or to the request."
    7 BadValue BAD_VALUE Usage "" Never "A value is invalid." "Correct the value as the message says."
    8 Handle HANDLE Usage "" Never "The handle is invalid: it was closed, is of another kind, or was never opened." "Pass a handle that floatlease returned and that you have not closed, to a function of its own kind."
    9 Forked FORKED Usage "" Never "The handle was opened by the parent process, before a fork." "Open a new client in the child process."
    10 UnknownOperation UNKNOWN_OPERATION Usage "" Never "There is no operation of this name." "Use a name from docs/operations.md, for example \"borrow_license\"."
    11 ConflictingKeys CONFLICTING_KEYS Usage "" Never "The config or request holds keys that exclude each other." "Give only one of them. A license is named by license_key, or username, or an SSO token."
    12 BadDate BAD_DATE Usage "" Never "The date is invalid." "Write it as 2026-09-27T23:30:48.016Z, 2026-09-27 23:30 or 2026-09-27, in UTC, or with an offset."
    13 NoPublicKey NO_PUBLIC_KEY Usage "" Never "The config's \"public_key\" is missing, so no reply could be verified." "Set \"public_key\" to the server's PEM key, or turn verification off with \"verify\":\"off\"."
    14 InsecureUrl INSECURE_URL Usage "" Never "The base_url would send the license key unencrypted to another machine." "Use https://, or set \"allow_http\":true to accept plain http://."
    15 Ticket TICKET Usage "" Never "No such call is under way." "Use the ticket from floatlease_submit, until floatlease_next_event returns its completion."
    16 TooManyCalls TOO_MANY_CALLS Usage "" Never "1,000 submitted calls are under way or were not read." "Call floatlease_next_event until it returns no event."
    17 LeaseOver LEASE_OVER Usage "" Never "The lease was released." "Acquire a new lease."

    // ---- 20 to 49: failures between this machine and the server
    20 Dns DNS Network "" Later "The server's host name could not be resolved." "Check the network connection and the host name in base_url, or in the proxy's URL if the message names a proxy."
    21 Connect CONNECT Network "" Later "The connection to the server failed." "Check that the server, or the proxy that the message names, is running, and that no firewall blocks this program."
    22 Tls TLS Network "" Never "The TLS connection to the server could not be set up." "Check that base_url names a TLS server, and that no proxy alters the connection."
    23 TlsExpired TLS_EXPIRED Network "" Never "The server's certificate has expired or is not yet valid." "Renew the server's certificate. If its dates are right, correct this machine's clock."
    24 TlsWrongHost TLS_WRONG_HOST Network "" Never "The server's certificate was issued for another host name." "Put the host name from the certificate into base_url."
    25 TlsUnknownCa TLS_UNKNOWN_CA Network "" Never "The server's certificate was signed by an untrusted authority." "Set \"tls_roots\" to \"platform\", or to the PEM certificate of the authority that signed it."
    26 Proxy PROXY Network "" Later "The proxy did not connect to the server." "Check the proxy that the message names, and that it allows CONNECT to the server. With \"proxy\":\"none\" the library connects directly."
    27 ProxyAuth PROXY_AUTH Network "" Never "The proxy requires a name and a password." "Write them into the proxy's URL: http://name:password@host:port."
    28 Timeout TIMEOUT Network "" Later "The call's deadline passed before it was done." "Try again later, or raise \"timeout_ms\"."
    29 Cancelled CANCELLED Network "" Later "The call was cancelled." "Nothing to do: your program cancelled it."
    30 ConnectionLost CONNECTION_LOST Network "" Later "The connection ended before the reply arrived." "If \"outcome\" is \"unknown\", ask the server for the current state before you try again."
    31 RateLimited RATE_LIMITED Network "" Later "The server refused the request: too many requests." "Wait for retry_after_ms before the next call."
    32 ServerError SERVER_ERROR Network "" Later "The server failed with an error of its own." "Try again later. If it persists, tell the server's operator."
    33 ReplyNotApi REPLY_NOT_API Reply "" Later "The reply did not come from a license server." "If the network has a log-in page, log in. Check base_url and the proxy."
    34 ReplyTruncated REPLY_TRUNCATED Reply "" Later "The reply is incomplete." "Try again. If it persists, check the proxies between this machine and the server."
    35 ReplyTooLarge REPLY_TOO_LARGE Reply "" Never "The reply is larger than 1 MiB." "Ask the vendor for a license with fewer features and less metadata, or find the proxy on the way that enlarges replies."
    36 ReplyRedirect REPLY_REDIRECT Reply "" Never "The server redirects to another address, and signed requests are not sent to other addresses." "Set base_url to the final address."
    37 ReplyEmpty REPLY_EMPTY Reply "" Later "The reply is empty: expected a JSON object." "Check base_url and the proxies between this machine and the server."
    38 ReplyUnsigned REPLY_UNSIGNED Reply "" Never "The reply's signature is missing." "Check that base_url is the license server's, and that no proxy removes the LicenseSignature header."
    39 ReplySignature REPLY_SIGNATURE Reply "" Never "The reply's signature is invalid: it does not verify under the configured public key." "Check that \"public_key\" belongs to this server. If it does, a proxy or program on the way alters replies."
    40 ReplyAltered REPLY_ALTERED Reply "" Never "The reply was altered on its way: its inner signature is valid, the signature over its body is not." "Find the proxy or program on the way that rewrites replies."
    41 ReplyNotOurs REPLY_NOT_OURS Reply "" Never "The reply is genuine, but it answers another request, device or license." "Find the proxy on the way that caches or repeats replies."
    42 ReplyHeadersTooLarge REPLY_HEADERS_TOO_LARGE Reply "" Never "The reply's headers are larger than 64 KiB, or more than 128." "Find the proxy on the way that adds headers, and have it add fewer."
    43 OauthClientRefused OAUTH_CLIENT_REFUSED Authorization "" Never "The token endpoint refused the OAuth client." "Check \"client_id\" and \"client_secret\", and that the vendor has not replaced or revoked them."

    // ---- 50 to 69: failures of this machine
    50 HardwareId HARDWARE_ID Local "" Never "No stable id of this machine was found." "Set \"hardware_id\" in the config to an id that stays the same on this machine."
    51 TlsRoots TLS_ROOTS Local "" Never "This machine's trusted certificate authorities are missing." "Set \"tls_roots\" to \"bundled\" or to PEM certificates, or install the system's CA certificates."
    52 Storage STORAGE Local "" Never "A file in \"storage_dir\" could not be read or written." "Check that \"storage_dir\" is a folder that this program may write to, and that its disk has room."
    53 StorageDamaged STORAGE_DAMAGED Local "" Never "A file in \"storage_dir\" is damaged, or was written by another version." "Restore the file, or move it away and connect to the server, which then confirms the slot again."
    54 StorageForeign STORAGE_FOREIGN Local "" Never "A file in \"storage_dir\" belongs to another device or product." "Give each machine a \"storage_dir\" of its own, and move copied files away."
    55 ClockMovedBack CLOCK_MOVED_BACK Local "" Never "This machine's clock is behind a date that it has shown or the server has told, so the end of a borrow can't be checked." "Correct this machine's clock, or connect to the server once."
    56 NoProof NO_PROOF Local "" Later "The server can't be reached, and no stored borrow is valid now." "Connect to the network. Next time, borrow before you go offline."
    57 NotFloating NOT_FLOATING Local "" Never "The slots of this license are counted by an on-premise server of the vendor." "Use the vendor's client for that server, or ask the vendor for a floating cloud license."
    58 QueueFull QUEUE_FULL Local "" Later "The queue holds as many consumptions as it can keep." "Connect to the network and call sync_consumptions. Its reply counts what was booked and lists what was refused."
    60 Sandbox SANDBOX Local "" Never "The sandbox refused the call, or an expectation of the call did not hold." "Read the message. GET /openapi.json of the sandbox lists every call."
    61 OutOfResources OUT_OF_RESOURCES Local "" Later "The system has run out of a resource that the call needs." "Try again later. If it persists, close what the program no longer needs, or raise the limit of the resource that the message names."

    // ---- 70 to 79: defects of this library
    70 Internal INTERNAL Internal "" Never "The library failed with an internal error; your program's state is untouched." "Report the defect with this error's message."

    // ---- 100 to 199: refusals of the server
    100 UnknownCode UNKNOWN_CODE Request "" Never "The server refused with a code that this version does not know." "Read server_code and the message."
    101 MissingHeaders MISSING_HEADERS Authorization "missing_headers" Never "Required headers are missing from the request." "Find the proxy that removes the Date or Authorization header."
    102 AuthorizationInvalidHeaders AUTHORIZATION_INVALID_HEADERS Authorization "authorization_invalid_headers" Never "The request's Authorization header is invalid." "Find the proxy that rewrites headers, and check api_key for unusual characters."
    103 AuthorizationMissingParams AUTHORIZATION_MISSING_PARAMS Authorization "authorization_missing_params" Never "A parameter of the Authorization header is missing." "Find the proxy that rewrites headers."
    104 HmacRequired HMAC_REQUIRED Authorization "hmac_required" Never "The request's signature algorithm is invalid: the server expected hmac-sha256." "Check that base_url is the address of a License API v4."
    105 DateHeaderDiff DATE_HEADER_DIFF Authorization "date_header_diff" Never "This machine's clock differs too much from the server's." "Set this machine's clock."
    106 SignatureMismatch SIGNATURE_MISMATCH Authorization "signature_mismatch" Never "The request's signature is invalid." "Check shared_key: it must be the one that belongs to api_key."
    107 InvalidApiKey INVALID_API_KEY Authorization "invalid_api_key" Never "The api_key is invalid: the server does not know it." "Check api_key and base_url."
    108 RevokedApiKey REVOKED_API_KEY Authorization "revoked_api_key" Never "The api_key was revoked." "Ship a program with a valid api_key."
    109 ReadOnlyApiKey READ_ONLY_API_KEY Authorization "read_only_api_key" Never "The api_key may only read." "Use an api_key that may write."
    110 ApiKeyProductNotAllowed API_KEY_PRODUCT_NOT_ALLOWED Authorization "api_key_product_not_allowed" Never "The api_key may not be used for this product." "Use an api_key of this product."
    111 OauthTokenExpired OAUTH_TOKEN_EXPIRED Authorization "oauth_token_expired" Later "The access token has expired." "Try again: the library fetches a new one."
    112 OauthTokenMalformed OAUTH_TOKEN_MALFORMED Authorization "oauth_token_malformed" Never "The access token is invalid." "Check the client id and secret."
    113 ValidationError VALIDATION_ERROR Request "validation_error" Never "A parameter of the request is invalid." "Correct the parameter that the message names."
    114 MissingParameters MISSING_PARAMETERS Request "missing_parameters" Never "Required parameters are missing from the request." "Add the parameters that the message names."
    115 MissingContent MISSING_CONTENT Request "missing_content" Never "The request's content is missing." "Send the content that this operation requires."
    116 MissingHardwareId MISSING_HARDWARE_ID Request "missing_hardware_id" Never "The request's hardware_id is missing." "Set \"hardware_id\" in the config or the request."
    117 EmailMissing EMAIL_MISSING Request "email_missing" Never "The request's e-mail address is missing." "Set \"email\" in the request."
    118 InvalidJson INVALID_JSON Request "invalid_json" Never "The request's JSON arrived invalid." "Find the proxy that rewrites requests."
    119 NotFound NOT_FOUND Request "not_found" Never "The server has nothing at this address." "Check base_url: it ends in /api/v4."
    120 UnknownProduct UNKNOWN_PRODUCT Product "unknown_product" Never "The \"product\" is unknown to the server." "Check \"product\": it is the product's short code."
    121 ArchivedProduct ARCHIVED_PRODUCT Product "archived_product" Never "The product was archived." "Ask the vendor for the product that replaces it."
    122 DisabledProduct DISABLED_PRODUCT Product "disabled_product" Never "The product is disabled." "Ask the vendor to enable it."
    123 UnsupportedProductFeature UNSUPPORTED_PRODUCT_FEATURE Feature "unsupported_product_feature" Never "The product does not have this feature, or the feature is disabled." "Check \"feature\", and which features the product has."
    124 InvalidProductAuthMethod INVALID_PRODUCT_AUTH_METHOD Product "invalid_product_auth_method" Never "The product's licenses are not named this way." "Use license_key for key-based products, username for user-based products."
    125 VersionNotFound VERSION_NOT_FOUND Product "version_not_found" Never "The product does not have this version." "Check version, env and channel."
    126 LicenseKeyRequired LICENSE_KEY_REQUIRED License "license_key_required" Never "The request's license_key is missing." "Set license_key in the config or the request."
    127 LicenseKeyOrUserRequired LICENSE_KEY_OR_LICENSE_USER_REQUIRED License "license_key_or_license_user_required" Never "The request's license_key or username is missing." "Set license_key or username in the config or the request."
    128 LicenseNotFound LICENSE_NOT_FOUND License "license_not_found" Never "No license belongs to this key or user." "Check license_key, or username and password, and that they are for this product."
    129 LicenseNotActive LICENSE_NOT_ACTIVE License "license_not_active" Never "The license is not active." "Ask the vendor to activate it."
    130 LicenseNotEnabled LICENSE_NOT_ENABLED License "license_not_enabled" Never "The license is disabled." "Ask the vendor to enable it."
    131 LicenseExpired LICENSE_EXPIRED License "license_expired" Never "The license has expired." "Renew the license."
    132 TrialExpired TRIAL_EXPIRED License "trial_expired" Never "The trial has ended." "Buy a license."
    133 TrialNotAllowed TRIAL_NOT_ALLOWED License "trial_not_allowed" Never "The product offers no trial." "Buy a license."
    134 ActiveLicenseRequired ACTIVE_LICENSE_REQUIRED License "active_license_required" Never "The operation requires an active license." "Activate the license first."
    135 LicenseActivatedMaxTimes LICENSE_ACTIVATED_MAX_TIMES License "license_activated_max_times" Never "The license is active on as many devices as it allows." "Deactivate it on another device."
    136 LicenseTransferredMaxTimes LICENSE_TRANSFERRED_MAX_TIMES License "license_transferred_max_times" Never "The license was moved between devices as often as it allows." "Ask the vendor for more transfers."
    137 LicenseUserActivatedMaxTimes LICENSE_USER_ACTIVATED_MAX_TIMES License "licenseUserActivatedMaxTimes" Never "The user is active on as many devices as the license allows." "Deactivate the license on another device."
    138 DeviceNotFound DEVICE_NOT_FOUND Device "device_not_found" Never "This device is not activated for the license." "Call activate_license first. Check that hardware_id is the same as then."
    139 Blacklisted BLACKLISTED Device "blacklisted" Never "The vendor has blocked this device." "Ask the vendor to unblock it."
    140 LicenseBorrowNotAllowed LICENSE_BORROW_NOT_ALLOWED License "license_borrow_not_allowed" Never "The license does not allow borrowing." "Stay online, or ask for a license that allows borrowing."
    141 FloatingNotAvailable FLOATING_NOT_AVAILABLE License "floating_not_available" Later "No floating slot is free." "Wait until a colleague releases a slot, or get more slots."
    142 BorrowUntilNotValid BORROW_UNTIL_NOT_VALID License "borrow_until_not_valid" Never "The borrowed_until date is invalid for this license." "Choose a time in the future, within max_borrow_time hours and the license's validity. With null the server chooses the latest."
    143 FeatureNotFloating FEATURE_NOT_FLOATING Feature "feature_not_floating" Never "The feature does not float." "Use the feature without borrowing or releasing it."
    144 FeatureBorrowNotAllowed FEATURE_BORROW_NOT_ALLOWED Feature "feature_borrow_not_allowed" Never "The feature does not allow borrowing." "Stay online, or ask for a license whose feature allows borrowing."
    145 FloatingFeatureDeviceNotInUse FLOATING_FEATURE_DEVICE_NOT_IN_USE Feature "floating_feature_device_not_in_use" Never "This device holds no slot of the feature." "Call check_feature first: it takes the slot."
    146 InvalidLicenseFeatureCode INVALID_LICENSE_FEATURE_CODE Feature "invalid_license_feature_code" Never "The license does not have this feature." "Check \"feature\", and which features the license includes."
    147 OrderOutdated ORDER_OUTDATED Request "order_outdated" Later "A later request about the same slot reached the server first, so the server did not carry out this one." "Try again. If it persists, check this machine's clock, and that no other machine uses the same hardware_id."
    150 LicenseNotConsumption LICENSE_NOT_CONSUMPTION Consumption "license_not_consumption" Never "The license does not count consumptions." "Use a license of type consumption, or a consumption feature."
    151 FeatureNotEnoughConsumptions FEATURE_NOT_ENOUGH_CONSUMPTIONS Consumption "feature_not_enough_consumptions" Never "The feature has too few consumptions left; nothing was booked." "Consume less, wait for the next period, or buy more."
    152 NegativeConsumptionsNotAllowed NEGATIVE_CONSUMPTIONS_NOT_ALLOWED Consumption "negative_consumptions_not_allowed" Never "Negative consumptions are not allowed here." "Book a positive number."
    153 LicenseNotEnoughConsumptions LICENSE_NOT_ENOUGH_CONSUMPTIONS Consumption "license_not_enough_consumptions" Never "The license has too few consumptions left; nothing was booked." "Consume less, wait for the next period, or buy more."
    160 CustomerAccountIdMismatch CUSTOMER_ACCOUNT_ID_MISMATCH Customer "customer_account_id_mismatch" Never "The license belongs to another customer account." "Check customer_account_code."
    161 CustomerAccountNotFound CUSTOMER_ACCOUNT_NOT_FOUND Customer "customer_account_not_found" Never "The customer_account_code is unknown to the server." "Check customer_account_code."
    162 CustomerDoesNotExist CUSTOMER_DOES_NOT_EXIST Customer "customer_does_not_exist" Never "The customer is unknown to the server." "Check the customer's e-mail address."
    163 CustomerNotFound CUSTOMER_NOT_FOUND Customer "customer_not_found" Never "The customer was not found." "Check the customer's e-mail address."
    164 ChangePasswordNotAllowed CHANGE_PASSWORD_NOT_ALLOWED Customer "change_password_not_allowed" Never "The password may not be changed through this API." "Change it where the user's account is kept."
    165 OrderIdExists ORDER_ID_EXISTS Request "order_id_exists" Never "The order id is in use already." "Choose another order id."
    166 ServerInternalError SERVER_INTERNAL_ERROR Network "internal_error" Later "The server reports an internal error." "Try again later. If it persists, tell the server's operator."
}

impl Status {
    /// Returns the number that crosses the ABI.
    pub const fn number(self) -> i32 {
        self as i32
    }

    /// Returns its meaning for `operation`.
    pub fn meaning_for(self, operation: &str) -> Meaning {
        let row = self.row();
        let own = OF_OPERATIONS.iter().find(|own| (own.0, own.1) == (operation, self));
        own.map_or(Meaning { retry: row.retry, message: row.message, advice: row.advice }, |(_, _, message, advice)| {
            Meaning { retry: Retry::Never, message, advice }
        })
    }

    /// Returns the status with this number.
    pub fn of_number(number: i32) -> Option<Status> {
        STATUSES.iter().copied().find(|status| status.number() == number)
    }

    /// Returns the status for a `code` of the License API; [`Status::UnknownCode`] if the table has no such code.
    pub fn of_server_code(code: &str) -> Status {
        let known = STATUSES.iter().copied().find(|status| !code.is_empty() && status.row().server_code == code);
        known.unwrap_or(Status::UnknownCode)
    }
}
