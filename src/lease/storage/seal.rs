//! The seal on what is kept on disk: it tells damage, and what belongs to another product or device.

use crate::error::Error;
use crate::status::Status;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::rand::{SecureRandom, SystemRandom};
use std::path::Path;

/// The first bytes of a file: what it is, and the version of its form.
pub(crate) type Magic = [u8; 8];

/// Names the key, so that a foreign file is told from a damaged one.
pub(crate) const MARK_LEN: usize = 8;

/// What closes and opens the files of one product on one device.
pub(crate) struct Seal {
    key: LessSafeKey,
    mark: [u8; MARK_LEN],
}

impl Seal {
    pub(crate) fn new(product: &str, hardware_id: &str) -> Result<Seal, Error> {
        let secret = Salt::new(HKDF_SHA256, b"fllease1").extract(format!("{product}\0{hardware_id}").as_bytes());
        let failed = |_| Error::because(Status::Internal, "The key of a stored file can't be derived.");
        let key: UnboundKey = secret.expand(&[b"key"], &AES_256_GCM).map_err(failed)?.into();
        let long_mark = secret.expand(&[b"mark"], HKDF_SHA256).map_err(failed)?;
        let mut bytes = [0; 32];
        long_mark.fill(&mut bytes).map_err(failed)?;
        let mut mark = [0; MARK_LEN];
        mark.copy_from_slice(&bytes[..MARK_LEN]);
        Ok(Seal { key: LessSafeKey::new(key), mark })
    }

    /// How a file of this kind begins.
    pub(crate) fn header(&self, magic: &Magic) -> Vec<u8> {
        [&magic[..], &self.mark].concat()
    }

    /// Whether the file at `path`, which begins with `header`, is of this kind and ours.
    pub(crate) fn check(&self, magic: &Magic, header: &[u8], path: &Path) -> Result<(), Error> {
        match header.strip_prefix(magic) {
            Some(mark) if mark == self.mark => Ok(()),
            Some(_) => Err(Error::because(Status::StorageForeign, format!("It is {}.", path.display()))),
            None => Err(damaged(path)),
        }
    }

    /// Seals `content`, and `associated_data` with it, which is kept beside it for all to see.
    pub(crate) fn close(&self, associated_data: &[u8], content: &[u8]) -> Result<Vec<u8>, Error> {
        let failed = |_| Error::because(Status::Internal, "A file can't be sealed.");
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(failed)?;
        let mut sealed = content.to_vec();
        let associated_data = Aad::from([associated_data, &nonce].concat());
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), associated_data, &mut sealed)
            .map_err(failed)?;
        Ok([&nonce[..], &sealed].concat())
    }

    /// What was sealed, if nothing of it was changed.
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

/// How much longer something sealed is than what is inside.
pub(crate) const SEAL_LEN: usize = NONCE_LEN + SEAL_END_LEN;

/// The last bytes of something sealed: they depend on all of it.
const SEAL_END_LEN: usize = 16;

/// What is in this file is not what was written.
pub(crate) fn damaged(path: &Path) -> Error {
    Error::because(Status::StorageDamaged, format!("It is {}.", path.display()))
}
