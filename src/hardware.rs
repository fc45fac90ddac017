//! The hardware id: what makes a machine one device, and how it was found.
//!
//! The raw id of the system never leaves the machine: it is hashed together with the product, so that two vendors
//! can't tell by it that they share a customer.

use crate::error::Error;
use crate::status::Status;
use sha2::{Digest, Sha256};
use std::io;

/// An id and its origin.
#[derive(Debug, Clone)]
pub struct HardwareId {
    /// What goes to the server.
    pub id: String,
    /// Where it comes from, for `diagnose`: "config", or the name of a source.
    pub source: &'static str,
    /// What a person should know about it.
    pub warning: Option<&'static str>,
}

const EPHEMERAL: &str = "This is a container: its id may change when it is made anew, which takes another slot, or be \
    the same in every container of its image, which makes them one device. Set \"hardware_id\" to what tells your \
    machines apart, for example the host's name.";

impl HardwareId {
    /// An id the host chose.
    pub fn configured(id: String) -> HardwareId {
        HardwareId { id, source: "config", warning: None }
    }

    /// The id of this machine for `product`.
    pub fn of_this_machine(product: &str) -> Result<HardwareId, Error> {
        let (source, raw) = find()?;
        let warning = platform::is_container().then_some(EPHEMERAL);
        Ok(HardwareId { id: salted(product, &raw), source, warning })
    }
}

/// The first source that has an id. One that can't be read just now ends the search: the next one's id would be that
/// of another device, and take another slot.
fn find() -> Result<(&'static str, String), Error> {
    for (source, read) in platform::SOURCES {
        match read() {
            Ok(Some(raw)) => return Ok((source, raw)),
            Ok(None) => {}
            Err(error) => return Err(Error::because(Status::HardwareId, format!("{source} can't be read: {error}."))),
        }
    }
    Err(Error::new(Status::HardwareId))
}

/// 128 bits of SHA-256 in hexadecimal: enough to be unique, short enough to be read out on the telephone.
fn salted(product: &str, raw: &str) -> String {
    let digest = Sha256::digest(format!("floatlease hardware id\n{product}\n{raw}"));
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// A raw id is worth something only if it is not one of the fillers that images and firmware ship with.
fn meaningful(text: &str) -> Option<String> {
    let text = text.trim().to_ascii_lowercase();
    let significant: String = text.chars().filter(char::is_ascii_alphanumeric).collect();
    let first = significant.chars().next()?;
    // One character, or two in turn, over and over.
    let second = significant.chars().nth(1).unwrap_or(first);
    let is_pattern = significant.chars().enumerate().all(|(at, c)| c == if at % 2 == 0 { first } else { second });
    let filler = is_pattern || significant.len() < 8 || FILLERS.contains(&text.as_str());
    (!filler).then_some(text)
}

/// What firmware and images ship with instead of an id, as it stands on many machines.
const FILLERS: [&str; 14] = [
    "uninitialized",
    "03000200-0400-0500-0006-000700080009",
    "00020003-0004-0005-0006-000700080009",
    "12345678-1234-5678-90ab-cddeefaabbcc",
    "12345678-1234-1234-1234-123456789abc",
    "01234567-8910-1112-1314-151617181920",
    "11111111-2222-3333-4444-555555555555",
    "4c4c4544-0000-2010-8020-80c04f202020",
    "not settable",
    "not specified",
    "default string",
    "system serial number",
    "to be filled by o.e.m.",
    "iid-datasource-none",
];

/// Where a system keeps an id, best first; a source answers `None` where it has none.
type Source = (&'static str, fn() -> io::Result<Option<String>>);

#[cfg(target_os = "linux")]
mod platform {
    use super::{Source, meaningful};
    use std::path::Path;
    use std::{fs, io};

    pub(super) const SOURCES: &[Source] = &[
        ("/etc/machine-id", || file("/etc/machine-id")),
        ("/var/lib/dbus/machine-id", || file("/var/lib/dbus/machine-id")),
        ("/sys/class/dmi/id/product_uuid", || file("/sys/class/dmi/id/product_uuid")),
        ("/var/lib/cloud/data/instance-id", || file("/var/lib/cloud/data/instance-id")),
        ("network card", network_card),
    ];

    fn file(path: &str) -> io::Result<Option<String>> {
        match fs::read_to_string(path) {
            Ok(text) => Ok(meaningful(&text)),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The lowest address among the built-in cards: bridges, tunnels and containers' cards have no `device`, and what
    /// hangs on USB comes and goes.
    fn network_card() -> io::Result<Option<String>> {
        let cards = fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
        let built_in = cards.filter(|card| {
            let bus = fs::read_link(card.path().join("device/subsystem"));
            bus.is_ok_and(|bus| !bus.ends_with("usb"))
        });
        let addresses = built_in.filter_map(|card| file(card.path().join("address").to_str()?).ok()?);
        Ok(addresses.min())
    }

    pub(super) fn is_container() -> bool {
        ["/.dockerenv", "/run/.containerenv", "/run/systemd/container"].iter().any(|path| Path::new(path).exists())
            || fs::read_to_string("/proc/1/cgroup")
                .is_ok_and(|text| text.contains("docker") || text.contains("kubepods"))
    }
}

#[cfg(target_os = "macos")]
mod platform {
    use super::{Source, meaningful};

    pub(super) const SOURCES: &[Source] = &[("gethostuuid", host_uuid)];

    #[allow(unsafe_code)]
    fn host_uuid() -> std::io::Result<Option<String>> {
        unsafe extern "C" {
            fn gethostuuid(id: *mut u8, wait: *const libc::timespec) -> libc::c_int;
        }
        let mut id = [0_u8; 16];
        let wait = libc::timespec { tv_sec: 1, tv_nsec: 0 };
        // SAFETY: `id` has the 16 bytes the call writes, `wait` outlives it.
        let result = unsafe { gethostuuid(id.as_mut_ptr(), &raw const wait) };
        let text: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        if result == 0 { Ok(meaningful(&text)) } else { Err(std::io::Error::last_os_error()) }
    }

    pub(super) fn is_container() -> bool {
        false
    }
}

#[cfg(windows)]
mod platform {
    use super::{Source, meaningful};

    pub(super) const SOURCES: &[Source] = &[("MachineGuid", machine_guid)];

    #[allow(unsafe_code)]
    fn machine_guid() -> std::io::Result<Option<String>> {
        #[link(name = "advapi32")]
        unsafe extern "system" {
            fn RegGetValueW(
                key: isize,
                subkey: *const u16,
                value: *const u16,
                flags: u32,
                kind: *mut u32,
                data: *mut u16,
                bytes: *mut u32,
            ) -> i32;
        }
        const HKEY_LOCAL_MACHINE: isize = 0x8000_0002_u32 as i32 as isize;
        const STRING_OF_64_BIT_VIEW: u32 = 0x0000_0002 | 0x0001_0000;
        const FILE_NOT_FOUND: i32 = 2;

        let wide = |text: &str| text.encode_utf16().chain([0]).collect::<Vec<u16>>();
        let (subkey, value) = (wide(r"SOFTWARE\Microsoft\Cryptography"), wide("MachineGuid"));
        let mut data = [0_u16; 64];
        let mut bytes = 128_u32;
        // SAFETY: the names end in NUL, `data` has the `bytes` it says; all outlive the call.
        let result = unsafe {
            RegGetValueW(
                HKEY_LOCAL_MACHINE,
                subkey.as_ptr(),
                value.as_ptr(),
                STRING_OF_64_BIT_VIEW,
                std::ptr::null_mut(),
                data.as_mut_ptr(),
                &raw mut bytes,
            )
        };
        let text = data.split(|&unit| unit == 0).next().unwrap_or_default();
        match result {
            0 => Ok(meaningful(&String::from_utf16_lossy(text))),
            FILE_NOT_FOUND => Ok(None),
            _ => Err(std::io::Error::from_raw_os_error(result)),
        }
    }

    pub(super) fn is_container() -> bool {
        false
    }
}

#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
mod platform {
    pub(super) const SOURCES: &[super::Source] = &[];

    pub(super) fn is_container() -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fillers_are_no_ids() {
        for text in [
            "",
            "\n",
            "uninitialized\n",
            "00000000-0000-0000-0000-000000000000",
            "ffffffff",
            "1234",
            "58585858-5858-5858-5858-585858585858",
            "FEFEFEFE-FEFE-FEFE-FEFE-FEFEFEFEFEFE",
            "03000200-0400-0500-0006-000700080009",
            "03000200-0400-0500-0006-000700080009\n",
            "To Be Filled By O.E.M.",
        ] {
            assert_eq!(meaningful(text), None, "{text:?}");
        }
        assert_eq!(meaningful("3F2A11B09C\n").as_deref(), Some("3f2a11b09c"));
    }

    #[test]
    fn a_machine_keeps_its_id_or_says_that_it_has_none() {
        match (HardwareId::of_this_machine("XY"), HardwareId::of_this_machine("XY")) {
            (Ok(first), Ok(second)) => assert_eq!(first.id, second.id),
            (Err(first), Err(_)) => assert_eq!(first.status, Status::HardwareId),
            (first, second) => panic!("{first:?}, then {second:?}"),
        }
    }

    #[test]
    fn the_id_depends_on_machine_and_product_and_shows_neither() {
        let id = salted("XY", "3f2a11b09c");
        assert_eq!(id.len(), 32);
        assert_eq!(id, salted("XY", "3f2a11b09c"));
        assert_ne!(id, salted("XZ", "3f2a11b09c"));
        assert!(!id.contains("3f2a"));
    }
}
