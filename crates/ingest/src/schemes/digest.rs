//! Dedupe keys of calls that carry no id of their own: a SHA-256 over what makes them the same call.

use ring::digest::{Context, SHA256};

/// Gathers the parts; each is taken with its length, so that no two lists of parts are the same bytes.
pub(crate) struct Digest(Context);

impl Digest {
    pub(crate) fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    pub(crate) fn part(&mut self, part: &[u8]) {
        self.0.update(&(part.len() as u64).to_be_bytes());
        self.0.update(part);
    }

    /// The key: `sha256:` and 64 digits.
    pub(crate) fn into_key(self) -> String {
        format!("sha256:{}", hex::encode(self.0.finish()))
    }
}

/// The key of some parts.
pub(crate) fn key_of(parts: &[&[u8]]) -> String {
    let mut digest = Digest::new();
    for part in parts {
        digest.part(part);
    }
    digest.into_key()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_eq!(key_of(&[b"a", b"b"]).len(), 7 + 64);
        assert_eq!(key_of(&[b"a", b"b"]), key_of(&[b"a", b"b"]));
        assert_ne!(key_of(&[b"a", b"b"]), key_of(&[b"ab", b""]));
        assert_ne!(key_of(&[b"a", b"b"]), key_of(&[b"b", b"a"]));
    }
}
