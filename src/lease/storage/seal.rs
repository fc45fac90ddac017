//! Encryption of stored files, with a key of one product on one device, and the check of their headers.
//!
//! A seal finds damage, and tells a file of another product or device from a damaged one.

use crate::error::Error;
use crate::random;
use crate::status::Status;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use std::path::Path;

/// The first bytes of a file: seven that name its kind, and one that names the version of its format.
pub(crate) type Magic = [u8; 8];

/// The magics of the format's first version: of a sealed file and of an append log.
const FIRST_MAGICS: [&Magic; 2] = [b"fllease1", b"flledgr1"];

/// Length of the key's id in a header. The id tells a file that another key has sealed from a damaged one.
pub(crate) const KEY_ID_LEN: usize = 8;

/// Length of the tag at the end of sealed bytes, which authenticates all of them.
const TAG_LEN: usize = 16;

/// Sealed bytes are longer than their content by this much.
pub(crate) const SEAL_LEN: usize = NONCE_LEN + TAG_LEN;

/// The key that seals and opens the files of one product on one device.
pub(crate) struct Seal {
    key: LessSafeKey,
    key_id: [u8; KEY_ID_LEN],
}

impl Seal {
    /// Derives the key. The salt separates it from other keys derived from the same inputs. It is no version
    /// number, and stays the same in every version of the format.
    pub(crate) fn new(product: &str, hardware_id: &str) -> Result<Seal, Error> {
        let secret = Salt::new(HKDF_SHA256, b"fllease1").extract(format!("{product}\0{hardware_id}").as_bytes());
        let failed = |_| Error::because(Status::Internal, "The key of a stored file can't be derived.");
        let key: UnboundKey = secret.expand(&[b"key"], &AES_256_GCM).map_err(failed)?.into();
        let long_id = secret.expand(&[b"mark"], HKDF_SHA256).map_err(failed)?;
        let mut bytes = [0; 32];
        long_id.fill(&mut bytes).map_err(failed)?;
        let mut key_id = [0; KEY_ID_LEN];
        key_id.copy_from_slice(&bytes[..KEY_ID_LEN]);
        Ok(Seal { key: LessSafeKey::new(key), key_id })
    }

    /// Returns the header of a file of this kind: its magic and the key's id.
    pub(crate) fn header(&self, magic: &Magic) -> Vec<u8> {
        [&magic[..], &self.key_id].concat()
    }

    /// Checks that the file at `path`, which begins with `header`, is of this kind and was sealed by this key.
    ///
    /// # Errors
    /// [`Status::StorageForeign`] if another key has sealed it; [`Status::StorageDamaged`] if the header is another
    /// one, with a detail that says so if another version of this library has written it.
    pub(crate) fn check(&self, magic: &Magic, header: &[u8], path: &Path) -> Result<(), Error> {
        match header.strip_prefix(magic) {
            Some(key_id) if key_id == self.key_id => Ok(()),
            Some(_) => Err(Error::because(Status::StorageForeign, format!("The file is {}.", path.display()))),
            None if is_of_other_version(magic, header) => Err(other_version(path)),
            None => Err(damaged(path)),
        }
    }

    /// Seals `content`. The result opens only with the same `associated_data`, which it does not contain.
    pub(crate) fn seal(&self, associated_data: &[u8], content: &[u8]) -> Result<Vec<u8>, Error> {
        let failed = |_| Error::because(Status::Internal, "The content of a stored file can't be sealed.");
        let mut nonce = [0; NONCE_LEN];
        random::fill(&mut nonce)?;
        let mut sealed = content.to_vec();
        let associated_data = Aad::from([associated_data, &nonce].concat());
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), associated_data, &mut sealed)
            .map_err(failed)?;
        Ok([&nonce[..], &sealed].concat())
    }

    /// Returns the content that was sealed; `None` if any bit of it, or of `associated_data`, was changed.
    pub(crate) fn open(&self, associated_data: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN)?;
        let associated_data = Aad::from([associated_data, nonce].concat());
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut sealed = sealed.to_vec();
        let length = self.key.open_in_place(nonce, associated_data, &mut sealed).ok()?.len();
        sealed.truncate(length);
        Some(sealed)
    }
}

/// Returns whether another version of this library has written a file with this header, where a file with `magic` is
/// expected.
fn is_of_other_version(magic: &Magic, header: &[u8]) -> bool {
    let [kind @ .., _version] = magic;
    header.starts_with(kind) || FIRST_MAGICS.iter().any(|first| header.starts_with(&first[..]))
}

fn other_version(path: &Path) -> Error {
    let detail = format!(
        "{} was written by another version of floatlease. Move the file away, or run that version.",
        path.display()
    );
    Error::because(Status::StorageDamaged, detail)
}

/// The error for a file whose content is not what was written.
pub(crate) fn damaged(path: &Path) -> Error {
    Error::because(Status::StorageDamaged, format!("The file is {}.", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "/folder/a.lease";

    fn check_error(magic: &Magic, found: &[u8; 8]) -> Error {
        let seal = Seal::new("XY", "hw-1").unwrap();
        seal.check(magic, &seal.header(found), Path::new(PATH)).unwrap_err()
    }

    #[test]
    fn header_of_own_magic_and_key_is_accepted() {
        let seal = Seal::new("XY", "hw-1").unwrap();
        assert!(seal.check(b"flqueue2", &seal.header(b"flqueue2"), Path::new(PATH)).is_ok());
    }

    #[test]
    fn header_of_other_version_is_reported_as_such() {
        for magic in [b"fllease2", b"flqueue2"] {
            let mut later = *magic;
            later[7] = b'3';
            for found in [*b"fllease1", *b"flledgr1", later] {
                let error = check_error(magic, &found);
                assert_eq!(error.status, Status::StorageDamaged);
                let detail = error.detail.as_deref().unwrap_or_default();
                let expected = "/folder/a.lease was written by another version of floatlease. Move the file away";
                assert!(detail.starts_with(expected), "{detail}");
            }
        }
    }

    #[test]
    fn header_of_no_version_is_reported_as_damaged() {
        for (magic, found) in [(b"fllease2", b"flqueue2"), (b"flqueue2", b"fllease2"), (b"fllease2", b"flleasf2")] {
            let error = check_error(magic, found);
            assert_eq!(error.status, Status::StorageDamaged);
            assert_eq!(error.detail.as_deref(), Some("The file is /folder/a.lease."));
        }
    }
}
