//! The API as one table: the name, address, parameters and reply of each operation.
//!
//! The client checks requests against it before it sends them, and the server checks requests when they arrive. A new
//! operation is a new row here, a function in `ffi/exports/verbs.rs` if it deserves one, and an action in the server's
//! `domain`.

/// The HTTP method of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Parameters travel in the query.
    Get,
    /// Parameters travel in a JSON body.
    Post,
}

/// The way in which a request names its license.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// It names no license.
    None,
    /// `license_key` or `username`.
    Ident,
    /// `license_key`, or `username` with `password`, or `id_token` or `code` with `customer_account_code`.
    Set,
    /// It names a user, and no license: `username` with `password`, or `id_token` or `code` with `customer_account_code`.
    User,
    /// It names a user, and no license, by `username` with `password`.
    Password,
}

/// The JSON type of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A string.
    Text,
    /// An integer. The server also accepts a numeric string.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// A time in one of the forms of [`crate::model::parse_time`], or null.
    TimeOrNull,
    /// An object.
    Object,
    /// An array of strings.
    Texts,
    /// The text of a file, which is the whole body of the request.
    File,
}

/// One parameter of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameter {
    /// Its key in the query or the body.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// True if the server refuses a request without it as `missing_parameters`.
    pub required: bool,
}

/// The form of a successful reply, and so what verifies it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// A JSON object with the v1 signature inside and the v2 signature in the `LicenseSignature` header.
    License,
    /// A JSON object with the v2 signature and these members. The signature does not cover the request, so a reply
    /// without the members answers another one. `customer.email` is the member `email` of the object `customer`.
    Signed(&'static [&'static str]),
    /// A JSON array with the v2 signature, of objects that each have these members. The host gets it as `{"items":[…]}`,
    /// so that every reply is an object.
    List(&'static [&'static str]),
    /// A JSON array like [`Reply::List`], of licenses with the v1 signature inside each.
    Licenses,
    /// A JSON object with both signatures inside, so that it can be kept as a file: the license of an offline activation.
    OfflineLicense,
    /// An empty body. The API does not sign it.
    Empty,
    /// This text, without JSON. The API does not sign it.
    Text(&'static str),
}

/// The effect of an operation on slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotEffect {
    /// It changes no slot.
    None,
    /// It activates the device, and changes no slot.
    Activates,
    /// It takes the slot, or keeps it for another timeout.
    Takes,
    /// It borrows the slot.
    Borrows,
    /// It releases the slot.
    Releases,
    /// It deactivates the device, which releases all of its slots.
    ReleasesAll,
    /// It activates or checks the licenses of a bundle, and may take slots of several. Leases learn that from the server.
    OfBundle,
    /// It deactivates the device on the licenses of a bundle, which releases all of its slots.
    ReleasesBundle,
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    /// Its name for `floatlease_call`, which is the name of the C function without its prefix.
    pub name: &'static str,
    /// Its HTTP method.
    pub method: Method,
    /// Its path below `/api/v4`.
    pub path: &'static str,
    /// The way in which it names the license.
    pub auth: Auth,
    /// True if it names a product.
    pub product: bool,
    /// True if it names a device by `hardware_id`.
    pub device: bool,
    /// Its own parameters, besides those of [`Operation::parameters`].
    pub own: &'static [Parameter],
    /// The form of its reply.
    pub reply: Reply,
    /// True if a repetition after a lost reply leaves the server in the same state as one call.
    pub idempotent: bool,
    /// Its effect on slots.
    pub slots: SlotEffect,
}

const fn required(name: &'static str, kind: Kind) -> Parameter {
    Parameter { name, kind, required: true }
}

const fn optional(name: &'static str, kind: Kind) -> Parameter {
    Parameter { name, kind, required: false }
}

const PRODUCT: &[Parameter] = &[required("product", Kind::Text)];
const HARDWARE_ID: &[Parameter] = &[required("hardware_id", Kind::Text)];
const COMMON: &[Parameter] = &[optional("bundle_code", Kind::Text), optional("sdk_ver", Kind::Text)];

const IDENT: &[Parameter] =
    &[optional("license_key", Kind::Text), optional("username", Kind::Text), optional("license_id", Kind::Integer)];
const SET: &[Parameter] = &[
    optional("license_key", Kind::Text),
    optional("username", Kind::Text),
    optional("password", Kind::Text),
    optional("id_token", Kind::Text),
    optional("code", Kind::Text),
    optional("customer_account_code", Kind::Text),
    optional("redirect_uri", Kind::Text),
    optional("license_id", Kind::Integer),
];

const USER: &[Parameter] = &[
    optional("username", Kind::Text),
    optional("password", Kind::Text),
    optional("id_token", Kind::Text),
    optional("code", Kind::Text),
    optional("customer_account_code", Kind::Text),
    optional("redirect_uri", Kind::Text),
];
const PASSWORD: &[Parameter] = &[required("username", Kind::Text), required("password", Kind::Text)];

/// Adds the parameters by which a device describes itself.
macro_rules! with_device_info {
    ($($own:expr),* $(,)?) => {
        &[
            $($own,)*
            optional("os_ver", Kind::Text),
            optional("hostname", Kind::Text),
            optional("os_hostname", Kind::Text),
            optional("ip", Kind::Text),
            optional("ip_local", Kind::Text),
            optional("mac_address", Kind::Text),
            optional("app_ver", Kind::Text),
            optional("is_vm", Kind::Boolean),
            optional("vm_info", Kind::Text),
        ]
    };
}

/// The parameters of an activation, of a license or of a bundle.
const ACTIVATION: &[Parameter] = with_device_info!(optional("variables", Kind::Object));
/// The parameters of a check, of a license or of a bundle.
const CHECK: &[Parameter] = with_device_info!(
    optional("include_expired_features", Kind::Boolean),
    optional("env", Kind::Text),
    optional("channel", Kind::Text),
);

/// The parameters of an operation whose body is a file.
const FILE: &[Parameter] = &[required("file", Kind::File)];

/// The values that a row takes if it names none: a question about a license on a device.
const DEFAULTS: Operation = Operation {
    name: "",
    method: Method::Get,
    path: "",
    auth: Auth::Ident,
    product: true,
    device: true,
    own: &[],
    reply: Reply::Signed(&[]),
    idempotent: true,
    slots: SlotEffect::None,
};

/// Every operation of the API that this library performs.
pub const OPERATIONS: &[Operation] = &[
    Operation {
        name: "activate_license",
        method: Method::Post,
        path: "/activate_license",
        auth: Auth::Set,
        product: true,
        device: true,
        own: ACTIVATION,
        reply: Reply::License,
        idempotent: false,
        slots: SlotEffect::Activates,
    },
    Operation {
        name: "check_license",
        method: Method::Get,
        path: "/check_license",
        auth: Auth::Ident,
        product: true,
        device: true,
        own: CHECK,
        reply: Reply::License,
        idempotent: true,
        slots: SlotEffect::Takes,
    },
    Operation {
        name: "deactivate_license",
        method: Method::Post,
        path: "/deactivate_license",
        auth: Auth::Ident,
        product: true,
        device: true,
        own: &[optional("variables", Kind::Object)],
        reply: Reply::Text("license_deactivated"),
        idempotent: false,
        slots: SlotEffect::ReleasesAll,
    },
    Operation {
        name: "borrow_license",
        method: Method::Post,
        path: "/floating/borrow",
        auth: Auth::Set,
        product: true,
        device: true,
        own: &[required("borrowed_until", Kind::TimeOrNull)],
        reply: Reply::Signed(&["borrowed_until", "license_id", "device_id"]),
        idempotent: false,
        slots: SlotEffect::Borrows,
    },
    Operation {
        name: "release_license",
        method: Method::Post,
        path: "/floating/release",
        auth: Auth::Ident,
        product: true,
        device: true,
        own: &[],
        reply: Reply::Empty,
        idempotent: false,
        slots: SlotEffect::Releases,
    },
    Operation {
        name: "check_feature",
        method: Method::Get,
        path: "/check_license_feature",
        auth: Auth::Ident,
        product: true,
        device: true,
        own: &[required("feature", Kind::Text), optional("include_metadata_string", Kind::Boolean)],
        reply: Reply::Signed(&["license_id"]),
        idempotent: true,
        slots: SlotEffect::Takes,
    },
    Operation {
        name: "borrow_feature",
        method: Method::Post,
        path: "/floating/feature_borrow",
        auth: Auth::Set,
        product: true,
        device: true,
        own: &[required("feature", Kind::Text), required("borrowed_until", Kind::TimeOrNull)],
        reply: Reply::Signed(&["borrowed_until", "license_id", "device_id"]),
        idempotent: false,
        slots: SlotEffect::Borrows,
    },
    Operation {
        name: "release_feature",
        method: Method::Post,
        path: "/floating/feature_release",
        auth: Auth::Ident,
        product: true,
        device: true,
        own: &[required("feature", Kind::Text)],
        reply: Reply::Empty,
        idempotent: false,
        slots: SlotEffect::Releases,
    },
    Operation {
        name: "add_consumption",
        method: Method::Post,
        path: "/add_consumption",
        auth: Auth::Ident,
        product: true,
        device: true,
        own: &[
            optional("consumptions", Kind::Integer),
            optional("max_overages", Kind::Integer),
            optional("allow_overages", Kind::Boolean),
            optional("event", Kind::Texts),
            optional("ignore_events", Kind::Boolean),
        ],
        reply: Reply::Signed(&["total_consumptions"]),
        idempotent: false,
        slots: SlotEffect::None,
    },
    Operation {
        name: "add_feature_consumption",
        method: Method::Post,
        path: "/add_feature_consumption",
        auth: Auth::Ident,
        product: true,
        device: true,
        own: &[
            required("feature", Kind::Text),
            optional("consumptions", Kind::Integer),
            optional("event", Kind::Texts),
        ],
        reply: Reply::Signed(&["total_consumptions"]),
        idempotent: false,
        slots: SlotEffect::None,
    },
    Operation {
        name: "product_details",
        method: Method::Get,
        path: "/product_details",
        auth: Auth::None,
        product: true,
        device: false,
        own: &[
            optional("include_latest_version", Kind::Boolean),
            optional("include_custom_fields", Kind::Boolean),
            optional("env", Kind::Text),
            optional("channel", Kind::Text),
        ],
        reply: Reply::Signed(&["short_code"]),
        idempotent: true,
        slots: SlotEffect::None,
    },
    Operation {
        name: "products",
        path: "/products",
        auth: Auth::None,
        product: false,
        device: false,
        reply: Reply::List(&["short_code"]),
        ..DEFAULTS
    },
    Operation {
        name: "trial_key",
        path: "/trial_key",
        auth: Auth::None,
        own: &[
            optional("license_policy", Kind::Text),
            optional("email", Kind::Text),
            optional("first_name", Kind::Text),
            optional("last_name", Kind::Text),
            optional("phone", Kind::Text),
            optional("address", Kind::Text),
            optional("postcode", Kind::Text),
            optional("state", Kind::Text),
            optional("country", Kind::Text),
            optional("city", Kind::Text),
            optional("reference", Kind::Text),
            optional("company_name", Kind::Text),
        ],
        reply: Reply::Signed(&["license_type"]),
        ..DEFAULTS
    },
    Operation {
        name: "versions",
        path: "/versions",
        own: &[optional("env", Kind::Text), optional("channel", Kind::Text)],
        reply: Reply::List(&["version"]),
        ..DEFAULTS
    },
    Operation {
        name: "installation_file",
        path: "/installation_file",
        own: &[optional("env", Kind::Text), optional("channel", Kind::Text), optional("version", Kind::Text)],
        reply: Reply::Signed(&["version", "installation_file"]),
        ..DEFAULTS
    },
    Operation {
        name: "device_licenses",
        path: "/device_licenses",
        auth: Auth::None,
        product: false,
        reply: Reply::Licenses,
        ..DEFAULTS
    },
    Operation {
        name: "activate_bundle",
        method: Method::Post,
        path: "/activate_bundle",
        auth: Auth::Set,
        own: ACTIVATION,
        reply: Reply::Licenses,
        idempotent: false,
        slots: SlotEffect::OfBundle,
        ..DEFAULTS
    },
    Operation {
        name: "check_bundle",
        path: "/check_bundle",
        own: CHECK,
        reply: Reply::Licenses,
        slots: SlotEffect::OfBundle,
        ..DEFAULTS
    },
    Operation {
        name: "deactivate_bundle",
        method: Method::Post,
        path: "/deactivate_bundle",
        auth: Auth::Set,
        own: &[optional("variables", Kind::Object)],
        reply: Reply::Text("license_deactivated"),
        idempotent: false,
        slots: SlotEffect::ReleasesBundle,
        ..DEFAULTS
    },
    Operation {
        name: "get_device_variables",
        path: "/get_device_variables",
        reply: Reply::List(&["variable", "value"]),
        ..DEFAULTS
    },
    Operation {
        name: "track_device_variables",
        method: Method::Post,
        path: "/track_device_variables",
        own: &[required("variables", Kind::Object)],
        reply: Reply::List(&["variable", "value"]),
        idempotent: false,
        ..DEFAULTS
    },
    Operation {
        name: "change_password",
        method: Method::Post,
        path: "/change_password",
        auth: Auth::Password,
        product: false,
        device: false,
        own: &[required("new_password", Kind::Text)],
        reply: Reply::Text("password_changed"),
        idempotent: false,
        ..DEFAULTS
    },
    Operation {
        name: "user_licenses",
        path: "/user_licenses",
        auth: Auth::User,
        device: false,
        reply: Reply::List(&["license.id", "user.id"]),
        ..DEFAULTS
    },
    Operation {
        name: "customer_license_users",
        path: "/customer_license_users",
        auth: Auth::None,
        device: false,
        own: &[required("customer", Kind::Text)],
        reply: Reply::Signed(&["customer.email"]),
        ..DEFAULTS
    },
    Operation {
        name: "sso_url",
        path: "/sso_url",
        auth: Auth::None,
        device: false,
        own: &[
            required("customer_account_code", Kind::Text),
            optional("redirect_uri", Kind::Text),
            optional("response_type", Kind::Text),
        ],
        reply: Reply::Signed(&["url"]),
        ..DEFAULTS
    },
    Operation {
        name: "activate_offline",
        method: Method::Post,
        path: "/activate_offline",
        auth: Auth::None,
        product: false,
        device: false,
        own: FILE,
        reply: Reply::OfflineLicense,
        idempotent: false,
        // The file is of another device as a rule, and its date is its order number.
        ..DEFAULTS
    },
    Operation {
        name: "deactivate_offline",
        method: Method::Post,
        path: "/deactivate_offline",
        auth: Auth::None,
        product: false,
        device: false,
        own: FILE,
        reply: Reply::Text("license_deactivated"),
        idempotent: false,
        ..DEFAULTS
    },
];

/// The files of offline activation, by the name of the operation that writes or reads each. The client sends nothing for
/// them. The server checks what a request file holds against the same rows.
pub const OFFLINE_FILES: &[Operation] = &[
    Operation {
        name: "write_offline_activation",
        method: Method::Post,
        auth: Auth::Set,
        own: with_device_info!(
            optional("variables", Kind::Object),
            optional("pool_reservation", Kind::Integer),
            optional("schema_version", Kind::Integer),
        ),
        idempotent: false,
        ..DEFAULTS
    },
    Operation {
        name: "write_offline_deactivation",
        method: Method::Post,
        own: &[
            optional("variables", Kind::Object),
            optional("consumptions", Kind::Integer),
            optional("feature_consumptions", Kind::Object),
            optional("schema_version", Kind::Integer),
        ],
        idempotent: false,
        ..DEFAULTS
    },
    Operation {
        name: "read_offline_activation",
        method: Method::Post,
        own: &[required("file", Kind::File), optional("request_id", Kind::Text)],
        reply: Reply::OfflineLicense,
        ..DEFAULTS
    },
];

impl Operation {
    /// Returns the operation called `name`.
    pub fn named(name: &str) -> Option<&'static Operation> {
        OPERATIONS.iter().find(|operation| operation.name == name)
    }

    /// Returns the operation called `name` that writes or reads a file.
    pub fn of_file(name: &str) -> Option<&'static Operation> {
        OFFLINE_FILES.iter().find(|operation| operation.name == name)
    }

    /// Returns true if the body of its request is a file, so that nothing else can be sent along.
    pub fn takes_file(&self) -> bool {
        self.own.iter().any(|parameter| parameter.kind == Kind::File)
    }

    /// Returns true if it changes a slot or a device. Such a request could undo a later one if it arrives late, so it
    /// carries [`crate::model::ORDER`].
    pub fn is_ordered(&self) -> bool {
        self.slots != SlotEffect::None
    }

    /// Returns true if it releases one slot, or all slots of the device.
    pub fn releases(&self) -> bool {
        matches!(self.slots, SlotEffect::Releases | SlotEffect::ReleasesAll | SlotEffect::ReleasesBundle)
    }

    /// Returns true if it is about the licenses of a bundle, which the request names in place of a product.
    pub fn is_of_bundle(&self) -> bool {
        matches!(self.slots, SlotEffect::OfBundle | SlotEffect::ReleasesBundle)
    }

    /// Returns true if it books consumptions. A server may do that once for each `Idempotency-Key`.
    pub fn is_consumption(&self) -> bool {
        self.own.iter().any(|parameter| parameter.name == "consumptions")
    }

    /// Returns every parameter that it takes.
    pub fn parameters(&self) -> impl Iterator<Item = &'static Parameter> + use<> {
        let product = if self.product { PRODUCT } else { &[] };
        let device = if self.device { HARDWARE_ID } else { &[] };
        let auth = match self.auth {
            Auth::None => &[],
            Auth::Ident => IDENT,
            Auth::Set => SET,
            Auth::User => USER,
            Auth::Password => PASSWORD,
        };
        let common = if self.takes_file() { &[] } else { COMMON };
        [product, device, auth, self.own, common].into_iter().flatten()
    }

    /// Returns the parameter called `name`.
    pub fn parameter(&self, name: &str) -> Option<&'static Parameter> {
        self.parameters().find(|parameter| parameter.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_paths_and_parameters_are_unique() {
        let names: BTreeSet<_> = OPERATIONS.iter().map(|operation| operation.name).collect();
        let paths: BTreeSet<_> = OPERATIONS.iter().map(|operation| operation.path).collect();
        assert_eq!((names.len(), paths.len()), (OPERATIONS.len(), OPERATIONS.len()));
        for operation in OPERATIONS {
            let parameters: BTreeSet<_> = operation.parameters().map(|parameter| parameter.name).collect();
            assert_eq!(parameters.len(), operation.parameters().count(), "{}", operation.name);
        }
    }

    #[test]
    fn only_what_changes_a_slot_or_a_device_is_ordered() {
        let ordered: Vec<_> =
            OPERATIONS.iter().filter(|operation| operation.is_ordered()).map(|row| row.name).collect();
        let expected = [
            "activate_license",
            "check_license",
            "deactivate_license",
            "borrow_license",
            "release_license",
            "check_feature",
            "borrow_feature",
            "release_feature",
            "activate_bundle",
            "check_bundle",
            "deactivate_bundle",
        ];
        assert_eq!(ordered, expected);
    }

    #[test]
    fn only_what_asks_is_repeated_blindly() {
        for operation in OPERATIONS {
            assert_eq!(operation.idempotent, operation.method == Method::Get, "{}", operation.name);
        }
    }
}
