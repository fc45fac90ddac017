//! The hardware id, which tells the server's devices apart, and how it was found.
//!
//! The raw id of the system never leaves the machine. It is hashed together with the product, so that two vendors
//! can't find out by the id that they share a customer.

use crate::error::Error;
use crate::status::Status;
use sha2::{Digest, Sha256};
use std::io;
use std::path::Path;

/// An id and its origin.
#[derive(Debug, Clone)]
pub struct HardwareId {
    /// The id that is sent to the server.
    pub id: String,
    /// The id's origin, for `diagnose`: "config", or the name of a source.
    pub source: &'static str,
    /// A warning for `diagnose`, if the id may be unstable.
    pub warning: Option<&'static str>,
}

/// The warning for a container.
const CONTAINER_WARNING: &str = "This is a container. Its id may change when the container is made anew, which takes \
    another slot. Or all containers of one image have the same id, which makes them one device. Set \"hardware_id\" to \
    an id that tells your machines apart, for example the host's name.";

impl HardwareId {
    /// Makes the id that the host chose in the config.
    pub fn configured(id: String) -> HardwareId {
        HardwareId { id, source: "config", warning: None }
    }

    /// Finds the id of this machine for `product`.
    pub fn of_this_machine(product: &str) -> Result<HardwareId, Error> {
        let (source, raw) = find(Path::new("/"))?;
        let warning = platform::is_container().then_some(CONTAINER_WARNING);
        Ok(HardwareId { id: hashed(product, &raw), source, warning })
    }
}

/// Returns the first source that has an id, and the id.
///
/// A source that can't be read at the moment ends the search. The next source would give another id, so the server
/// would take this machine for another device and count another slot. `root` is where the system's files are.
fn find(root: &Path) -> Result<(&'static str, String), Error> {
    for (source, read) in platform::SOURCES {
        match read(root) {
            Ok(Some(raw)) => return Ok((source, raw)),
            Ok(None) => {}
            Err(error) => {
                let detail = format!("{source} could not be read: {error}.");
                return Err(Error::of_system(Status::HardwareId, detail, &error));
            }
        }
    }
    Err(Error::new(Status::HardwareId))
}

/// Returns 128 bits of SHA-256 in hexadecimal: enough to be unique, and short enough to be read out on the telephone.
fn hashed(product: &str, raw: &str) -> String {
    let digest = Sha256::digest(format!("floatlease hardware id\n{product}\n{raw}"));
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// Returns a raw id in lower case, or `None` if it is a placeholder of firmware or of a system image.
fn usable(text: &str) -> Option<String> {
    let text = text.trim().to_ascii_lowercase();
    let significant: String = text.chars().filter(char::is_ascii_alphanumeric).collect();
    let first = significant.chars().next()?;
    // The id repeats one character, or two in turn.
    let second = significant.chars().nth(1).unwrap_or(first);
    let is_pattern = significant.chars().enumerate().all(|(at, c)| c == if at % 2 == 0 { first } else { second });
    let is_placeholder = is_pattern || significant.len() < 8 || PLACEHOLDERS.contains(&text.as_str());
    (!is_placeholder).then_some(text)
}

/// Placeholders that firmware and images contain instead of an id, the same on many machines.
const PLACEHOLDERS: [&str; 14] = [
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

/// A place where the system keeps an id: its name, and a function that returns `None` if there is no id. Its argument is
/// the folder in which the system's files are.
type Source = (&'static str, fn(&Path) -> io::Result<Option<String>>);

#[cfg(target_os = "linux")]
mod platform {
    use super::{Source, usable};
    use crate::descriptor;
    use crate::shortage;
    use std::os::unix::fs::MetadataExt;
    use std::path::{Path, PathBuf};
    use std::{fs, io};

    /// The firmware's id is nearly always root's alone. So it comes last, where there is no other id: before that, root
    /// and a user would have different ids on one machine.
    pub(super) const SOURCES: &[Source] = &[
        ("/etc/machine-id", |root| public_file(&root.join("etc/machine-id"))),
        ("/var/lib/dbus/machine-id", |root| public_file(&root.join("var/lib/dbus/machine-id"))),
        (FIRMWARE, |root| public_file(&root.join(PRODUCT_UUID))),
        ("/var/lib/cloud/data/instance-id", |root| public_file(&root.join("var/lib/cloud/data/instance-id"))),
        ("network card", network_card),
        (FIRMWARE, firmware),
    ];

    const FIRMWARE: &str = "/sys/class/dmi/id/product_uuid";
    pub(super) const PRODUCT_UUID: &str = "sys/class/dmi/id/product_uuid";

    fn firmware(root: &Path) -> io::Result<Option<String>> {
        file(&root.join(PRODUCT_UUID))
    }

    fn is_for_everybody(path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|metadata| metadata.mode() & 0o004 != 0)
    }

    /// Returns the id in a file that everybody may read, so that it does not depend on who asks.
    fn public_file(path: &Path) -> io::Result<Option<String>> {
        if is_for_everybody(path) { file(path) } else { Ok(None) }
    }

    fn file(path: &Path) -> io::Result<Option<String>> {
        match descriptor::read_to_string(path) {
            Ok(text) => Ok(usable(&text)),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns the lowest address among the built-in cards.
    ///
    /// Cards of bridges, tunnels and containers have no `device`. Cards on USB are left out, because they come and go.
    fn network_card(root: &Path) -> io::Result<Option<String>> {
        let cards = match descriptor::with_standard_taken(|| fs::read_dir(root.join("sys/class/net"))) {
            Err(error) if shortage::named(&error).is_some() => return Err(error),
            cards => cards.into_iter().flatten().flatten(),
        };
        let built_in = cards.filter(|card| {
            let bus = fs::read_link(card.path().join("device/subsystem"));
            bus.is_ok_and(|bus| !bus.ends_with("usb"))
        });
        let address = |path: PathBuf| match file(&path.join("address")) {
            // Without this card the machine would get another id.
            Err(error) if shortage::named(&error).is_some() => Some(Err(error)),
            address => address.ok().flatten().map(Ok),
        };
        let addresses: io::Result<Vec<String>> = built_in.filter_map(|card| address(card.path())).collect();
        Ok(addresses?.into_iter().min())
    }

    pub(super) fn is_container() -> bool {
        ["/.dockerenv", "/run/.containerenv", "/run/systemd/container"].iter().any(|path| Path::new(path).exists())
            || descriptor::read_to_string(Path::new("/proc/1/cgroup"))
                .is_ok_and(|text| text.contains("docker") || text.contains("kubepods"))
    }
}

#[cfg(target_os = "macos")]
mod platform {
    use super::{Source, usable};

    pub(super) const SOURCES: &[Source] = &[("gethostuuid", |_| host_uuid())];

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
        if result == 0 { Ok(usable(&text)) } else { Err(std::io::Error::last_os_error()) }
    }

    pub(super) fn is_container() -> bool {
        false
    }
}

#[cfg(windows)]
mod platform {
    use super::{Source, usable};

    pub(super) const SOURCES: &[Source] = &[("MachineGuid", |_| machine_guid())];

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
            0 => Ok(usable(&String::from_utf16_lossy(text))),
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
    fn placeholders_are_refused() {
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
            assert_eq!(usable(text), None, "{text:?}");
        }
        assert_eq!(usable("3F2A11B09C\n").as_deref(), Some("3f2a11b09c"));
    }

    #[test]
    fn a_machine_keeps_its_id_or_says_that_it_has_none() {
        match (HardwareId::of_this_machine("XY"), HardwareId::of_this_machine("XY")) {
            (Ok(first), Ok(second)) => assert_eq!(first.id, second.id),
            (Err(first), Err(_)) => assert_eq!(first.status, Status::HardwareId),
            (first, second) => panic!("{first:?}, then {second:?}"),
        }
    }

    /// Root may read the firmware's id and others may not; on some systems everybody may.
    #[cfg(target_os = "linux")]
    #[test]
    fn the_id_does_not_depend_on_who_asks() {
        use std::fs;
        use std::os::unix::fs::{PermissionsExt, symlink};
        let root = std::env::temp_dir().join(format!("floatlease-hardware-{}", std::process::id()));
        let write = |path: &str, text: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
        };
        let allow =
            |mode| fs::set_permissions(root.join(platform::PRODUCT_UUID), fs::Permissions::from_mode(mode)).unwrap();
        let found = || find(&root).map(|(_, raw)| raw).ok();
        write(platform::PRODUCT_UUID, "5a0d2c1e-8f3b-4d6a-9c7e-1b2f3a4d5e6f");
        allow(0o400);
        assert_eq!(found().as_deref(), Some("5a0d2c1e-8f3b-4d6a-9c7e-1b2f3a4d5e6f"), "there is no other");
        write("sys/class/net/eth0/address", "52:54:00:9a:1c:07");
        write("sys/class/net/eth0/device/vendor", "");
        symlink("/sys/bus/pci", root.join("sys/class/net/eth0/device/subsystem")).unwrap();
        assert_eq!(found().as_deref(), Some("52:54:00:9a:1c:07"), "a user can't read the firmware's");
        allow(0o444);
        assert_eq!(found().as_deref(), Some("5a0d2c1e-8f3b-4d6a-9c7e-1b2f3a4d5e6f"), "everybody can");
        allow(0o400);
        write("etc/machine-id", "4be1d0c3a2f94b0f8a6d7c5e3b1a9f20");
        assert_eq!(found().as_deref(), Some("4be1d0c3a2f94b0f8a6d7c5e3b1a9f20"));
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn the_id_depends_on_machine_and_product_and_shows_neither() {
        let id = hashed("XY", "3f2a11b09c");
        assert_eq!(id.len(), 32);
        assert_eq!(id, hashed("XY", "3f2a11b09c"));
        assert_ne!(id, hashed("XZ", "3f2a11b09c"));
        assert!(!id.contains("3f2a"));
    }
}
