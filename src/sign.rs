//! Authorisation of a request: HMAC-SHA-256 over its `Date`.

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac, digest::InvalidLength};
use sha2::Sha256;

/// Returns the text that the MAC covers: the date and nothing else.
pub fn signing_text(date: &str) -> String {
    format!("licenseSpring\ndate: {date}")
}

/// Returns the MAC of a request sent at `date`, as Base64 with padding. The key is the shared key's UTF-8 bytes.
pub fn signature(shared_key: &str, date: &str) -> String {
    mac(shared_key, date).map(|mac| STANDARD.encode(mac.finalize().into_bytes())).unwrap_or_default()
}

/// Returns true if `signature` is the MAC of `date`. The comparison takes constant time.
pub fn is_signature(shared_key: &str, date: &str, signature: &str) -> bool {
    match (mac(shared_key, date), STANDARD.decode(signature)) {
        (Ok(mac), Ok(bytes)) => mac.verify_slice(&bytes).is_ok(),
        _ => false,
    }
}

/// Returns the `Authorization` header: four parameters, without a scheme word.
pub fn authorization(api_key: &str, shared_key: &str, date: &str) -> String {
    let signature = signature(shared_key, date);
    format!(r#"algorithm="hmac-sha256", headers="date", signature="{signature}", apikey="{api_key}""#)
}

/// Computes the MAC. It never fails in practice, because HMAC takes keys of any length.
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
