//! Who calls: bearer tokens, their cache, and permissions as extractors.
//!
//! The guard of every operation authenticates, checks the operation's permission and leaves the [`Identity`] in the
//! request. A handler that asks for [`Permit<G>`] shows its rule in its signature and gets tenant and token id; without
//! the guard it is answered 401, so forgetting one of the two closes the door instead of opening it.
//!
//! Each token has its own rate of requests, on each hub for itself: the limit is kept with the token in the cache.
//!
//! A verified token is remembered for at most [`CACHE_FOR`], so a revocation counts within that time on every node, and
//! at once on the node that did it.

pub(crate) mod portal;
mod role;
pub mod token;

use std::borrow::Cow;
use std::collections::HashMap;
use std::marker::PhantomData;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::FromRequestParts;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use governor::clock::Clock as _;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;
use parking_lot::Mutex;
use trunkline_flow::engine::people::Actor;
use trunkline_model::{ErrorCode, Room, Tenant, Timestamp, TokenId};
use trunkline_store::Store;
use trunkline_store::tables::portal_token::{PortalTokenRow, portal_token_find};
use trunkline_store::tables::token::{TokenRow, token_find};

use self::portal::PortalScope;
use crate::problem::Problem;

pub use role::{Grant, Permission, Role, grants};

/// How long a verified token is believed without asking the store.
pub const CACHE_FOR: Duration = Duration::from_secs(5);
/// The cache starts over beyond this many tokens.
const MAX_CACHED: usize = 10_000;
/// A burst is as much as two seconds allow.
const TWICE: NonZeroU32 = NonZeroU32::new(2).unwrap();

/// Who calls an operation, by how they can show their token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Caller {
    /// A program of ours or of a customer.
    #[default]
    Program,
    /// An app on a phone that knows user names and passwords, and parameters of its own.
    PhoneApp,
}

/// The person whose token it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Their user id.
    pub user: String,
    /// Their groups.
    pub groups: Vec<String>,
}

/// The caller, as its token says.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Whose data the call may touch.
    pub tenant: Tenant,
    /// Which token it is.
    pub token_id: TokenId,
    /// What the token may do.
    pub role: Role,
    /// The person whose token it is.
    pub person: Option<Person>,
    /// What it is limited to, when it is a token for the receiving side.
    pub(crate) portal: Option<PortalScope>,
    /// Rooms of live updates that it opens besides those of its role and its person.
    pub rooms: Vec<Room>,
    /// When it stops working.
    pub expires_at: Option<Timestamp>,
    limiter: Option<Arc<DefaultDirectRateLimiter>>,
}

/// Proof that the caller may do what `G` names.
#[derive(Debug)]
pub struct Permit<G: Grant> {
    /// Whose data the call may touch.
    pub tenant: Tenant,
    /// Which token it is.
    pub token_id: TokenId,
    /// What the token may do.
    pub(crate) role: Role,
    /// The person whose token it is.
    pub(crate) person: Option<Person>,
    /// What it is limited to, when it is a token for the receiving side.
    pub(crate) portal: Option<PortalScope>,
    /// Rooms of live updates that the token names.
    pub(crate) rooms: Vec<Room>,
    grant: PhantomData<G>,
}

impl<S: Sync, G: Grant> FromRequestParts<S> for Permit<G> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let identity =
            parts.extensions.get::<Identity>().ok_or_else(|| Problem::new(ErrorCode::AuthMissing))?;
        identity.check(G::PERMISSION)?;
        Ok(Self {
            tenant: identity.tenant.clone(),
            token_id: identity.token_id.clone(),
            role: identity.role,
            person: identity.person.clone(),
            portal: identity.portal.clone(),
            rooms: identity.rooms.clone(),
            grant: PhantomData,
        })
    }
}

impl<G: Grant> Permit<G> {
    /// Who acts: the person of the token, or the token itself.
    pub(crate) fn actor(&self) -> Actor {
        let (user, groups) = match &self.person {
            Some(person) => (person.user.clone(), person.groups.clone()),
            None => (self.token_id.as_str().to_owned(), Vec::new()),
        };
        let is_operator = matches!(self.role, Role::Admin | Role::Operator);
        Actor { user, groups, on_behalf_of: None, is_operator }
    }
}

impl Identity {
    /// Takes one request out of the token's rate.
    fn admit(&self) -> Result<(), Problem> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        limiter.check().map_err(|not_until| {
            let wait = not_until.wait_time_from(limiter.clock().now());
            Problem::new(ErrorCode::RequestRateLimited).with_retry_after_s(wait.as_secs() + 1)
        })
    }

    /// Refuses unless the role includes the permission.
    pub(crate) fn check(&self, permission: Permission) -> Result<(), Problem> {
        if self.portal.as_ref().is_some_and(|portal| portal.is_read_only && permission.is_write()) {
            return Err(portal::refused("change anything: it is read-only"));
        }
        let is_own_task = permission == Permission::TasksWrite && self.person.is_some();
        if self.role.allows(permission) || (is_own_task && self.role == Role::Viewer) {
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
#[derive(Debug)]
pub struct TokenCache {
    entries: Mutex<Entries>,
    quota: Option<Quota>,
}

#[derive(Debug, Default)]
struct Entries {
    by_hash: HashMap<String, (Identity, Instant)>,
    /// Grows with every [`TokenCache::clear`]: a token read before is not remembered after.
    generation: u64,
}

impl TokenCache {
    /// An empty one; each token may make so many requests a second, twice as many at once.
    pub(crate) fn new(requests_per_s: Option<NonZeroU32>) -> Self {
        let quota = requests_per_s.map(|n| Quota::per_second(n).allow_burst(n.saturating_mul(TWICE)));
        Self { entries: Mutex::default(), quota }
    }

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
        caller: Caller,
        now: Timestamp,
    ) -> Result<Identity, Problem> {
        self.authenticate_token(store, &credential(headers, caller)?, now).await
    }

    /// Says whose token it is.
    pub(crate) async fn authenticate_token(
        &self,
        store: &Store,
        token: &str,
        now: Timestamp,
    ) -> Result<Identity, Problem> {
        let hash = token::hash(token);
        let generation = {
            let entries = self.entries.lock();
            if let Some((identity, since)) = entries.by_hash.get(&hash)
                && since.elapsed() < CACHE_FOR
                && identity.expires_at.is_none_or(|at| now < at)
            {
                let identity = identity.clone();
                drop(entries);
                identity.admit()?;
                return Ok(identity);
            }
            entries.generation
        };
        let mut identity = None;
        if token.starts_with(portal::PREFIX) {
            let row = portal_token_find(store, &hash).await?;
            identity = row.filter(|row| portal::is_live(row, now)).map(into_portal);
        }
        if identity.is_none() {
            let row = token_find(store, &hash).await?;
            identity = row.filter(|row| token::is_live(row, now)).and_then(into_identity);
        }
        let mut identity = identity.ok_or_else(|| Problem::new(ErrorCode::AuthInvalid))?;
        let mut entries = self.entries.lock();
        // A token that is looked up again goes on with the rate that it has.
        identity.limiter = match entries.by_hash.get(&hash) {
            Some((known, _)) => known.limiter.clone(),
            None => self.quota.map(|quota| Arc::new(RateLimiter::direct(quota))),
        };
        if entries.generation == generation {
            if entries.by_hash.len() >= MAX_CACHED {
                entries.by_hash.clear();
            }
            entries.by_hash.insert(hash, (identity.clone(), Instant::now()));
        }
        drop(entries);
        identity.admit()?;
        Ok(identity)
    }
}

pub(crate) fn into_identity(row: TokenRow) -> Option<Identity> {
    let role = Role::parse(&row.role)?;
    let groups = row.groups;
    let person = row.person.map(|user| Person { user, groups });
    Some(Identity {
        tenant: row.tenant,
        token_id: row.id,
        role,
        person,
        portal: None,
        rooms: row.rooms.iter().filter_map(|room| Room::parse(room).ok()).collect(),
        expires_at: row.expires_at,
        limiter: None,
    })
}

fn into_portal(row: PortalTokenRow) -> Identity {
    Identity {
        portal: Some(PortalScope::of(&row)),
        tenant: row.tenant,
        token_id: TokenId::from_text(row.id.as_str()),
        role: Role::Portal,
        person: None,
        rooms: Vec::new(),
        expires_at: Some(row.expires_at),
        limiter: None,
    }
}

/// Takes the token out of `authorization: Bearer …`; of a phone's app also out of the password of `Basic …`.
fn credential(headers: &HeaderMap, caller: Caller) -> Result<Cow<'_, str>, Problem> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or_else(|| Problem::new(ErrorCode::AuthMissing))?;
    if values.next().is_some() {
        return Err(Problem::new(ErrorCode::AuthInvalid).with_detail("more than one authorization header"));
    }
    let invalid = || Problem::new(ErrorCode::AuthInvalid);
    let (scheme, text) = value.to_str().map_err(|_| invalid())?.split_once(' ').ok_or_else(invalid)?;
    let text = text.trim_matches(' ');
    let token = if scheme.eq_ignore_ascii_case("bearer") {
        Cow::Borrowed(text)
    } else if scheme.eq_ignore_ascii_case("basic") && caller == Caller::PhoneApp {
        let pair = STANDARD.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let password = pair.as_deref().and_then(|pair| pair.split_once(':')).map(|(_, password)| password);
        Cow::Owned(password.ok_or_else(invalid)?.to_owned())
    } else {
        return Err(invalid());
    };
    if is_fit(&token) { Ok(token) } else { Err(invalid()) }
}

/// Whether a text can be a token at all.
pub(crate) fn is_fit(token: &str) -> bool {
    (token::MIN_LEN..=token::MAX_LEN).contains(&token.len()) && token.bytes().all(|b| b.is_ascii_graphic())
}
