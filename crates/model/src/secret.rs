//! A text that must not be printed: signing secrets, tokens, passwords.
//!
//! `Debug` shows only that a secret is there; there is no `Display` and no serde. Whoever needs the text calls
//! [`Secret::expose`], which a reviewer can grep for.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use crate::Tenant;

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

/// Where the secrets of workflows and connections come from: names to values, each tenant its own. Asked anew for every
/// use, so that a value that was changed counts at once.
pub trait SecretSource: Send + Sync {
    /// Looks a secret up; `None` where the tenant has none of this name.
    fn find<'a>(
        &'a self,
        tenant: &'a Tenant,
        name: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<Option<Secret>, SecretUnavailable>> + Send + 'a>>;
}

/// A secret is configured and cannot be had, such as one in a file that was removed. Holds no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the secret is configured and cannot be read")]
pub struct SecretUnavailable;

/// A source without secrets.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoSecrets;

impl SecretSource for NoSecrets {
    fn find<'a>(
        &'a self,
        _: &'a Tenant,
        _: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<Option<Secret>, SecretUnavailable>> + Send + 'a>> {
        Box::pin(std::future::ready(Ok(None)))
    }
}
