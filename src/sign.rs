//! Authorisation of a request, HMAC-SHA-256 over its `Date`, and of a file that stands for a request.

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac, digest::InvalidLength};
use sha2::Sha256;

/// Returns the text that the MAC covers: the date and nothing else.
pub fn signing_text(date: &str) -> String {
    format!("licenseSpring\ndate: {date}")
}

/// Returns the text that the MAC of an offline request or its reply covers. `auth` is the license key or the username,
/// `client` the API key or the OAuth client's id.
pub fn offline_text(date: &str, auth: &str, hardware_id: &str, client: &str) -> String {
    [&signing_text(date), auth, hardware_id, client].join("\n")
}

/// Returns the MAC of a text, as Base64 with padding. The key is the UTF-8 bytes of the shared key or client secret.
pub fn signature(shared_key: &str, text: &str) -> String {
    mac(shared_key, text).map(|mac| STANDARD.encode(mac.finalize().into_bytes())).unwrap_or_default()
}

/// Returns true if `signature`, in Base64, is the MAC of `text`. The comparison takes constant time.
pub fn is_signature(shared_key: &str, text: &str, signature: &str) -> bool {
    STANDARD.decode(signature).is_ok_and(|bytes| is_mac(shared_key, text, &bytes))
}

/// Returns true if these bytes are the MAC of `text`. The comparison takes constant time.
pub fn is_mac(shared_key: &str, text: &str, bytes: &[u8]) -> bool {
    mac(shared_key, text).is_ok_and(|mac| mac.verify_slice(bytes).is_ok())
}

/// Returns the `Authorization` header: four parameters, without a scheme word.
pub fn authorization(api_key: &str, shared_key: &str, date: &str) -> String {
    let signature = signature(shared_key, &signing_text(date));
    format!(r#"algorithm="hmac-sha256", headers="date", signature="{signature}", apikey="{api_key}""#)
}

/// Computes the MAC. It never fails in practice, because HMAC takes keys of any length.
fn mac(shared_key: &str, text: &str) -> Result<Hmac<Sha256>, InvalidLength> {
    let mut mac = Hmac::<Sha256>::new_from_slice(shared_key.as_bytes())?;
    mac.update(text.as_bytes());
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
            assert_eq!(signature(key, &signing_text(date)), expected);
            assert!(is_signature(key, &signing_text(date), expected));
            assert!(!is_signature(key, &signing_text("Thu, 01 Jan 2026 00:00:01 GMT"), expected));
        }
    }

    #[test]
    fn offline_signature_matches_the_test_vector() {
        let text = offline_text("Thu, 01 Jan 2026 00:00:00 GMT", "AAAA-BBBB-CCCC-DDDD", "hw-1", "test-api-key");
        assert_eq!(signature("test-shared-key", &text), "SLBQ54fefg6JbGUa8fpcVIR6lBT/hDMw84y3q39J1So=");
    }

    #[test]
    fn the_header_is_written_as_documented() {
        assert_eq!(
            authorization("test-api-key", "test-shared-key", "Thu, 01 Jan 2026 00:00:00 GMT"),
            r#"algorithm="hmac-sha256", headers="date", signature="ZSAixNCci8/1ETWsbsFvOFEQArikBdcit3IEoc/cens=", apikey="test-api-key""#
        );
    }
}
