//! The tenant name: every event, endpoint and token belongs to exactly one tenant; and what tenants may have of their own.

use std::collections::BTreeMap;
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

/// What some tenants have of their own, and all others share. Cheap to clone where the shared value is.
#[derive(Debug, Clone, Default)]
pub struct PerTenant<T> {
    shared: T,
    own: Arc<BTreeMap<Tenant, T>>,
}

impl<T> PerTenant<T> {
    /// `shared` for every tenant that is not in `own`.
    pub fn new(shared: T, own: impl IntoIterator<Item = (Tenant, T)>) -> Self {
        Self { shared, own: Arc::new(own.into_iter().collect()) }
    }

    /// What holds for every tenant that has nothing of its own, and for what belongs to no tenant.
    pub fn shared(&self) -> &T {
        &self.shared
    }

    /// What holds for a tenant.
    pub fn of(&self, tenant: &Tenant) -> &T {
        self.own.get(tenant).unwrap_or(&self.shared)
    }

    /// Makes something else of each.
    ///
    /// # Errors
    /// The first that `make` gives.
    pub fn try_map<U, E>(&self, mut make: impl FnMut(&T) -> Result<U, E>) -> Result<PerTenant<U>, E> {
        let shared = make(&self.shared)?;
        let own: Result<BTreeMap<_, _>, E> =
            self.own.iter().map(|(tenant, value)| Ok((tenant.clone(), make(value)?))).collect();
        Ok(PerTenant { shared, own: Arc::new(own?) })
    }

    /// The same where nothing can go wrong.
    pub fn map<U>(&self, mut make: impl FnMut(&T) -> U) -> PerTenant<U> {
        let own = self.own.iter().map(|(tenant, value)| (tenant.clone(), make(value))).collect();
        PerTenant { shared: make(&self.shared), own: Arc::new(own) }
    }
}

impl<T> From<T> for PerTenant<T> {
    fn from(shared: T) -> Self {
        Self { shared, own: Arc::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shared_holds_unless_a_tenant_has_its_own() {
        let [one, other] = ["one", "other"].map(Tenant::from_stored);
        let each = PerTenant::new(1, [(one.clone(), 10)]);
        assert_eq!((each.of(&one), each.of(&other)), (&10, &1));
        let texts = each.map(ToString::to_string);
        assert_eq!((texts.of(&one).as_str(), texts.of(&other).as_str()), ("10", "1"));
        assert_eq!(each.try_map(|n| if *n < 10 { Ok(*n) } else { Err(*n) }).unwrap_err(), 10);
        assert_eq!(PerTenant::from(7).of(&one), &7);
    }
}
