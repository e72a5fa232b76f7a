//! API tokens. Only their SHA-256 is stored.

use trunkline_model::{Tenant, Timestamp, TokenId};

use crate::{ReadError, Row, Statement, Store, params};

/// One stored token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRow {
    /// Public handle.
    pub id: TokenId,
    /// The tenant it acts for.
    pub tenant: Tenant,
    /// For people.
    pub name: String,
    /// `admin`, `operator`, `emitter`, `viewer` or `member`.
    pub role: String,
    /// The person whose token it is; nobody's where absent.
    pub person: Option<String>,
    /// The groups of that person.
    pub groups: Vec<String>,
    /// Rooms of live updates that it opens besides those of its role, person and groups.
    pub rooms: Vec<String>,
    /// Hexadecimal SHA-256 of the token.
    pub hash: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops working.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

const COLUMNS: &str =
    "id, tenant, name, role, hash, created_at, expires_at, revoked_at, person, person_groups, live_rooms";

fn token_row(mut row: Row) -> Result<TokenRow, ReadError> {
    let mut token = TokenRow {
        id: TokenId::from_text(row.text()?),
        tenant: Tenant::from_stored(&row.text()?),
        name: row.text()?,
        role: row.text()?,
        hash: row.text()?,
        created_at: row.time()?,
        expires_at: row.opt_time()?,
        revoked_at: row.opt_time()?,
        person: row.opt_text()?,
        groups: Vec::new(),
        rooms: Vec::new(),
    };
    token.groups = texts(row.opt_text()?, "groups of a token")?;
    token.rooms = texts(row.opt_text()?, "rooms of a token")?;
    Ok(token)
}

fn texts(json: Option<String>, what: &'static str) -> Result<Vec<String>, ReadError> {
    let unreadable = |error| ReadError::Stored { what, source: Box::new(error) };
    json.map_or(Ok(Vec::new()), |json| serde_json::from_str(&json).map_err(unreadable))
}

fn texts_json(texts: &[String]) -> Option<String> {
    (!texts.is_empty()).then(|| serde_json::Value::from(texts.to_vec()).to_string())
}

/// Stores a token.
pub fn token_insert(token: &TokenRow) -> Statement {
    Statement::one(
        "INSERT INTO tokens (id, tenant, name, role, hash, created_at, expires_at, revoked_at, person, person_groups, \
         live_rooms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        params![
            token.id.as_str(),
            token.tenant.as_str(),
            token.name.as_str(),
            token.role.as_str(),
            token.hash.as_str(),
            token.created_at,
            token.expires_at,
            token.revoked_at,
            token.person.as_deref(),
            texts_json(&token.groups),
            texts_json(&token.rooms)
        ],
    )
}

/// Stores a token, or makes the stored one with this id the same.
pub fn token_put(token: &TokenRow) -> Statement {
    let insert = token_insert(token);
    Statement::one(
        format!(
            "{} ON CONFLICT (id) DO UPDATE SET tenant = excluded.tenant, name = excluded.name, \
             role = excluded.role, hash = excluded.hash, created_at = excluded.created_at, \
             expires_at = excluded.expires_at, revoked_at = excluded.revoked_at, person = excluded.person, \
             person_groups = excluded.person_groups, live_rooms = excluded.live_rooms",
            insert.sql
        ),
        insert.params,
    )
}

/// Revokes a token. Must touch one row, otherwise there is no such live token.
pub fn token_revoke(tenant: &Tenant, id: &str, now: Timestamp) -> Statement {
    Statement::one(
        "UPDATE tokens SET revoked_at = $1 WHERE id = $2 AND tenant = $3 AND revoked_at IS NULL",
        params![now, id, tenant.as_str()],
    )
}

/// Finds a token by its hash, revoked and expired ones included.
pub async fn token_find(store: &Store, hash: &str) -> Result<Option<TokenRow>, ReadError> {
    let sql = format!("SELECT {COLUMNS} FROM tokens WHERE hash = $1");
    store.query(sql, params![hash]).await?.pop().map(token_row).transpose()
}

/// Finds a token by its id, in whichever tenant.
pub async fn token_get(store: &Store, id: &str) -> Result<Option<TokenRow>, ReadError> {
    let sql = format!("SELECT {COLUMNS} FROM tokens WHERE id = $1");
    store.query(sql, params![id]).await?.pop().map(token_row).transpose()
}

/// The ids of tokens of all tenants that were revoked at or after `since`.
pub async fn token_list_revoked(store: &Store, since: Timestamp) -> Result<Vec<TokenId>, ReadError> {
    let sql = "SELECT id FROM tokens WHERE revoked_at IS NOT NULL AND revoked_at >= $1";
    let rows = store.query(sql, params![since]).await?;
    rows.into_iter().map(|mut row| Ok(TokenId::from_text(row.text()?))).collect()
}

/// Lists the tokens of a tenant, newest first, from below the id `before`.
pub async fn token_list(
    store: &Store,
    tenant: &Tenant,
    before: Option<&str>,
    limit: i64,
) -> Result<Vec<TokenRow>, ReadError> {
    let sql = format!("SELECT {COLUMNS} FROM tokens WHERE tenant = $1 AND id < $2 ORDER BY id DESC LIMIT $3");
    let values = params![tenant.as_str(), before.unwrap_or("~"), limit];
    store.query(sql, values).await?.into_iter().map(token_row).collect()
}

/// How many tokens with the role `admin` are neither revoked nor expired.
pub async fn token_count_admins(store: &Store, now: Timestamp) -> Result<i64, ReadError> {
    let sql = "SELECT count(*) FROM tokens WHERE role = 'admin' AND revoked_at IS NULL \
               AND (expires_at IS NULL OR expires_at > $1)";
    match store.query(sql, params![now]).await?.pop() {
        Some(mut row) => row.int(),
        None => Ok(0),
    }
}
