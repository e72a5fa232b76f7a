//! Who calls: bearer tokens, their cache, and permissions as extractors.
//!
//! The guard of every operation authenticates, checks the operation's permission and leaves the [`Identity`] in the
//! request. A handler that asks for [`Permit<G>`] shows its rule in its signature and gets tenant and token id; without
//! the guard it is answered 401, so forgetting one of the two closes the door instead of opening it.
//!
//! A verified token is remembered for at most [`CACHE_FOR`], so a revocation counts within that time on every node, and
//! at once on the node that did it.

mod role;
pub mod token;

use std::collections::HashMap;
use std::marker::PhantomData;
use std::time::{Duration, Instant};

use axum::extract::FromRequestParts;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;
use parking_lot::Mutex;
use trunkline_model::{ErrorCode, Tenant, Timestamp, TokenId};
use trunkline_store::Store;
use trunkline_store::tables::token::{TokenRow, token_find};

use crate::problem::Problem;

pub use role::{Grant, Permission, Role, grants};

/// How long a verified token is believed without asking the store.
pub const CACHE_FOR: Duration = Duration::from_secs(5);
/// The cache starts over beyond this many tokens.
const MAX_CACHED: usize = 10_000;

/// The caller, as its token says.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Whose data the call may touch.
    pub tenant: Tenant,
    /// Which token it is.
    pub token_id: TokenId,
    /// What the token may do.
    pub role: Role,
    expires_at: Option<Timestamp>,
}

/// Proof that the caller may do what `G` names.
#[derive(Debug)]
pub struct Permit<G: Grant> {
    /// Whose data the call may touch.
    pub tenant: Tenant,
    /// Which token it is.
    pub token_id: TokenId,
    grant: PhantomData<G>,
}

impl<S: Sync, G: Grant> FromRequestParts<S> for Permit<G> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let identity =
            parts.extensions.get::<Identity>().ok_or_else(|| Problem::new(ErrorCode::AuthMissing))?;
        identity.check(G::PERMISSION)?;
        Ok(Self { tenant: identity.tenant.clone(), token_id: identity.token_id.clone(), grant: PhantomData })
    }
}

impl Identity {
    /// Refuses unless the role includes the permission.
    pub(crate) fn check(&self, permission: Permission) -> Result<(), Problem> {
        if self.role.allows(permission) {
            return Ok(());
        }
        let detail = format!(
            "this needs the permission {}, which the role {} lacks",
            permission.as_str(),
            self.role.as_str()
        );
        Err(Problem::new(ErrorCode::AuthForbidden).with_detail(detail))
    }
}

/// Tokens verified lately, by hash.
#[derive(Debug, Default)]
pub struct TokenCache {
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    by_hash: HashMap<String, (Identity, Instant)>,
    /// Grows with every [`TokenCache::clear`]: a token read before is not remembered after.
    generation: u64,
}

impl TokenCache {
    /// Forgets all, so that the next call of each token asks the store.
    pub fn clear(&self) {
        let mut entries = self.entries.lock();
        entries.by_hash.clear();
        entries.generation += 1;
    }

    /// Says who sent the request.
    pub(crate) async fn authenticate(
        &self,
        store: &Store,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Result<Identity, Problem> {
        let token = bearer(headers)?;
        let hash = token::hash(token);
        let generation = {
            let entries = self.entries.lock();
            if let Some((identity, since)) = entries.by_hash.get(&hash)
                && since.elapsed() < CACHE_FOR
                && identity.expires_at.is_none_or(|at| now < at)
            {
                return Ok(identity.clone());
            }
            entries.generation
        };
        let row = token_find(store, &hash).await?;
        let identity = row
            .filter(|row| token::is_live(row, now))
            .and_then(into_identity)
            .ok_or_else(|| Problem::new(ErrorCode::AuthInvalid))?;
        let mut entries = self.entries.lock();
        if entries.generation == generation {
            if entries.by_hash.len() >= MAX_CACHED {
                entries.by_hash.clear();
            }
            entries.by_hash.insert(hash, (identity.clone(), Instant::now()));
        }
        Ok(identity)
    }
}

fn into_identity(row: TokenRow) -> Option<Identity> {
    let role = Role::parse(&row.role)?;
    Some(Identity { tenant: row.tenant, token_id: row.id, role, expires_at: row.expires_at })
}

/// Takes the token out of `authorization: Bearer …`.
fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or_else(|| Problem::new(ErrorCode::AuthMissing))?;
    if values.next().is_some() {
        return Err(Problem::new(ErrorCode::AuthInvalid).with_detail("more than one authorization header"));
    }
    let invalid = || Problem::new(ErrorCode::AuthInvalid);
    let (scheme, token) = value.to_str().map_err(|_| invalid())?.split_once(' ').ok_or_else(invalid)?;
    let token = token.trim_matches(' ');
    let is_fit = (token::MIN_LEN..=token::MAX_LEN).contains(&token.len())
        && token.bytes().all(|b| b.is_ascii_graphic());
    if scheme.eq_ignore_ascii_case("bearer") && is_fit { Ok(token) } else { Err(invalid()) }
}
