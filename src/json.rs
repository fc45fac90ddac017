//! Objects as hosts read them: their members in the order in which they are documented.

use serde_json::Value;

/// The text of an object with these members.
pub(crate) fn object(members: &[(&str, Value)]) -> String {
    let mut text = String::from("{");
    for (name, value) in members {
        if text.len() > 1 {
            text.push(',');
        }
        // Names are those of the documentation, so there is nothing to escape in them.
        text.extend(["\"", name, "\":", &value.to_string()]);
    }
    text.push('}');
    text
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
