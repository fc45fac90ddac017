//! Writes JSON objects for hosts, with the members in the documented order.

use serde_json::Value;

/// Returns the JSON text of an object with these members.
pub(crate) fn object(members: &[(&str, Value)]) -> String {
    let mut text = String::from("{");
    for (name, value) in members {
        if text.len() > 1 {
            text.push(',');
        }
        // Member names are ours and hold nothing that needs escaping.
        text.extend(["\"", name, "\":", &value.to_string()]);
    }
    text.push('}');
    text
}

/// Returns an object with these members, as part of another one.
pub(crate) fn value(members: &[(&str, Value)]) -> Value {
    members.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_their_order_and_values_are_escaped() {
        assert_eq!(object(&[]), "{}");
        let text = object(&[("b", "\"\n".into()), ("a", Value::Null), ("c", vec![1].into())]);
        assert_eq!(text, r#"{"b":"\"\n","a":null,"c":[1]}"#);
    }
}
