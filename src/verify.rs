//! Verifies the signature of a reply: RSA PKCS#1 v1.5 with SHA-256 under the server's public key.

use crate::pem;
use base64::{Engine, engine::general_purpose::STANDARD};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

/// The production key of the vendor's cloud. It is the default for that cloud only.
pub const VENDOR_CLOUD_KEY: &str = include_str!("vendor-production-key.pem");

/// A server's public key.
#[derive(Clone, Debug)]
pub struct PublicKey {
    /// A PKCS#1 `RSAPublicKey`, the form that ring reads.
    rsa: Vec<u8>,
}

impl PublicKey {
    /// Reads the first block of a PEM text: an RSA public key or a certificate of one, with 2048 to 8192 bits.
    ///
    /// # Errors
    /// What is wrong with it and what to write instead, as the end of a sentence about it.
    pub fn from_pem(text: &str) -> Result<PublicKey, &'static str> {
        const DAMAGED: &str = "is damaged: copy all of it again, from BEGIN to END";
        const NOT_RSA: &str = "is the key of another algorithm: the replies are signed with RSA";
        const LABELS: [&str; 4] = ["PUBLIC KEY", "RSA PUBLIC KEY", "CERTIFICATE", "X509 CERTIFICATE"];
        let Some(block) = pem::blocks(text).find(|block| LABELS.contains(&block.label)) else {
            let others: Vec<&str> = pem::blocks(text).map(|block| block.label).collect();
            return Err(match others.as_slice() {
                [] => no_block(text),
                labels if labels.iter().any(|label| label.ends_with("PRIVATE KEY")) => {
                    "holds a private key, which must stay on the server: write the public key"
                }
                _ => "must be a public key or a certificate, and is neither",
            });
        };
        let der = block.der.ok_or(DAMAGED)?;
        let whole = if block.label.ends_with("CERTIFICATE") { spki_of_certificate(&der) } else { Some(&der[..]) };
        let whole = whole.and_then(|key| expect(key, SEQUENCE)).filter(|key| key.rest.is_empty()).ok_or(DAMAGED)?;
        // Some programs write either form of a key under either label.
        let is_bare = expect(whole.content, INTEGER).is_some();
        let rsa = if is_bare { whole.whole } else { rsa_of_spki(whole.whole).ok_or(NOT_RSA)? };
        let bits = modulus_bits(rsa).ok_or(DAMAGED)?;
        if !(2048..=8192).contains(&bits) {
            return Err("is an RSA key of another length than 2048 to 8192 bits");
        }
        Ok(PublicKey { rsa: rsa.to_vec() })
    }

    /// Returns true if this key made `signature`, in Base64, over `message`.
    pub fn verifies(&self, message: &[u8], signature: &str) -> bool {
        let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.rsa);
        STANDARD.decode(signature.trim()).is_ok_and(|signature| key.verify(message, &signature).is_ok())
    }
}

/// Says what a text without a block of PEM probably is.
fn no_block(text: &str) -> &'static str {
    let text = text.trim();
    // A key in Base64 alone has neither dot nor backslash, and begins with M.
    let looks_like_one = text.contains(['\\', '.']) || text.starts_with(['/', '~']);
    let is_path = looks_like_one && text.lines().count() == 1 && text.len() < 300;
    if text.contains("-----BEGIN ") {
        "is cut off: copy all of it, with the line of END"
    } else if is_path {
        "is the path of a file: write what is in the file"
    } else {
        "must be an RSA public key or certificate in PEM, with its lines of BEGIN and END"
    }
}

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OBJECT_ID: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];

/// One DER element: its tag, its content, all its bytes, and the bytes after it.
struct Element<'a> {
    tag: u8,
    content: &'a [u8],
    whole: &'a [u8],
    rest: &'a [u8],
}

/// Reads the first DER element.
fn element(der: &[u8]) -> Option<Element<'_>> {
    let (&tag, after_tag) = der.split_first()?;
    let (&first, mut body) = after_tag.split_first()?;
    let mut length = usize::from(first);
    if first >= 0x80 {
        let digits = usize::from(first & 0x7f);
        if digits > 4 {
            return None;
        }
        let (prefix, after) = body.split_at_checked(digits)?;
        length = prefix.iter().fold(0, |sum, &digit| sum << 8 | usize::from(digit));
        body = after;
    }
    let (content, rest) = body.split_at_checked(length)?;
    Some(Element { tag, content, whole: der.get(..der.len() - rest.len())?, rest })
}

/// Reads the first DER element; `None` if it has another tag.
fn expect(der: &[u8], tag: u8) -> Option<Element<'_>> {
    element(der).filter(|found| found.tag == tag)
}

/// Returns the subjectPublicKeyInfo of a certificate: the seventh field of its tbsCertificate, or the sixth if the
/// version is absent.
fn spki_of_certificate(certificate: &[u8]) -> Option<&[u8]> {
    let tbs = expect(expect(certificate, SEQUENCE)?.content, SEQUENCE)?;
    let mut field = element(tbs.content)?;
    let fields_before = if field.tag == VERSION { 6 } else { 5 };
    for _ in 0..fields_before {
        field = element(field.rest)?;
    }
    (field.tag == SEQUENCE).then_some(field.whole)
}

/// Returns the `RSAPublicKey` in the bit string of a SubjectPublicKeyInfo.
fn rsa_of_spki(spki: &[u8]) -> Option<&[u8]> {
    let algorithm = expect(expect(spki, SEQUENCE)?.content, SEQUENCE)?;
    if expect(algorithm.content, OBJECT_ID)?.content != RSA_ENCRYPTION {
        return None;
    }
    // The first byte of a bit string is the number of its unused bits, here 0.
    expect(algorithm.rest, BIT_STRING)?.content.strip_prefix(&[0])
}

/// Returns the length of the key's modulus in bits.
fn modulus_bits(rsa: &[u8]) -> Option<usize> {
    let modulus = expect(expect(rsa, SEQUENCE)?.content, INTEGER)?.content;
    let significant = modulus.iter().position(|&byte| byte != 0).map(|zeros| &modulus[zeros..])?;
    Some(significant.len() * 8 - significant.first()?.leading_zeros() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CERTIFICATE: &str = include_str!("../tests/data/signing-certificate.pem");
    const PUBLIC_KEY: &str = include_str!("../tests/data/signing-public-key.pem");
    const MESSAGE: &[u8] = br#"{"license_id":1}"#;
    /// `openssl dgst -sha256 -sign` over [`MESSAGE`] with the key of the two files.
    const SIGNATURE: &str = include_str!("../tests/data/signature.base64");

    #[test]
    fn a_key_and_a_certificate_prove_the_same_reply() {
        for pem in [PUBLIC_KEY, CERTIFICATE] {
            let key = PublicKey::from_pem(pem).unwrap();
            assert!(key.verifies(MESSAGE, SIGNATURE));
            assert!(!key.verifies(br#"{"license_id":2}"#, SIGNATURE));
            assert!(!key.verifies(MESSAGE, "not base64!"));
            assert!(!key.verifies(MESSAGE, ""));
        }
    }

    #[test]
    fn the_vendors_key_is_readable_and_no_other_key_verifies() {
        let vendor = PublicKey::from_pem(VENDOR_CLOUD_KEY).unwrap();
        assert!(!vendor.verifies(MESSAGE, SIGNATURE));
    }

    #[test]
    fn what_is_no_rsa_key_is_refused() {
        let truncated: String =
            PUBLIC_KEY.lines().enumerate().filter(|(i, _)| *i != 3).map(|(_, l)| l.to_owned() + "\n").collect();
        for pem in ["", "hello", &truncated, include_str!("../tests/data/ec-public-key.pem")] {
            assert!(PublicKey::from_pem(pem).is_err());
        }
    }

    #[test]
    fn each_form_of_an_rsa_key_is_read() {
        let spki = pem::blocks(PUBLIC_KEY).next().unwrap().der.unwrap();
        let pkcs1 = STANDARD.encode(rsa_of_spki(&spki).unwrap());
        let pkcs1 = format!("-----BEGIN RSA PUBLIC KEY-----\n{pkcs1}\n-----END RSA PUBLIC KEY-----");
        let mislabelled = pkcs1.replace("RSA PUBLIC", "PUBLIC");
        let after_others = format!("-----BEGIN DH PARAMETERS-----\nAAAA\n-----END DH PARAMETERS-----\n{PUBLIC_KEY}");
        for pem in
            [&pkcs1, &mislabelled, &after_others, &PUBLIC_KEY.replace('\n', "\\n"), &CERTIFICATE.replace('\n', " ")]
        {
            assert!(PublicKey::from_pem(pem).unwrap().verifies(MESSAGE, SIGNATURE), "{pem}");
        }
    }

    #[test]
    fn what_is_written_in_its_place_is_named() {
        let short = "MDwwDQYJKoZIhvcNAQEBBQADKwAwKAIhAMDmPBFWOJCjvwrPKI0tWwUZP1cIsmm9DQ1m3dVLnRhtAgMBAAE=";
        let block = |label: &str, body: &str| format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----");
        for (pem, words) in [
            ("/etc/floatlease/public.pem", "path of a file"),
            (r"C:\keys\public.pem", "path of a file"),
            ("public.pem", "path of a file"),
            ("hello", "BEGIN and END"),
            (PUBLIC_KEY.split("-----END").next().unwrap(), "cut off"),
            (&block("RSA PRIVATE KEY", "AAAA"), "private key"),
            (&block("PRIVATE KEY", "AAAA"), "private key"),
            (&block("ENCRYPTED PRIVATE KEY", "AAAA"), "private key"),
            (&block("PUBLIC KEY", "A!"), "damaged"),
            (&block("PUBLIC KEY", "AAAA"), "damaged"),
            (&block("CERTIFICATE", "AAAA"), "damaged"),
            (&block("CERTIFICATE REQUEST", "AAAA"), "neither"),
            (include_str!("../tests/data/ec-public-key.pem"), "another algorithm"),
            (&block("PUBLIC KEY", short), "another length"),
        ] {
            let said = PublicKey::from_pem(pem).unwrap_err();
            assert!(said.contains(words), "{pem}: {said}");
        }
    }
}
