//! Names of rooms: whom live updates are for, inside a tenant.
//!
//! A name is `kind:id`, such as `clinic:42`. The kinds `tenant`, `user`, `clinic`, `driver` and `role` have a meaning of their own;
//! others mean what the configured rules say.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

/// The longest kind in bytes.
const MAX_KIND_LEN: usize = 32;
/// The longest id in bytes.
const MAX_ID_LEN: usize = 256;

/// The name of a room.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Room(Arc<str>);

/// A text is no name of a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be kind:id such as clinic:42, the kind 1 to {MAX_KIND_LEN} of a-z, 0-9, - and _, the id 1 to {MAX_ID_LEN} bytes without \
     control characters"
)]
pub struct InvalidRoom;

impl Room {
    /// Reads a name.
    ///
    /// # Errors
    /// When it is not `kind:id`.
    pub fn parse(text: &str) -> Result<Self, InvalidRoom> {
        let (kind, id) = text.split_once(':').ok_or(InvalidRoom)?;
        if is_kind(kind) && is_id(id) { Ok(Self(text.into())) } else { Err(InvalidRoom) }
    }

    /// Puts a name together; `None` when the id cannot be part of one.
    ///
    /// # Panics
    /// When the kind is none, in tests: kinds are fixed words.
    pub fn of(kind: &'static str, id: &str) -> Option<Self> {
        debug_assert!(is_kind(kind));
        is_id(id).then(|| Self(format!("{kind}:{id}").into()))
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What kind of room it is: the part before the first colon.
    pub fn kind(&self) -> &str {
        self.0.split_once(':').map_or("", |(kind, _)| kind)
    }

    /// Which room of its kind: the part behind the first colon.
    pub fn id(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, id)| id)
    }
}

/// Whether a word can stand before the colon.
fn is_kind(text: &str) -> bool {
    (1..=MAX_KIND_LEN).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'))
}

fn is_id(text: &str) -> bool {
    (1..=MAX_ID_LEN).contains(&text.len()) && !text.chars().any(char::is_control)
}

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_a_kind_and_an_id() {
        for good in ["clinic:42", "user:a@b.example", "role:x", "route-2:a:b", "k:é"] {
            let room = Room::parse(good).unwrap();
            assert_eq!(format!("{}:{}", room.kind(), room.id()), good);
        }
        let long = format!("a:{}", "x".repeat(257));
        for bad in ["", ":", "a:", ":a", "clinic", "Clinic:1", "a b:1", "a:\n", long.as_str()] {
            assert_eq!(Room::parse(bad), Err(InvalidRoom), "{bad}");
        }
        assert_eq!(Room::of("user", "7").unwrap().as_str(), "user:7");
        assert_eq!(Room::of("user", ""), None);
    }
}
