//! Reads JSON objects that were stored. Each member is read by hand, because derived deserializers would add 40 KB to
//! the library.

use crate::strict::Object;
use serde_json::Value;

/// A JSON object that was stored. Each function returns `None` if the member is missing or of another type.
#[derive(Clone, Copy)]
pub(crate) struct StoredObject<'a>(&'a Object);

/// Parses a JSON object, for [`StoredObject::new`].
pub(crate) fn parse(text: &[u8]) -> Option<Object> {
    serde_json::from_str(std::str::from_utf8(text).ok()?).ok()
}

impl<'a> StoredObject<'a> {
    pub(crate) fn new(object: &'a Object) -> StoredObject<'a> {
        StoredObject(object)
    }

    pub(crate) fn text(self, key: &str) -> Option<String> {
        self.0.get(key)?.as_str().map(str::to_owned)
    }

    pub(crate) fn flag(self, key: &str) -> Option<bool> {
        self.0.get(key)?.as_bool()
    }

    pub(crate) fn number(self, key: &str) -> Option<i64> {
        self.0.get(key)?.as_i64()
    }

    pub(crate) fn object(self, key: &str) -> Option<StoredObject<'a>> {
        self.0.get(key)?.as_object().map(StoredObject)
    }

    /// A member of any type.
    pub(crate) fn any(self, key: &str) -> Option<&'a Value> {
        self.0.get(key)
    }

    /// Reads a member with `read`. Returns `Some(None)` if the member is null or missing.
    pub(crate) fn optional<T>(self, key: &str, read: fn(StoredObject<'a>, &str) -> Option<T>) -> Option<Option<T>> {
        match self.0.get(key) {
            None | Some(Value::Null) => Some(None),
            Some(_) => read(self, key).map(Some),
        }
    }

    /// Returns the name of the object's only member: serde writes a variant of an enum this way.
    pub(crate) fn variant(self) -> Option<&'a str> {
        let (name, _) = self.0.iter().next()?;
        (self.0.len() == 1).then_some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn member_is_read_only_as_its_own_type() {
        type Read = fn(StoredObject) -> bool;
        let (text, flag): (Read, Read) = (|stored| stored.text("x").is_some(), |stored| stored.flag("x").is_some());
        let (number, object): (Read, Read) =
            (|stored| stored.number("x").is_some(), |stored| stored.object("x").is_some());
        let optional: Read = |stored| stored.optional("x", StoredObject::text).is_some();
        let variant: Read = |stored| stored.variant().is_some();
        for (written, expected) in [
            (r#"{"x":"y"}"#, [true, false, false, false, true, true]),
            (r#"{"x":true}"#, [false, true, false, false, false, true]),
            (r#"{"x":-7}"#, [false, false, true, false, false, true]),
            (r#"{"x":{}}"#, [false, false, false, true, false, true]),
            (r#"{"x":null}"#, [false, false, false, false, true, true]),
            (r#"{"z":"y"}"#, [false, false, false, false, true, true]),
            (r#"{"x":"y","z":1}"#, [true, false, false, false, true, false]),
            (r"{}", [false, false, false, false, true, false]),
        ] {
            let stored = parse(written.as_bytes()).unwrap();
            let found = [text, flag, number, object, optional, variant].map(|read| read(StoredObject::new(&stored)));
            assert_eq!(found, expected, "{written}");
        }
    }

    #[test]
    fn members_have_the_values_that_were_written() {
        let object = parse(br#"{"text":"y","flag":false,"number":-7,"object":{"x":1}}"#).unwrap();
        let stored = StoredObject::new(&object);
        assert_eq!(
            (stored.text("text").as_deref(), stored.flag("flag"), stored.number("number")),
            (Some("y"), Some(false), Some(-7))
        );
        assert_eq!(stored.optional("text", StoredObject::text), Some(Some("y".to_owned())));
        assert_eq!(stored.optional("none", StoredObject::text), Some(None));
        assert_eq!(stored.object("object").and_then(|object| object.number("x")), Some(1));
        assert_eq!(stored.object("object").and_then(StoredObject::variant), Some("x"));
        assert_eq!(stored.any("text"), Some(&Value::from("y")));
    }

    #[test]
    fn text_that_is_no_object_is_none() {
        for text in [&b"[]"[..], b"{", b"", b"{\"x\":\"\xff\"}", b"7"] {
            assert_eq!(parse(text), None);
        }
    }
}
