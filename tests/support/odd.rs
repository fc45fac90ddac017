//! Odd values that stand in place of the members of a reply.

use super::stub::Message;
use serde_json::Value;

/// What stands in place of each member, as JSON.
pub const VALUES: [&str; 15] = [
    "null",
    "\"\"",
    "\"7\"",
    "\"brand_new_word\"",
    "-1",
    "0",
    "1.5",
    "9007199254740993",
    "18446744073709551616",
    "1e400",
    "true",
    "false",
    "[]",
    "{}",
    "[[[[{\"a\":null}]]]]",
];

/// The name of a member that no reply has, and that is added to objects.
pub const UNKNOWN_MEMBER: &str = "brand_new_member";

/// A member of a reply: the keys and places that lead to it.
pub type Path = Vec<String>;

/// One member of a reply, and the JSON that stands in its place.
#[derive(Debug, Clone)]
pub struct Alteration {
    pub path: Path,
    pub value: String,
}

impl Alteration {
    /// The reply with this value in it; as it was if it has no such member.
    pub fn of(&self, reply: Message) -> Message {
        let Ok(mut body) = serde_json::from_slice::<Value>(&reply.body) else { return reply };
        // A mark that is replaced in the text, because not every value can be held by a number of Rust.
        const MARK: &str = "the value that is put here";
        if put(&mut body, &self.path, MARK.into()).is_none() {
            return reply;
        }
        let text = body.to_string().replace(&format!("\"{MARK}\""), &self.value);
        Message { head: reply.head, body: text.into_bytes() }
    }
}

fn put(body: &mut Value, path: &[String], value: Value) -> Option<()> {
    let (last, before) = path.split_last()?;
    let pointer: String = before.iter().map(|key| format!("/{key}")).collect();
    match body.pointer_mut(&pointer)? {
        Value::Object(object) if last == UNKNOWN_MEMBER => drop(object.insert(last.clone(), value)),
        Value::Object(object) => *object.get_mut(last)? = value,
        Value::Array(array) => *array.get_mut(last.parse::<usize>().ok()?)? = value,
        _ => return None,
    }
    Some(())
}

/// Every member of a reply, those inside others too; of lists the first `items`, because the others are like them.
pub fn members(reply: &Value, items: usize) -> Vec<Path> {
    let mut found = Vec::new();
    collect(reply, items, &Vec::new(), &mut found);
    found
}

fn collect(reply: &Value, items: usize, at: &Path, found: &mut Vec<Path>) {
    let inside: Vec<(String, &Value)> = match reply {
        Value::Object(object) => object.iter().map(|(key, value)| (key.clone(), value)).collect(),
        Value::Array(array) => {
            array.iter().take(items).enumerate().map(|(at, value)| (at.to_string(), value)).collect()
        }
        _ => return,
    };
    for (key, value) in inside {
        let path: Path = at.iter().cloned().chain([key]).collect();
        found.push(path.clone());
        collect(value, items, &path, found);
    }
}
