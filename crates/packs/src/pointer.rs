//! JSON pointers (RFC 6901) as text: joined, taken apart, and used to change a value.

use serde_json::Value;

/// Appends a token to a pointer.
pub fn push(pointer: &mut String, token: &str) {
    pointer.push('/');
    for c in token.chars() {
        match c {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            c => pointer.push(c),
        }
    }
}

/// Returns the pointer to a child.
pub fn join(pointer: &str, token: &str) -> String {
    let mut joined = pointer.to_owned();
    push(&mut joined, token);
    joined
}

/// Takes a pointer apart into its tokens; `None` when it neither is empty nor starts with a slash.
pub fn tokens(pointer: &str) -> Option<Vec<String>> {
    if pointer.is_empty() {
        return Some(Vec::new());
    }
    let rest = pointer.strip_prefix('/')?;
    Some(rest.split('/').map(|token| token.replace("~1", "/").replace("~0", "~")).collect())
}

/// Puts a value where the pointer leads. The place must exist, or be a new key of an object that exists.
pub(crate) fn set(root: &mut Value, pointer: &str, value: Value) -> Result<(), ()> {
    if let Some(place) = root.pointer_mut(pointer) {
        *place = value;
        return Ok(());
    }
    match parent(root, pointer) {
        Some((Value::Object(map), key)) => {
            map.insert(key, value);
            Ok(())
        }
        _ => Err(()),
    }
}

/// Removes what the pointer leads to, which must exist.
pub(crate) fn remove(root: &mut Value, pointer: &str) -> Result<(), ()> {
    match parent(root, pointer) {
        Some((Value::Object(map), key)) => map.remove(&key).map(drop).ok_or(()),
        Some((Value::Array(items), key)) => {
            let index: usize = key.parse().map_err(|_| ())?;
            if index >= items.len() {
                return Err(());
            }
            items.remove(index);
            Ok(())
        }
        _ => Err(()),
    }
}

fn parent<'v>(root: &'v mut Value, pointer: &str) -> Option<(&'v mut Value, String)> {
    let (parent, _) = pointer.rsplit_once('/')?;
    let key = tokens(pointer)?.pop()?;
    Some((root.pointer_mut(parent)?, key))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tokens_survive_a_round_trip() {
        for token in ["", "a", "a/b", "~", "~1", "m~n/o", "ä b"] {
            let pointer = join("", token);
            assert_eq!(tokens(&pointer), Some(vec![token.to_owned()]), "{pointer}");
        }
        assert_eq!(tokens(""), Some(vec![]));
        assert_eq!(tokens("a"), None);
    }

    #[test]
    fn values_are_set_and_removed() {
        let mut value = json!({"a": [1, 2], "b": {"c": 3}});
        assert_eq!(set(&mut value, "/b/d", json!(4)), Ok(()));
        assert_eq!(set(&mut value, "/a/0", json!(9)), Ok(()));
        assert_eq!(set(&mut value, "/x/y", json!(0)), Err(()));
        assert_eq!(set(&mut value, "/a/7", json!(0)), Err(()));
        assert_eq!(remove(&mut value, "/b/c"), Ok(()));
        assert_eq!(remove(&mut value, "/a/1"), Ok(()));
        assert_eq!(remove(&mut value, "/a/1"), Err(()));
        assert_eq!(remove(&mut value, ""), Err(()));
        assert_eq!(value, json!({"a": [9], "b": {"d": 4}}));
        assert_eq!(set(&mut value, "", json!(null)), Ok(()));
        assert_eq!(value, json!(null));
    }
}
