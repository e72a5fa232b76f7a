//! A text that must not be printed: signing secrets, tokens, passwords.
//!
//! `Debug` shows only that a secret is there; there is no `Display` and no serde. Whoever needs the text calls
//! [`Secret::expose`], which a reviewer can grep for.

use std::fmt;

/// Holds a secret text and keeps it out of logs and error messages.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Gives the secret text. Never log or format what this returns.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
