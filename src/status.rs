//! The status table: every number the ABI can return, in one place.
//!
//! The header's constants are generated from it (`build.rs` includes this file); bindings, documentation and the
//! server's codes are tested against it. Numbers are append-only and never reused: a retired row stays.

/// What a status is about; `category` in the error object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Category {
    /// No error.
    Ok,
    /// The caller's mistake: arguments, configuration, handles.
    Usage,
    /// On the way to the server and back.
    Network,
    /// A reply that must not be believed.
    Reply,
    /// This machine.
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
    /// As the error object spells it.
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

/// Whether the same call may succeed later without anybody changing anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// No: something has to be changed first.
    Never,
    /// Yes.
    Later,
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The number.
    pub number: i32,
    /// `NAME`: `FLOATLEASE_E_NAME` in C, `"name":"NAME"` in the error object.
    pub name: &'static str,
    /// What it is about.
    pub category: Category,
    /// The `code` of the License API that it stands for; empty where it stands for none.
    pub server_code: &'static str,
    /// Whether trying again may help.
    pub retry: Retry,
    /// What happened.
    pub message: &'static str,
    /// What to do about it.
    pub advice: &'static str,
}

/// What a status means to the caller of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meaning {
    /// Whether trying again may help.
    pub retry: Retry,
    /// What happened.
    pub message: &'static str,
    /// What to do about it.
    pub advice: &'static str,
}

/// The advice where the server had nothing to give back or to end.
const NOTHING_LEFT: &str = "Nothing to do: what the call was to end is ended already.";

/// Refusals that mean something else to an operation that gives back than to one that takes: (operation, status,
/// message, advice). To try the same again never helps.
pub const OF_OPERATIONS: &[(&str, Status, &str, &str)] = &[
    ("release_license", Status::FloatingNotAvailable, "This device holds no slot of the license.", NOTHING_LEFT),
    (
        "release_feature",
        Status::FloatingFeatureDeviceNotInUse,
        "This device holds no slot of the feature.",
        NOTHING_LEFT,
    ),
    ("release_feature", Status::FeatureNotFloating, "The feature does not float, so it has no slots.", NOTHING_LEFT),
    ("deactivate_license", Status::DeviceNotFound, "This device is not activated for the license.", NOTHING_LEFT),
];

macro_rules! statuses {
    ($($number:literal $variant:ident $name:ident $category:ident $code:literal $retry:ident $message:literal $advice:literal)*) => {
        /// A status: a row of the table.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(i32)]
        pub enum Status {
            $(#[doc = $message] $variant = $number,)*
        }

        /// Every status, in the order of the numbers.
        pub const STATUSES: &[Status] = &[$(Status::$variant),*];

        impl Status {
            /// Its name as C wants it.
            pub const fn c_name(self) -> &'static std::ffi::CStr {
                match self {
                    $(Status::$variant => {
                        // Names are identifiers: they hold no NUL.
                        match std::ffi::CStr::from_bytes_with_nul(concat!(stringify!($name), "\0").as_bytes()) {
                            Ok(name) => name,
                            Err(_) => c"",
                        }
                    })*
                }
            }

            /// Its row.
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

    // ---- 1 to 19: the caller's mistake
    1 NullPointer NULL_POINTER Usage "" Never "A pointer that must not be NULL is NULL." "Pass the argument the header asks for."
    2 Utf8 UTF8 Usage "" Never "A string is not valid UTF-8." "Encode every string passed to floatlease in UTF-8."
    3 Json JSON Usage "" Never "A text is not a JSON object." "Pass one JSON object, for example {}; a JSON checker finds the place."
    4 UnknownKey UNKNOWN_KEY Usage "" Never "A key is not known here." "Correct the key; members the library does not know go into \"extra\"."
    5 WrongType WRONG_TYPE Usage "" Never "A value has the wrong JSON type." "Write the value as the type the message names."
    6 MissingKey MISSING_KEY Usage "" Never "A required key is missing." "Add the key to the config or to the request."
    7 BadValue BAD_VALUE Usage "" Never "A value is not acceptable." "Correct the value as the message says."
    8 Handle HANDLE Usage "" Never "The handle is not open: closed already, of another kind, or never opened." "Use the handle floatlease gave you, until you close it, and only for what it is."
    9 Forked FORKED Usage "" Never "The handle was opened before a fork, by the parent process." "Open a client of its own in the child process."
    10 UnknownOperation UNKNOWN_OPERATION Usage "" Never "There is no operation of this name." "Use a name from the table in the header, for example \"borrow_license\"."
    11 ConflictingKeys CONFLICTING_KEYS Usage "" Never "Keys that exclude each other are given together." "Give only one of them. A license is named by license_key, or username, or an SSO token."
    12 BadDate BAD_DATE Usage "" Never "The text is not a date." "Write it as 2026-09-27T23:30:48.016Z, 2026-09-27 23:30 or 2026-09-27, in UTC, or with an offset."
    13 NoPublicKey NO_PUBLIC_KEY Usage "" Never "Without a public key no reply can be proven." "Set \"public_key\" to the server's PEM key; to do without proof, say \"verify\":\"off\"."
    14 InsecureUrl INSECURE_URL Usage "" Never "The base_url would send the license key over an open network." "Use https://; to accept plain http:// to another machine, set \"allow_http\":true."
    15 Ticket TICKET Usage "" Never "No such call is under way." "Use the ticket floatlease_submit gave you, until its completion comes out of floatlease_next_event."
    16 TooManyCalls TOO_MANY_CALLS Usage "" Never "Too many submitted calls are under way." "Read floatlease_next_event until it gives none."
    17 LeaseOver LEASE_OVER Usage "" Never "The lease was given back." "Acquire a new one."

    // ---- 20 to 49: on the way to the server and back
    20 Dns DNS Network "" Later "The server's name could not be resolved." "Check the network connection and the host in base_url."
    21 Connect CONNECT Network "" Later "No connection to the server could be made." "Check that the server is running and that a firewall lets this program out."
    22 Tls TLS Network "" Never "The secure connection could not be set up." "Check that base_url names a TLS server and that nothing in between alters the connection."
    23 TlsExpired TLS_EXPIRED Network "" Never "The server's certificate is not valid at this time." "Renew the server's certificate; if it is fresh, correct this machine's clock."
    24 TlsWrongHost TLS_WRONG_HOST Network "" Never "The server's certificate is for another host." "Use the host name the certificate was issued for in base_url."
    25 TlsUnknownCa TLS_UNKNOWN_CA Network "" Never "The server's certificate is not signed by a trusted authority." "Set \"tls_roots\" to \"platform\" or to the PEM of the authority that signed it."
    26 Proxy PROXY Network "" Later "The proxy did not connect to the server." "Check \"proxy\" and that the proxy allows CONNECT to the server; \"none\" goes direct."
    27 ProxyAuth PROXY_AUTH Network "" Never "The proxy wants a name and a password." "Write them into the proxy's URL: http://name:password@host:port."
    28 Timeout TIMEOUT Network "" Later "The deadline passed before the call was done." "Try again later, or raise \"timeout_ms\"."
    29 Cancelled CANCELLED Network "" Later "The call was cancelled." "Nothing to do: your program asked for it."
    30 ConnectionLost CONNECTION_LOST Network "" Later "The connection ended before the reply came." "Ask the server where things stand before you try again: see \"outcome\"."
    31 RateLimited RATE_LIMITED Network "" Later "The server limits the rate of requests." "Wait for retry_after_ms before the next call."
    32 ServerError SERVER_ERROR Network "" Later "The server could not answer because of an error of its own." "Try again later; if it stays, tell whoever runs the server."
    33 ReplyNotApi REPLY_NOT_API Reply "" Later "What answered is not a license server." "Log in to the network if it has a log-in page; check base_url and the proxy."
    34 ReplyTruncated REPLY_TRUNCATED Reply "" Later "The reply ended too early." "Try again; if it stays, look at proxies between here and the server."
    35 ReplyTooLarge REPLY_TOO_LARGE Reply "" Never "The reply is larger than 1 MiB." "Check base_url: a license server does not answer that."
    36 ReplyRedirect REPLY_REDIRECT Reply "" Never "The server redirects to another address; a signed request is not sent elsewhere." "Set base_url to the final address."
    37 ReplyEmpty REPLY_EMPTY Reply "" Later "The reply is empty where the API sends an object." "Check base_url and proxies between here and the server."
    38 ReplyUnsigned REPLY_UNSIGNED Reply "" Never "The reply carries no signature, so it proves nothing." "Check that base_url is the license server and that no proxy strips the LicenseSignature header."
    39 ReplySignature REPLY_SIGNATURE Reply "" Never "The reply's signature was not made with the configured public key over these bytes." "Check that \"public_key\" is this server's key; if it is, something in between alters replies."
    40 ReplyAltered REPLY_ALTERED Reply "" Never "The reply was altered on its way: its inner signature is the server's, its body is not what was signed." "Look for a proxy or a program on the way that rewrites replies."
    41 ReplyNotOurs REPLY_NOT_OURS Reply "" Never "The reply is genuine, but it is about another device or license." "Look for a proxy that caches or repeats replies."

    // ---- 50 to 69: this machine
    50 HardwareId HARDWARE_ID Local "" Never "No stable id of this machine was found." "Set \"hardware_id\" in the config to an id of your own that stays the same on this machine."
    51 TlsRoots TLS_ROOTS Local "" Never "No trusted certificate authorities were found on this machine." "Set \"tls_roots\" to \"bundled\" or to PEM certificates, or install the system's CA certificates."
    52 Storage STORAGE Local "" Never "What is kept on disk can't be read or written." "Check that \"storage_dir\" is a folder that this program may write to, and that its disk has room."
    53 StorageDamaged STORAGE_DAMAGED Local "" Never "A file that floatlease keeps is damaged." "Restore the file, or move it away; the server must then confirm again what it proved."
    54 StorageForeign STORAGE_FOREIGN Local "" Never "A file that floatlease keeps is of another device or another product." "Give each machine a \"storage_dir\" of its own; move a copied file away."
    55 ClockMovedBack CLOCK_MOVED_BACK Local "" Never "This machine's clock was set back, so it can't tell whether a borrow is over." "Correct this machine's clock, or connect to the server once."
    56 NoProof NO_PROOF Local "" Later "Nothing that is stored proves a running borrow, and the server can't be asked." "Connect to the network; borrow before you leave it next time."
    57 NotFloating NOT_FLOATING Local "" Never "The slots of this license are counted by another server." "Use the vendor's on-premise floating server with a client of the vendor, or ask for a floating cloud license."
    58 QueueFull QUEUE_FULL Local "" Later "As many consumptions as can be kept wait to be booked or to be told." "Connect to the network and call sync_consumptions; its reply tells what was refused."
    60 Sandbox SANDBOX Local "" Never "The sandbox refused the call, or what was expected of it did not happen." "Read the message; in the sandbox GET /openapi.json lists every call."

    // ---- 70 to 79: a defect of this library
    70 Internal INTERNAL Internal "" Never "The library failed; your program's state is untouched." "Please report it with this error's message."

    // ---- 100 to 199: the server said no
    100 UnknownCode UNKNOWN_CODE Request "" Never "The server refused with a code this version does not know." "See server_code and the message."
    101 MissingHeaders MISSING_HEADERS Authorization "missing_headers" Never "The server missed request headers." "Look for a proxy that strips Date or Authorization."
    102 AuthorizationInvalidHeaders AUTHORIZATION_INVALID_HEADERS Authorization "authorization_invalid_headers" Never "The server could not read the Authorization header." "Look for a proxy that rewrites headers; check api_key for odd characters."
    103 AuthorizationMissingParams AUTHORIZATION_MISSING_PARAMS Authorization "authorization_missing_params" Never "The Authorization header misses a parameter." "Look for a proxy that rewrites headers."
    104 HmacRequired HMAC_REQUIRED Authorization "hmac_required" Never "The server wants hmac-sha256." "Check that base_url is a License API v4."
    105 DateHeaderDiff DATE_HEADER_DIFF Authorization "date_header_diff" Never "This machine's clock is too far from the server's, also after correction." "Set this machine's clock."
    106 SignatureMismatch SIGNATURE_MISMATCH Authorization "signature_mismatch" Never "The server does not accept the request's signature." "Check shared_key: it must be the one that belongs to api_key."
    107 InvalidApiKey INVALID_API_KEY Authorization "invalid_api_key" Never "The server does not know the API key." "Check api_key and base_url."
    108 RevokedApiKey REVOKED_API_KEY Authorization "revoked_api_key" Never "The API key was revoked." "Ship a program with a valid api_key."
    109 ReadOnlyApiKey READ_ONLY_API_KEY Authorization "read_only_api_key" Never "The API key may only read." "Use an api_key that may write."
    110 ApiKeyProductNotAllowed API_KEY_PRODUCT_NOT_ALLOWED Authorization "api_key_product_not_allowed" Never "The API key may not be used for this product." "Use an api_key of this product."
    111 OauthTokenExpired OAUTH_TOKEN_EXPIRED Authorization "oauth_token_expired" Later "The access token has expired." "Try again: a new one is fetched."
    112 OauthTokenMalformed OAUTH_TOKEN_MALFORMED Authorization "oauth_token_malformed" Never "The server could not read the access token." "Check the client id and secret."
    113 ValidationError VALIDATION_ERROR Request "validation_error" Never "The server found a parameter invalid." "See the message for the parameter."
    114 MissingParameters MISSING_PARAMETERS Request "missing_parameters" Never "The server missed parameters." "See the message for their names."
    115 MissingContent MISSING_CONTENT Request "missing_content" Never "The server missed the request's content." "Send the content this operation asks for."
    116 MissingHardwareId MISSING_HARDWARE_ID Request "missing_hardware_id" Never "The server missed the hardware id." "Set hardware_id."
    117 EmailMissing EMAIL_MISSING Request "email_missing" Never "The server wants an e-mail address." "Give \"email\"."
    118 InvalidJson INVALID_JSON Request "invalid_json" Never "The server could not read the request's JSON." "Look for a proxy that rewrites requests."
    119 NotFound NOT_FOUND Request "not_found" Never "The server does not have this address." "Check base_url; it ends in /api/v4."
    120 UnknownProduct UNKNOWN_PRODUCT Product "unknown_product" Never "The server does not know the product." "Check \"product\": it is the product's short code."
    121 ArchivedProduct ARCHIVED_PRODUCT Product "archived_product" Never "The product was archived." "Ask the vendor for the product that replaces it."
    122 DisabledProduct DISABLED_PRODUCT Product "disabled_product" Never "The product is disabled." "Ask the vendor."
    123 UnsupportedProductFeature UNSUPPORTED_PRODUCT_FEATURE Feature "unsupported_product_feature" Never "The license does not have this feature." "Check \"feature\" and what the license includes."
    124 InvalidProductAuthMethod INVALID_PRODUCT_AUTH_METHOD Product "invalid_product_auth_method" Never "The product does not take this kind of authorisation." "Use a license key for key-based products, a username for user-based ones."
    125 VersionNotFound VERSION_NOT_FOUND Product "version_not_found" Never "There is no such version of the product." "Check version, env and channel."
    126 LicenseKeyRequired LICENSE_KEY_REQUIRED License "license_key_required" Never "The product wants a license key." "Set license_key."
    127 LicenseKeyOrUserRequired LICENSE_KEY_OR_LICENSE_USER_REQUIRED License "license_key_or_license_user_required" Never "The server wants a license key or a user." "Set license_key, or username."
    128 LicenseNotFound LICENSE_NOT_FOUND License "license_not_found" Never "No license belongs to this key or user." "Check license_key, or username and password, and that they are for this product."
    129 LicenseNotActive LICENSE_NOT_ACTIVE License "license_not_active" Never "The license is not active." "Ask the vendor to activate it."
    130 LicenseNotEnabled LICENSE_NOT_ENABLED License "license_not_enabled" Never "The license is disabled." "Ask the vendor why."
    131 LicenseExpired LICENSE_EXPIRED License "license_expired" Never "The license has expired." "Renew the license."
    132 TrialExpired TRIAL_EXPIRED License "trial_expired" Never "The trial has ended." "Buy a license."
    133 TrialNotAllowed TRIAL_NOT_ALLOWED License "trial_not_allowed" Never "The product offers no trial." "Buy a license."
    134 ActiveLicenseRequired ACTIVE_LICENSE_REQUIRED License "active_license_required" Never "This needs an active license." "Activate the license first."
    135 LicenseActivatedMaxTimes LICENSE_ACTIVATED_MAX_TIMES License "license_activated_max_times" Never "The license is active on as many devices as it allows." "Deactivate it on another device."
    136 LicenseTransferredMaxTimes LICENSE_TRANSFERRED_MAX_TIMES License "license_transferred_max_times" Never "The license was moved between devices as often as it allows." "Ask the vendor."
    137 LicenseUserActivatedMaxTimes LICENSE_USER_ACTIVATED_MAX_TIMES License "licenseUserActivatedMaxTimes" Never "The user is active on as many devices as the license allows." "Deactivate it on another device."
    138 DeviceNotFound DEVICE_NOT_FOUND Device "device_not_found" Never "This device is not activated for the license." "Call activate_license first; check that hardware_id is the same as then."
    139 Blacklisted BLACKLISTED Device "blacklisted" Never "The vendor has blocked this device." "Ask the vendor."
    140 LicenseBorrowNotAllowed LICENSE_BORROW_NOT_ALLOWED License "license_borrow_not_allowed" Never "The license may not be borrowed." "Stay online, or ask for a license that may be borrowed."
    141 FloatingNotAvailable FLOATING_NOT_AVAILABLE License "floating_not_available" Later "No floating slot is free." "Wait until a colleague gives a slot back, or get more slots."
    142 BorrowUntilNotValid BORROW_UNTIL_NOT_VALID License "borrow_until_not_valid" Never "The license cannot be borrowed until then." "Choose a time in the future within max_borrow_time hours and the license's validity; null takes the longest."
    143 FeatureNotFloating FEATURE_NOT_FLOATING Feature "feature_not_floating" Never "The feature does not float." "Use it without borrowing or releasing it."
    144 FeatureBorrowNotAllowed FEATURE_BORROW_NOT_ALLOWED Feature "feature_borrow_not_allowed" Never "The feature may not be borrowed." "Stay online, or ask for a license whose feature may be borrowed."
    145 FloatingFeatureDeviceNotInUse FLOATING_FEATURE_DEVICE_NOT_IN_USE Feature "floating_feature_device_not_in_use" Never "This device holds no slot of the feature." "Call check_feature first; it takes the slot."
    146 InvalidLicenseFeatureCode INVALID_LICENSE_FEATURE_CODE Feature "invalid_license_feature_code" Never "The license does not have this feature." "Check \"feature\" and what the license includes."
    147 OrderOutdated ORDER_OUTDATED Request "order_outdated" Later "A later request about the same slot reached the server first, so this one was not carried out." "Try again. If it stays, check this machine's clock, and that no other machine uses the same hardware_id."
    150 LicenseNotConsumption LICENSE_NOT_CONSUMPTION Consumption "license_not_consumption" Never "The license does not count consumptions." "Use a license of type consumption, or a consumption feature."
    151 FeatureNotEnoughConsumptions FEATURE_NOT_ENOUGH_CONSUMPTIONS Consumption "feature_not_enough_consumptions" Never "The feature has too few consumptions left; nothing was booked." "Consume less, wait for the next period, or buy more."
    152 NegativeConsumptionsNotAllowed NEGATIVE_CONSUMPTIONS_NOT_ALLOWED Consumption "negative_consumptions_not_allowed" Never "Consumptions may not be given back here." "Add a positive number."
    153 LicenseNotEnoughConsumptions LICENSE_NOT_ENOUGH_CONSUMPTIONS Consumption "license_not_enough_consumptions" Never "The license has too few consumptions left; nothing was booked." "Consume less, wait for the next period, or buy more."
    160 CustomerAccountIdMismatch CUSTOMER_ACCOUNT_ID_MISMATCH Customer "customer_account_id_mismatch" Never "The license belongs to another customer account." "Check customer_account_code."
    161 CustomerAccountNotFound CUSTOMER_ACCOUNT_NOT_FOUND Customer "customer_account_not_found" Never "There is no such customer account." "Check customer_account_code."
    162 CustomerDoesNotExist CUSTOMER_DOES_NOT_EXIST Customer "customer_does_not_exist" Never "There is no such customer." "Check the customer's e-mail address."
    163 CustomerNotFound CUSTOMER_NOT_FOUND Customer "customer_not_found" Never "There is no such customer." "Check the customer's e-mail address."
    164 ChangePasswordNotAllowed CHANGE_PASSWORD_NOT_ALLOWED Customer "change_password_not_allowed" Never "The password may not be changed here." "Change it where the user's account is kept."
    165 OrderIdExists ORDER_ID_EXISTS Request "order_id_exists" Never "The order id is in use." "Choose another order id."
    166 ServerInternalError SERVER_INTERNAL_ERROR Network "internal_error" Later "The server reports an error of its own." "Try again later; if it stays, tell whoever runs the server."
}

impl Status {
    /// The number that crosses the ABI.
    pub const fn number(self) -> i32 {
        self as i32
    }

    /// What it means to the caller of `operation`.
    pub fn meaning_for(self, operation: &str) -> Meaning {
        let row = self.row();
        let own = OF_OPERATIONS.iter().find(|own| (own.0, own.1) == (operation, self));
        own.map_or(Meaning { retry: row.retry, message: row.message, advice: row.advice }, |(_, _, message, advice)| {
            Meaning { retry: Retry::Never, message, advice }
        })
    }

    /// The status with this number.
    pub fn of_number(number: i32) -> Option<Status> {
        STATUSES.iter().copied().find(|status| status.number() == number)
    }

    /// The status for a `code` of the License API; [`Status::UnknownCode`] for one that is not in the table.
    pub fn of_server_code(code: &str) -> Status {
        let known = STATUSES.iter().copied().find(|status| !code.is_empty() && status.row().server_code == code);
        known.unwrap_or(Status::UnknownCode)
    }
}
