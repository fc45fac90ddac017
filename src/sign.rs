//! Authorisation of a request: HMAC-SHA-256 over its `Date`.

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac, digest::InvalidLength};
use sha2::Sha256;

/// The text under the MAC: it covers the date and nothing else.
pub fn signing_text(date: &str) -> String {
    format!("licenseSpring\ndate: {date}")
}

/// The MAC of a request sent at `date`, Base64 with padding; the key is the shared key's UTF-8 bytes as they are.
pub fn signature(shared_key: &str, date: &str) -> String {
    mac(shared_key, date).map(|mac| STANDARD.encode(mac.finalize().into_bytes())).unwrap_or_default()
}

/// Whether `signature` is the MAC of `date`; takes the same time wherever they differ.
pub fn is_signature(shared_key: &str, date: &str, signature: &str) -> bool {
    match (mac(shared_key, date), STANDARD.decode(signature)) {
        (Ok(mac), Ok(bytes)) => mac.verify_slice(&bytes).is_ok(),
        _ => false,
    }
}

/// The `Authorization` header, as documented: no scheme word, four parameters.
pub fn authorization(api_key: &str, shared_key: &str, date: &str) -> String {
    let signature = signature(shared_key, date);
    format!(r#"algorithm="hmac-sha256", headers="date", signature="{signature}", apikey="{api_key}""#)
}

/// Never an error in fact: HMAC takes keys of any length.
fn mac(shared_key: &str, date: &str) -> Result<Hmac<Sha256>, InvalidLength> {
    let mut mac = Hmac::<Sha256>::new_from_slice(shared_key.as_bytes())?;
    mac.update(signing_text(date).as_bytes());
    Ok(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_match_the_test_vectors() {
        for (key, date, expected) in [
            (
                "kw4qSnpSwXzgiv5yxYpZZmFEd9QAeiKTQ6OuyMja",
                "Tue, 07 Jun 2011 20:51:35 GMT",
                "UDysfR6MndUZReo07Y9r+vErn8vSxrnQ5ulit18iJ/Q=",
            ),
            ("test-shared-key", "Thu, 01 Jan 2026 00:00:00 GMT", "ZSAixNCci8/1ETWsbsFvOFEQArikBdcit3IEoc/cens="),
        ] {
            assert_eq!(signature(key, date), expected);
            assert!(is_signature(key, date, expected));
            assert!(!is_signature(key, "Thu, 01 Jan 2026 00:00:01 GMT", expected));
        }
    }

    #[test]
    fn the_header_is_written_as_documented() {
        assert_eq!(
            authorization("test-api-key", "test-shared-key", "Thu, 01 Jan 2026 00:00:00 GMT"),
            r#"algorithm="hmac-sha256", headers="date", signature="ZSAixNCci8/1ETWsbsFvOFEQArikBdcit3IEoc/cens=", apikey="test-api-key""#
        );
    }
}
