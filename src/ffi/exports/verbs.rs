//! The operations of the License API, each waiting for its reply.

use crate::error::Outcome;
use crate::ffi::call::{floatlease_status, guard, optional_text, text};
use crate::ffi::exports::library::{client, floatlease_client};
use std::ffi::c_char;

/// Performs one operation. A null request means `{}`.
///
/// # Safety
/// `request_json` is null or a NUL-terminated string; `json_out` as for [`guard`].
unsafe fn verb(
    handle: *mut floatlease_client,
    operation: &str,
    request_json: *const c_char,
    json_out: *mut *mut c_char,
) -> floatlease_status {
    // SAFETY: the caller keeps the rules of this function's comment.
    unsafe {
        guard(json_out, Outcome::Unknown, || {
            client(handle)?.call(operation, optional_text("request_json", request_json)?.unwrap_or("{}"))
        })
    }
}

/// Activates the license on this device. Every other operation on the license needs that first, once. Takes no slot.
///
/// Request keys, all optional, besides the common keys:
///
///     key                            type     meaning
///     variables                      object   values that the server keeps for this device
///     os_ver, hostname, os_hostname, ip, ip_local, mac_address,
///     app_ver, vm_info               strings  what the device reports about itself
///     is_vm                          boolean  true: the device is a virtual machine
///
/// Reply: the license.
///
///     {"id":1,"license_type":"…","license_active":true,"is_floating_cloud":true,"floating_users":2,
///      "floating_timeout":120,"validity_period":"…","product_features":[…],"device_id":1,"hardware_id":"…",…}
///
/// Errors:
/// - FLOATLEASE_E_LICENSE_NOT_FOUND: the license_key or user is wrong, or belongs to another product.
/// - FLOATLEASE_E_LICENSE_ACTIVATED_MAX_TIMES: the license is active on as many devices as it allows.
/// - FLOATLEASE_E_LICENSE_EXPIRED, FLOATLEASE_E_LICENSE_NOT_ENABLED, FLOATLEASE_E_LICENSE_NOT_ACTIVE: ask the vendor.
///
/// Blocks until the deadline at most.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_activate_license(
    client: *mut floatlease_client,
    request_json: *const c_char,
    json_out: *mut *mut c_char,
) -> floatlease_status {
    // SAFETY: the caller keeps the rules of the header's manual.
    unsafe { verb(client, "activate_license", request_json, json_out) }
}

/// Returns the license. On a floating license this takes this device's slot, or renews it; a device never has two.
///
/// Request keys, all optional, besides the common keys:
///
///     key                            type     meaning
///     include_expired_features       boolean  true: list expired features too
///     env, channel                   strings  which version of the product to describe
///     os_ver, hostname, os_hostname, ip, ip_local, mac_address,
///     app_ver, vm_info               strings  what the device reports about itself
///     is_vm                          boolean  true: the device is a virtual machine
///
/// Reply: the license.
///
///     {"id":1,"license_type":"…","is_expired":false,"validity_period":"…","is_floating_cloud":true,"floating_users":2,
///      "floating_timeout":120,"floating_in_use_devices":1,"is_borrowed":false,"borrowed_until":null,
///      "max_borrow_time":24,"product_features":[{"code":"MESH",…}],…}
///
/// floating_timeout is in minutes: check again before it passes, or the server frees the slot.
///
/// Errors:
/// - FLOATLEASE_E_FLOATING_NOT_AVAILABLE: no slot is free.
/// - FLOATLEASE_E_DEVICE_NOT_FOUND: call floatlease_activate_license first.
/// - FLOATLEASE_E_LICENSE_EXPIRED, FLOATLEASE_E_LICENSE_NOT_ENABLED, FLOATLEASE_E_LICENSE_NOT_ACTIVE: ask the vendor.
///
/// Blocks until the deadline at most. floatlease_lease_acquire takes a slot and keeps it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_check_license(
    client: *mut floatlease_client,
    request_json: *const c_char,
    json_out: *mut *mut c_char,
) -> floatlease_status {
    // SAFETY: the caller keeps the rules of the header's manual.
    unsafe { verb(client, "check_license", request_json, json_out) }
}

/// Deactivates the license on this device. All slots of the device become free, borrowed ones too.
///
/// Request keys, all optional, besides the common keys:
///
///     key        type     meaning
///     variables  object   values that the server keeps for this device
///
/// Reply: {"message":"license_deactivated"}
///
/// Errors:
/// - FLOATLEASE_E_DEVICE_NOT_FOUND: the device was not active. There is nothing to do.
///
/// Blocks until the deadline at most.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_deactivate_license(
    client: *mut floatlease_client,
    request_json: *const c_char,
    json_out: *mut *mut c_char,
) -> floatlease_status {
    // SAFETY: the caller keeps the rules of the header's manual.
    unsafe { verb(client, "deactivate_license", request_json, json_out) }
}

/// Borrows the license: its slot belongs to this device until a date, with or without a network. Takes a slot if the
/// device has none. Borrowing again moves the date.
///
/// Request keys, all optional, besides the common keys:
///
///     key             type            meaning
///     borrowed_until  string or null  the end of the borrow; null (default): as long as the license allows
///
/// Reply:
///
///     {"borrowed_until":"2026-09-27T23:30:48.016Z","max_borrow_time":24,"license_id":1,"device_id":1,
///      "floating_in_use_devices":1,…}
///
/// max_borrow_time is in hours.
///
/// Errors:
/// - FLOATLEASE_E_FLOATING_NOT_AVAILABLE: no slot is free.
/// - FLOATLEASE_E_LICENSE_BORROW_NOT_ALLOWED: the license does not allow borrowing.
/// - FLOATLEASE_E_BORROW_UNTIL_NOT_VALID: the date is past, or too far away.
/// - FLOATLEASE_E_BAD_DATE: borrowed_until is not a date in a form of the conventions.
///
/// Blocks until the deadline at most. Use floatlease_lease_borrow if the next start of your program must need no
/// network.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_borrow_license(
    client: *mut floatlease_client,
    request_json: *const c_char,
    json_out: *mut *mut c_char,
) -> floatlease_status {
    // SAFETY: the caller keeps the rules of the header's manual.
    unsafe { verb(client, "borrow_license", request_json, json_out) }
}

/// Releases the license's slot, borrowed or not.
///
/// Request keys: the common keys only.
///
/// Reply: {}
///
/// Errors:
/// - FLOATLEASE_E_FLOATING_NOT_AVAILABLE: the device held no slot. There is nothing to do.
///
/// Blocks until the deadline at most.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_release_license(
    client: *mut floatlease_client,
    request_json: *const c_char,
    json_out: *mut *mut c_char,
) -> floatlease_status {
    // SAFETY: the caller keeps the rules of the header's manual.
    unsafe { verb(client, "release_license", request_json, json_out) }
}

/// Returns a feature. If the feature floats, this takes this device's slot of it, or renews the slot.
///
/// Request keys, besides the common keys:
///
///     key                      type     meaning
///     feature                  string   required: the feature's code
///     include_metadata_string  boolean  true: add the metadata as one string too
///
/// Reply: the feature; the members from floating_users on only if it floats.
///
///     {"license_id":1,"id":7,"code":"MESH","name":"…","feature_type":"activation","expiry_date":null,"is_expired":false,
///      "is_floating_cloud":true,"floating_users":2,"floating_timeout":120,"floating_in_use_devices":1,
///      "is_borrowed":false,"borrowed_until":null,…}
///
/// Errors:
/// - FLOATLEASE_E_FLOATING_NOT_AVAILABLE: no slot of the feature is free.
/// - FLOATLEASE_E_INVALID_LICENSE_FEATURE_CODE: the license does not have this feature.
/// - FLOATLEASE_E_DEVICE_NOT_FOUND: call floatlease_activate_license first.
///
/// Blocks until the deadline at most.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_check_feature(
    client: *mut floatlease_client,
    request_json: *const c_char,
    json_out: *mut *mut c_char,
) -> floatlease_status {
    // SAFETY: the caller keeps the rules of the header's manual.
    unsafe { verb(client, "check_feature", request_json, json_out) }
}

/// Borrows a feature whose slot this device holds. floatlease_check_feature takes the slot.
///
/// Request keys, besides the common keys:
///
///     key             type            meaning
///     feature         string          required: the feature's code
///     borrowed_until  string or null  the end of the borrow; null (default): as long as the feature allows
///
/// Reply:
///
///     {"borrowed_until":"2026-09-27T23:30:48.016Z","max_borrow_time":24,"license_id":1,"device_id":1,
///      "floating_in_use_devices":1,…}
///
/// Errors:
/// - FLOATLEASE_E_FLOATING_FEATURE_DEVICE_NOT_IN_USE: call floatlease_check_feature first.
/// - FLOATLEASE_E_FEATURE_BORROW_NOT_ALLOWED: the feature does not allow borrowing.
/// - FLOATLEASE_E_FEATURE_NOT_FLOATING: the feature does not float, so use it without borrowing.
/// - FLOATLEASE_E_BORROW_UNTIL_NOT_VALID: the date is past, or too far away.
///
/// Blocks until the deadline at most.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_borrow_feature(
    client: *mut floatlease_client,
    request_json: *const c_char,
    json_out: *mut *mut c_char,
) -> floatlease_status {
    // SAFETY: the caller keeps the rules of the header's manual.
    unsafe { verb(client, "borrow_feature", request_json, json_out) }
}

/// Releases a feature's slot, borrowed or not.
///
/// Request keys, besides the common keys:
///
///     key      type    meaning
///     feature  string  required: the feature's code
///
/// Reply: {}
///
/// Errors:
/// - FLOATLEASE_E_FLOATING_FEATURE_DEVICE_NOT_IN_USE: the device held no slot. There is nothing to do.
/// - FLOATLEASE_E_FEATURE_NOT_FLOATING: the feature has no slots. There is nothing to do.
///
/// Blocks until the deadline at most.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_release_feature(
    client: *mut floatlease_client,
    request_json: *const c_char,
    json_out: *mut *mut c_char,
) -> floatlease_status {
    // SAFETY: the caller keeps the rules of the header's manual.
    unsafe { verb(client, "release_feature", request_json, json_out) }
}

/// Books consumptions on a license of type consumption: all of them or none.
///
/// Request keys, all optional, besides the common keys:
///
///     key              type     meaning
///     consumptions     integer  how many; default 1; negative if the license allows it
///     allow_overages   boolean  sets whether the license's total may exceed max_consumptions
///     max_overages     integer  sets by how much
///     event            array    "consumption_add" (default) or "offline_floating_consumptions_sync", as the only element
///     ignore_events    boolean  passed on to the server
///     offline          string   "queue": keep the consumption on disk if the server can't be reached
///
/// Reply:
///
///     {"id":1,"total_consumptions":5,"max_consumptions":100,"allow_overages":false,"max_overages":0,…}
///
/// With "offline":"queue" and no connection the status is FLOATLEASE_OK, and the reply says why the consumption waits:
///
///     {"queued":true,"queued_consumptions":3,"idempotency_key":"…","status":21,"name":"CONNECT","reason":"…"}
///
/// Errors:
/// - FLOATLEASE_E_LICENSE_NOT_ENOUGH_CONSUMPTIONS: too few are left; nothing was booked.
/// - FLOATLEASE_E_LICENSE_NOT_CONSUMPTION: the license does not count consumptions.
/// - FLOATLEASE_E_CONNECTION_LOST and others with outcome "unknown": the server may have booked them. With
///   floatlease-server, repeat the call with the same idempotency_key. With the vendor's cloud, read
///   total_consumptions by floatlease_check_license before you repeat it.
/// - FLOATLEASE_E_MISSING_KEY: "offline" needs storage_dir in the config.
/// - FLOATLEASE_E_QUEUE_FULL: 10,000 consumptions or 8 MiB are queued.
/// - FLOATLEASE_E_BAD_VALUE: the idempotency_key belongs to another queued consumption.
///
/// Blocks until the deadline at most. docs/offline-consumption.md explains the queue: when it is sent, and how a lost
/// reply is resolved.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_add_consumption(
    client: *mut floatlease_client,
    request_json: *const c_char,
    json_out: *mut *mut c_char,
) -> floatlease_status {
    // SAFETY: the caller keeps the rules of the header's manual.
    unsafe { verb(client, "add_consumption", request_json, json_out) }
}

/// Books consumptions on a consumption feature: all of them or none.
///
/// Request keys, besides the common keys:
///
///     key           type     meaning
///     feature       string   required: the feature's code
///     consumptions  integer  how many; default 1; negative if the feature allows it
///     event         array    "consumption_add" (default) or "offline_floating_consumptions_sync", as the only element
///     offline       string   "queue": as for floatlease_add_consumption
///
/// Reply, or the one of a queued consumption as for floatlease_add_consumption:
///
///     {"id":7,"license_id":1,"total_consumptions":5,"max_consumptions":100,"allow_overages":false,"max_overages":0,…}
///
/// Errors, besides those of floatlease_add_consumption:
/// - FLOATLEASE_E_FEATURE_NOT_ENOUGH_CONSUMPTIONS: too few are left; nothing was booked.
/// - FLOATLEASE_E_UNSUPPORTED_PRODUCT_FEATURE: the product does not have this feature.
///
/// Blocks until the deadline at most.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_add_feature_consumption(
    client: *mut floatlease_client,
    request_json: *const c_char,
    json_out: *mut *mut c_char,
) -> floatlease_status {
    // SAFETY: the caller keeps the rules of the header's manual.
    unsafe { verb(client, "add_feature_consumption", request_json, json_out) }
}

/// Performs an operation by its name. docs/operations.md lists all names.
///
/// operation is the name of a function above without its prefix, such as "borrow_license", or one of these:
///
///     operation                 request keys                            reply
///     "product_details"         include_latest_version (boolean),       {"short_code":"…",…}
///                               include_custom_fields (boolean),
///                               env, channel (strings)
///     "products"                none                                    {"items":[{"short_code":"…",…},…]}
///     "trial_key"               license_policy, email, first_name,      {"license":"the license key","license_type":"…",
///                               last_name, phone, address, postcode,     "is_trial":true,…}
///                               state, country, city, reference,
///                               company_name (strings)
///     "versions"                env, channel (strings)                  {"items":[{"version":"…",…},…]}
///     "installation_file"       env, channel, version (strings)         {"version":"…","installation_file":"…",…}
///     "device_licenses"         hardware_id (string)                    {"items":[the license,…]}
///     "activate_bundle"         those of floatlease_activate_license;   {"items":[the license,…]}
///                               product: the bundle
///     "check_bundle"            those of floatlease_check_license;      {"items":[the license,…]}
///                               product: the bundle
///     "deactivate_bundle"       those of floatlease_deactivate_license, {"message":"license_deactivated"}
///                               and password; product: the bundle
///     "get_device_variables"    none                                    {"items":[{"variable":"…","value":"…",…},…]}
///     "track_device_variables"  variables (object), required            {"items":[{"variable":"…","value":"…",…},…]}
///     "change_password"         username, password, new_password        {"message":"password_changed"}
///     "user_licenses"           those that name a user, with password   {"items":[{"license":{…},"user":{…}},…]}
///     "customer_license_users"  customer (string), required             {"customer":{…},"users":[…],…}
///     "sso_url"                 customer_account_code (string),         {"url":"…","openid_configuration":{…},
///                               required; redirect_uri, response_type    "alternate_urls":[…]}
///     "activate_offline"        file (string), required                 the license, which is the reply file
///     "deactivate_offline"      file (string), required                 {"message":"license_deactivated"}
///     "write_offline_activation"    those of floatlease_activate_license;  {"file":"…","request_id":"…"}
///                                   schema_version (1 or 2),
///                                   pool_reservation (integer)
///     "write_offline_deactivation"  variables, feature_consumptions        {"file":"…","request_id":"…"}
///                                   (objects), consumptions,
///                                   schema_version (integers)
///     "read_offline_activation"     file, required; request_id (strings)   the license
///     "sync_consumptions"       those that name license and device;     the object below
///                               timeout_ms is for the whole of it
///
/// "change_password" takes username and password from the config if the request leaves them out. The config keeps the old
/// password, so open a new client with the new one. docs/users.md says more.
///
/// Those with "offline" in their names activate a device without a network by files (docs/offline-activation.md). Those
/// that write or read a file send nothing and never wait.
///
/// "sync_consumptions" books what is queued (docs/offline-consumption.md). Each consumption that was refused, or whose
/// outcome is unknown, is reported once:
///
///     {"event":"CONSUMPTIONS_SYNCED","booked":2,"refused":[{"operation":"add_feature_consumption","feature":"MESH",
///      "consumptions":7,"idempotency_key":"…","at":"2026-09-27T23:30:48.016Z","status":151,
///      "name":"FEATURE_NOT_ENOUGH_CONSUMPTIONS","server_code":"feature_not_enough_consumptions","reason":"…"}],
///      "unknown":[],"waiting":0,"status":0,"name":"OK","reason":null}
///
/// "waiting" counts what is still queued because of "reason". A missing network is a reason, not an error.
///
/// Errors, besides those of the operation:
/// - FLOATLEASE_E_UNKNOWN_OPERATION: there is no operation of this name; message names the nearest.
///
/// Blocks until the deadline at most. Leases have functions of their own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_call(
    client: *mut floatlease_client,
    operation: *const c_char,
    request_json: *const c_char,
    json_out: *mut *mut c_char,
) -> floatlease_status {
    // SAFETY: the caller keeps the rules of the header's manual.
    unsafe {
        guard(json_out, Outcome::Unknown, || {
            let client = self::client(client)?;
            let operation = text("operation", operation)?;
            #[cfg(feature = "test-panic")]
            assert_ne!(operation, "panic_for_test");
            client.call(operation, optional_text("request_json", request_json)?.unwrap_or("{}"))
        })
    }
}
