//! Real replies against an OpenAPI document.

use floatlease::model::{IDEMPOTENCY_KEY, ORDER};
use serde_json::Value;

use super::Answer;

/// Closes every object that is described, so that a member which is not is found.
pub fn closed(value: &mut Value) {
    match value {
        Value::Object(map) => {
            // Only where a value stands: an object may be described by several schemas together.
            for word in ["schema", "items"] {
                map.get_mut(word).into_iter().for_each(close);
            }
            let properties = map.get_mut("properties").and_then(Value::as_object_mut);
            properties.into_iter().flat_map(|properties| properties.values_mut()).for_each(close);
            map.values_mut().for_each(closed);
        }
        Value::Array(values) => values.iter_mut().for_each(closed),
        _ => {}
    }
}

fn close(schema: &mut Value) {
    let Some(schema) = schema.as_object_mut() else { return };
    let describes = ["properties", "$ref", "oneOf", "anyOf", "allOf"].iter().any(|word| schema.contains_key(*word));
    if describes && !schema.contains_key("additionalProperties") {
        schema.insert("unevaluatedProperties".to_owned(), false.into());
    }
}

/// Holds an answer against what the document says of it.
pub fn check(document: &Value, path: &str, method: &str, answer: &Answer) {
    let status = answer.status.to_string();
    let about = format!("{method} {path}: {answer:?}");
    let mut place = format!("/paths/{}/{method}/responses/{status}", path.replace('/', "~1"));
    let described = document.pointer(&place).unwrap_or_else(|| panic!("not described: {about}"));
    if let Some(reference) = described["$ref"].as_str() {
        place = reference.trim_start_matches('#').to_owned();
    }
    let described = document.pointer(&place).unwrap();
    let headers = described["headers"].as_object();
    assert_eq!(
        headers.is_some_and(|headers| headers.contains_key("LicenseSignature")),
        answer.headers.contains_key("licensesignature"),
        "{about}"
    );
    for (header, sent) in [(IDEMPOTENCY_KEY, "idempotency-key"), (ORDER, "floatlease-order")] {
        let allowed = headers.is_some_and(|headers| headers.contains_key(header));
        assert!(allowed || !answer.headers.contains_key(sent), "{header} is not described: {about}");
    }
    let Some(content) = described["content"].as_object() else {
        assert_eq!((answer.body.len(), answer.headers.get("content-type")), (0, None), "{about}");
        return;
    };
    let sent = answer.headers["content-type"].split(';').next().unwrap();
    assert!(content.contains_key(sent), "{about}");
    let body = if sent == "text/plain" { std::str::from_utf8(&answer.body).unwrap().into() } else { answer.json() };
    let mut schema = document.clone();
    // A reference is a URI, where braces have no place.
    let place = place.replace('{', "%7B").replace('}', "%7D");
    schema["$ref"] = format!("#{place}/content/{}/schema", sent.replace('/', "~1")).into();
    let errors: Vec<String> = jsonschema::validator_for(&schema)
        .unwrap()
        .iter_errors(&body)
        .map(|error| format!("{} at {:?}", error, error.instance_path().to_string()))
        .collect();
    assert!(errors.is_empty(), "{about}: {errors:#?}");
}
