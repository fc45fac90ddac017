//! The server's RSA key, which is generated once and kept in the data directory. Clients get its public part as PEM.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeyPairComponents, KeySize, PublicKeyComponents};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::{Engine, engine::general_purpose::STANDARD};
use num_bigint::BigUint;

use crate::private;

const PRIVATE_LABEL: &str = "PRIVATE KEY";
const KEY_ADVICE: &str = "restore the key from a backup, or convert it by `openssl pkcs8 -topk8 -nocrypt`";

/// The key that replies are signed with.
pub struct SigningKey {
    pair: KeyPair,
}

impl SigningKey {
    /// Generates a key of 2048 bits.
    ///
    /// # Errors
    /// The system provides no random numbers.
    pub fn generate() -> io::Result<SigningKey> {
        KeyPair::generate(KeySize::Rsa2048).map(|pair| SigningKey { pair }).map_err(unspecified)
    }

    /// Reads the key in this PEM file (PKCS #8), or generates a key and creates the file if it is missing.
    ///
    /// Only its owner and administrators can read a new file.
    ///
    /// # Errors
    /// The file can't be read or written, or does not hold an RSA key.
    pub fn load_or_generate(file: &Path) -> io::Result<SigningKey> {
        match fs::read(file) {
            Ok(pem) => SigningKey::from_pem(&String::from_utf8_lossy(&pem)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = SigningKey::generate()?;
                let der: Pkcs8V1Der<'_> = key.pair.as_der().map_err(unspecified)?;
                write_private(file, &pem(PRIVATE_LABEL, der.as_ref()))?;
                Ok(key)
            }
            Err(error) => Err(error),
        }
    }

    fn from_pem(pem: &str) -> io::Result<SigningKey> {
        let der = pem_body(pem, PRIVATE_LABEL).ok_or_else(|| {
            let found = match pem_label(pem) {
                Some(PRIVATE_LABEL) => "a damaged one".to_owned(),
                Some(label) => format!("{label:?}"),
                None if pem.trim().is_empty() => "an empty file".to_owned(),
                None => "no PEM".to_owned(),
            };
            invalid(&format!("expected \"{PRIVATE_LABEL}\" in PEM (PKCS #8), found {found}; {KEY_ADVICE}"))
        })?;
        let pair = KeyPair::from_pkcs8(&der).map_err(|error| {
            invalid(&format!("expected an undamaged RSA key of 2048 to 8192 bits in PKCS #8 ({error}); {KEY_ADVICE}"))
        })?;
        Ok(SigningKey { pair })
    }

    /// Makes the key of these two primes.
    ///
    /// # Errors
    /// The numbers are not prime, or do not make a key of at least 2048 bits.
    pub(crate) fn from_primes(p: &BigUint, q: &BigUint) -> io::Result<SigningKey> {
        let (e, one) = (BigUint::from(65537_u32), BigUint::from(1_u32));
        let (p_less, q_less) = (p - &one, q - &one);
        let inverse = |number: &BigUint, modulus: &BigUint| {
            number.modinv(modulus).ok_or_else(|| invalid("the primes do not make a key"))
        };
        let d = inverse(&e, &(&p_less * &q_less))?;
        let components = KeyPairComponents {
            public_key: PublicKeyComponents { n: (p * q).to_bytes_be(), e: e.to_bytes_be() },
            dP: (&d % p_less).to_bytes_be(),
            dQ: (&d % q_less).to_bytes_be(),
            qInv: inverse(q, p)?.to_bytes_be(),
            d: d.to_bytes_be(),
            p: p.to_bytes_be(),
            q: q.to_bytes_be(),
        };
        let pair = KeyPair::from_components(&components).map_err(|error| invalid(&error.to_string()))?;
        Ok(SigningKey { pair })
    }

    /// Returns the public key that clients verify with: PEM, SubjectPublicKeyInfo.
    ///
    /// # Errors
    /// None at present, since every key has this form.
    pub fn public_pem(&self) -> io::Result<String> {
        let der: PublicKeyX509Der<'_> = self.pair.public_key().as_der().map_err(unspecified)?;
        Ok(pem("PUBLIC KEY", der.as_ref()))
    }

    /// Returns the RSA signature of a message (PKCS #1 v1.5 with SHA-256), in Base64.
    ///
    /// # Errors
    /// Memory is exhausted.
    pub fn sign(&self, message: &[u8]) -> io::Result<String> {
        let mut signature = vec![0; self.pair.public_modulus_len()];
        let random = SystemRandom::new();
        self.pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).map_err(unspecified)?;
        Ok(STANDARD.encode(signature))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}

/// Writes a private file, which appears whole or not at all. Other users can't read it in between.
fn write_private(file: &Path, text: &str) -> io::Result<()> {
    let draft = file.with_extension("new");
    let mut output = private::file(&draft)?;
    output.write_all(text.as_bytes())?;
    output.sync_all()?;
    fs::rename(draft, file)
}

fn pem(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let lines = body.as_bytes().chunks(64).map(String::from_utf8_lossy);
    let lines: String = lines.map(|line| format!("{line}\n")).collect();
    format!("-----BEGIN {label}-----\n{lines}-----END {label}-----\n")
}

fn pem_body(pem: &str, label: &str) -> Option<Vec<u8>> {
    let (_, rest) = pem.split_once(&format!("-----BEGIN {label}-----"))?;
    let (body, _) = rest.split_once("-----END")?;
    STANDARD.decode(body.split_whitespace().collect::<String>()).ok()
}

/// Returns the label of the first PEM block.
fn pem_label(pem: &str) -> Option<&str> {
    let (_, rest) = pem.split_once("-----BEGIN ")?;
    rest.split_once("-----").map(|(label, _)| label)
}

fn unspecified(_: aws_lc_rs::error::Unspecified) -> io::Error {
    io::Error::other("the cryptographic library failed")
}

fn invalid(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message.to_owned())
}
