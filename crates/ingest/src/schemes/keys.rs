//! Keys of one source, prepared once, and comparisons whose time tells an attacker nothing.
//!
//! All keys of a source are live at the same time: a secret is changed by adding the new one, and later dropping the old
//! one.

use ring::hmac::{self, Algorithm, Context, Key, Tag};
use ring::rand::SystemRandom;
use subtle::ConstantTimeEq as _;

use super::decode::Candidate;

/// Compares secrets of any length by sealing them under a random key that lives only as long as the process: neither the
/// secret nor its length is left to compare.
pub(super) struct Blind(Key);

impl Blind {
    pub(super) fn fresh() -> Self {
        let key = Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .expect("invariant: the system has randomness");
        Self(key)
    }

    /// Seals a value for comparison; equal values have equal seals.
    pub(super) fn seal(&self, value: &[u8]) -> Tag {
        hmac::sign(&self.0, value)
    }

    /// Tells whether `value` is what `sealed` was made of.
    pub(super) fn opens(&self, value: &[u8], sealed: &Tag) -> bool {
        hmac::verify(&self.0, value, sealed.as_ref()).is_ok()
    }
}

/// The live HMAC keys of a source.
pub(super) struct MacKeys(Box<[Key]>);

impl MacKeys {
    pub(super) fn new<'s>(algorithm: Algorithm, secrets: impl IntoIterator<Item = &'s [u8]>) -> Self {
        Self(secrets.into_iter().map(|secret| Key::new(algorithm, secret)).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Tells whether any candidate is the MAC, under any key, of what `feed` puts in.
    pub(super) fn verify<C: Iterator<Item = Candidate>>(
        &self,
        feed: impl Fn(&mut Context),
        candidates: impl Fn() -> C,
    ) -> bool {
        self.0.iter().any(|key| {
            let mut context = Context::with_key(key);
            feed(&mut context);
            let tag = context.sign();
            // Lengths are no secret; unequal ones never compare equal.
            candidates().any(|candidate| candidate.as_bytes().ct_eq(tag.as_ref()).into())
        })
    }
}
