//! Makes tokens, and seeds the first one. Used by the token routes, by the command line and at start.
//!
//! A token is shown once, when it is made; the store holds its SHA-256. Tokens are random enough that a slow hash would
//! add nothing.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use trunkline_model::{Coded, ErrorCode, Room, Secret, Tenant, Timestamp, TokenId};
use trunkline_store::tables::token::{TokenRow, token_count_admins, token_find, token_insert, token_put};
use trunkline_store::{Commit, CommitError, ReadError, Store};

use super::{Person, Role};

/// What every token made by the hub begins with.
pub const PREFIX: &str = "tlk_";
/// How long tokens that somebody else chose must be at least, in characters.
pub const MIN_LEN: usize = 16;
/// The longest token looked up, in characters.
pub const MAX_LEN: usize = 256;
/// The handle of the token that `TRUNKLINE_ADMIN_TOKEN` names.
const SEEDED_ID: &str = "tok_00000000000000000000000000000000";

/// What a new token shall be.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// The tenant it acts for.
    pub tenant: Tenant,
    /// For people.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The person whose token it is.
    pub person: Option<Person>,
    /// Rooms of live updates that it opens besides those of its role and its person.
    pub rooms: Vec<Room>,
    /// How long it works; for ever when absent.
    pub lifetime: Option<Duration>,
}

/// The first admin token could not be seeded.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// The given text is too weak or cannot be sent in a header.
    #[error("the admin token must be {MIN_LEN} to {MAX_LEN} visible ASCII characters")]
    Unfit,
    /// The given token exists and was revoked, has expired, or is not an admin's.
    #[error("the admin token is revoked, expired or belongs to another role; choose another one")]
    Unusable,
    /// The store could not be read.
    #[error("tokens could not be read")]
    Read(#[from] ReadError),
    /// The token could not be stored.
    #[error("the token could not be stored")]
    Commit(#[from] CommitError),
}

impl Coded for SeedError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Unfit | Self::Unusable => ErrorCode::AuthInvalid,
            Self::Read(error) => error.code(),
            Self::Commit(error) => error.code(),
        }
    }
}

/// Hexadecimal SHA-256 of a token, as stored.
pub fn hash(token: &str) -> String {
    hex::encode(digest(&SHA256, token.as_bytes()))
}

/// Makes the text of a new token from 32 random bytes.
///
/// # Panics
/// When the operating system gives no random bytes.
pub fn generate() -> Secret {
    let mut bytes = [0_u8; 32];
    SystemRandom::new().fill(&mut bytes).expect("invariant: the system has random bytes");
    Secret::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)))
}

/// Makes the text of a new token for the receiving side.
///
/// # Panics
/// When the operating system gives no random bytes.
pub fn generate_portal() -> Secret {
    Secret::new(generate().expose().replacen(PREFIX, super::portal::PREFIX, 1))
}

/// Makes the text of a new ticket for a live connection.
///
/// # Panics
/// When the operating system gives no random bytes.
pub(crate) fn generate_ticket() -> Secret {
    Secret::new(generate().expose().replacen(PREFIX, "tlt_", 1))
}

/// Makes and stores a token. The secret is not to be had again.
pub async fn create(store: &Store, new: NewToken, now: Timestamp) -> Result<(TokenRow, Secret), CommitError> {
    let secret = generate();
    let (person, groups) = new.person.map(|it| (it.user, it.groups)).unzip();
    let row = TokenRow {
        id: TokenId::fresh(),
        tenant: new.tenant,
        name: new.name,
        role: new.role.as_str().to_owned(),
        person,
        groups: groups.unwrap_or_default(),
        rooms: new.rooms.iter().map(|room| room.as_str().to_owned()).collect(),
        hash: hash(secret.expose()),
        created_at: now,
        expires_at: new.lifetime.map(|lifetime| now.plus(lifetime)),
        revoked_at: None,
    };
    store.commit(Commit::statements(vec![token_insert(&row)])).await?;
    Ok((row, secret))
}

/// Makes sure that there is an admin token of the default tenant.
///
/// With `given`, that text is an admin token afterwards, and the one given at an earlier start is not any more. Without it,
/// a token is made when there is no live admin token at all, and returned to be printed once.
pub async fn seed_admin(
    store: &Store,
    given: Option<&Secret>,
    now: Timestamp,
) -> Result<Option<Secret>, SeedError> {
    let admin = |name: &str| NewToken {
        tenant: Tenant::default(),
        name: name.to_owned(),
        role: Role::Admin,
        person: None,
        rooms: Vec::new(),
        lifetime: None,
    };
    let Some(given) = given else {
        if token_count_admins(store, now).await? > 0 {
            return Ok(None);
        }
        let (_, secret) = create(store, admin("first admin token"), now).await?;
        return Ok(Some(secret));
    };
    let text = given.expose();
    if !(MIN_LEN..=MAX_LEN).contains(&text.len()) || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(SeedError::Unfit);
    }
    match token_find(store, &hash(text)).await? {
        Some(known) if is_live(&known, now) && known.role == Role::Admin.as_str() => return Ok(None),
        Some(_) => return Err(SeedError::Unusable),
        None => {}
    }
    let new = admin("TRUNKLINE_ADMIN_TOKEN");
    let row = TokenRow {
        id: TokenId::from_text(SEEDED_ID),
        tenant: new.tenant,
        name: new.name,
        role: new.role.as_str().to_owned(),
        person: None,
        groups: Vec::new(),
        rooms: Vec::new(),
        hash: hash(text),
        created_at: now,
        expires_at: None,
        revoked_at: None,
    };
    store.commit(Commit::statements(vec![token_put(&row)])).await?;
    Ok(None)
}

/// Whether a room may be opened by naming it in a token: those of tenants, persons and roles follow from the token itself.
pub fn may_open(room: &Room) -> bool {
    !matches!(room.kind(), "tenant" | "user" | "role")
}

/// Whether a stored token works at `now`.
pub(crate) fn is_live(token: &TokenRow, now: Timestamp) -> bool {
    token.revoked_at.is_none() && token.expires_at.is_none_or(|at| now < at)
}
