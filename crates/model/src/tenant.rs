//! The tenant name: every event, endpoint and token belongs to exactly one tenant.

use std::fmt;
use std::sync::Arc;

/// Names a tenant: 1–64 characters of `a-z 0-9 - _`, starting with a letter or digit.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tenant(Arc<str>);

/// A text that is no tenant name.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("a tenant is 1 to 64 characters of a-z, 0-9, - and _, and starts with a letter or digit")]
pub struct InvalidTenant;

impl Tenant {
    /// The tenant of hubs that serve only one.
    pub const DEFAULT: &'static str = "default";

    /// Parses a tenant name.
    pub fn parse(text: &str) -> Result<Self, InvalidTenant> {
        let head = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let tail =
            text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'));
        if head && tail && text.len() <= 64 { Ok(Self(text.into())) } else { Err(InvalidTenant) }
    }

    /// Takes a name that was parsed before it was stored.
    pub fn from_stored(text: &str) -> Self {
        Self(text.into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Tenant {
    fn default() -> Self {
        Self(Self::DEFAULT.into())
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tenant({})", self.0)
    }
}
