//! The v2 signature inside of a JSON body, which a reply needs that is kept as a file.
//!
//! It covers the compact JSON of the body without the members that hold signatures: members in the order of the file,
//! characters other than control characters unescaped.

use crate::verify::PublicKey;
use serde_json::Value;

/// The member with the signature.
const SIGNATURE: &str = "\"license_signature_v2\"";

/// The members that the signature does not cover.
const UNCOVERED: [&str; 2] = [SIGNATURE, "\"license_signature\""];

/// Returns whether the key made the signature inside of `body`, which is a valid JSON object; `None` if there is none.
pub(crate) fn verifies(key: &PublicKey, body: &str) -> Option<bool> {
    let (covered, signature) = split(body)?;
    Some(key.verifies(covered.as_bytes(), &signature))
}

/// Returns the text that the signature covers, and the signature.
fn split(body: &str) -> Option<(String, String)> {
    let (mut covered, mut signature) = (String::with_capacity(body.len()), None);
    let (mut depth, mut rest) = (0, body);
    while let Some(token) = next_token(&mut rest) {
        match token.as_str() {
            "{" | "[" => depth += 1,
            "}" | "]" => depth -= 1,
            // The member before it was the first, and is left out.
            "," if covered == "{" => continue,
            name if depth == 1 && UNCOVERED.contains(&name) && (covered == "{" || covered.ends_with(',')) => {
                next_token(&mut rest)?;
                let value = next_token(&mut rest)?;
                if name == SIGNATURE {
                    signature = serde_json::from_str(&value).ok();
                }
                if covered.ends_with(',') {
                    covered.pop();
                }
                continue;
            }
            _ => {}
        }
        covered += &token;
    }
    Some((covered, signature?))
}

/// Takes the next token of valid JSON off `rest`, and returns it as compact JSON has it.
fn next_token(rest: &mut &str) -> Option<String> {
    let text = rest.trim_start();
    let first = *text.as_bytes().first()?;
    let mut escaped = false;
    let ends = |byte: u8| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    };
    let length = match first {
        b'"' => text.bytes().skip(1).position(ends)? + 2,
        b'{' | b'}' | b'[' | b']' | b':' | b',' => 1,
        _ => text.find(|c: char| c.is_ascii_whitespace() || "}],".contains(c)).unwrap_or(text.len()),
    };
    let (token, after) = text.split_at_checked(length)?;
    *rest = after;
    if first != b'"' {
        return Some(token.to_owned());
    }
    let value: Value = serde_json::from_str(token).ok()?;
    Some(value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn covered_text_is_compact_and_lacks_signatures_of_the_outermost_object() {
        let signed = r#"{"a":[1,{"license_signature":"inner"}],"b":"é\n, \"x\"","c":null}"#;
        for body in [
            r#"{"license_signature":"v1","a":[1,{"license_signature":"inner"}],"license_signature_v2":"v2","b":"é\n, \"x\"","c":null}"#,
            r#"{"a":[1,{"license_signature":"inner"}],"b":"é\n, \"x\"","c":null,"license_signature":"v1","license_signature_v2":"v2"}"#,
            r#"{"license_signature_v2":"v2","a":[1,{"license_signature":"inner"}],"b":"é\n, \"x\"","c":null}"#,
            " {\"a\" : [1, {\"license_signature\":\"inner\"} ],\n\"license_signature_v2\": \"v2\",\"b\":\"\\u00e9\\u000a, \\\"x\\\"\", \"c\": null }\n",
        ] {
            assert_eq!(split(body), Some((signed.to_owned(), "v2".to_owned())), "{body}");
        }
        assert_eq!(split(r#"{"a":"license_signature_v2","b":1}"#), None);
    }
}
