//! The canonical form of a definition and its hash: the same for YAML and JSON, whatever the order of keys, spaces and
//! comments.

use std::fmt;

use ring::digest;
use serde_json::{Number, Value};

/// SHA-256 of the canonical JSON of a definition.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentHash([u8; digest::SHA256_OUTPUT_LEN]);

impl ContentHash {
    /// Hashes a value.
    pub fn of(value: &Value) -> Self {
        let hashed = digest::digest(&digest::SHA256, canonical_json(value).as_bytes());
        let mut bytes = [0; digest::SHA256_OUTPUT_LEN];
        bytes.copy_from_slice(hashed.as_ref());
        Self(bytes)
    }

    /// The hash.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Writes the hash in hexadecimal digits.
impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentHash({self})")
    }
}

/// Writes a value as JSON without spaces, keys sorted by their bytes, whole numbers without a fraction.
pub fn canonical_json(value: &Value) -> String {
    let mut text = String::new();
    write(value, &mut text);
    text
}

fn write(value: &Value, text: &mut String) {
    match value {
        Value::Number(number) => text.push_str(&whole(number)),
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write(item, text);
            }
            text.push(']');
        }
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by(|a, b| a.0.cmp(b.0));
            text.push('{');
            for (index, (key, value)) in entries.into_iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                text.push_str(&Value::from(key.as_str()).to_string());
                text.push(':');
                write(value, text);
            }
            text.push('}');
        }
        other => text.push_str(&other.to_string()),
    }
}

fn whole(number: &Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < 9e15 => {
            (float as i64).to_string()
        }
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn canonical_json_is_one_text_for_one_content() {
        let value = json!({"b": [1.0, 1.5, -0.0, true, null], "a": {"é\n": "x"}});
        assert_eq!(canonical_json(&value), "{\"a\":{\"é\\n\":\"x\"},\"b\":[1,1.5,0,true,null]}");
        assert_eq!(ContentHash::of(&json!({"n": 1})), ContentHash::of(&json!({"n": 1.0})));
        assert_ne!(ContentHash::of(&json!({"n": 1})), ContentHash::of(&json!({"n": "1"})));
    }
}
