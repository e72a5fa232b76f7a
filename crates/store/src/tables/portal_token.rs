//! Tokens for the receiving side: short-lived, for the endpoints of one tenant or some of them. Only their SHA-256 is
//! stored. They live apart from the tokens of [`token`](super::token), so that none can be taken for the other.

use trunkline_model::{PortalTokenId, Tenant, Timestamp};

use crate::{ReadError, Row, Statement, Store, params};

/// One stored token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortalTokenRow {
    /// Public handle.
    pub id: PortalTokenId,
    /// The tenant it acts for.
    pub tenant: Tenant,
    /// For people.
    pub name: String,
    /// Hexadecimal SHA-256 of the token.
    pub hash: String,
    /// The endpoints it is for; every one of the tenant when `None`.
    pub endpoint_ids: Option<Vec<String>>,
    /// Whether it may change nothing.
    pub read_only: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops working.
    pub expires_at: Timestamp,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

const COLUMNS: &str = "id, tenant, name, hash, endpoint_ids, read_only, created_at, expires_at, revoked_at";

fn portal_token_row(mut row: Row) -> Result<PortalTokenRow, ReadError> {
    Ok(PortalTokenRow {
        id: PortalTokenId::from_text(row.text()?),
        tenant: Tenant::from_stored(&row.text()?),
        name: row.text()?,
        hash: row.text()?,
        endpoint_ids: match row.opt_text()? {
            None => None,
            // One that cannot be read must not become one for all.
            Some(json) => Some(serde_json::from_str(&json).map_err(|source| ReadError::Stored {
                what: "endpoints of a portal token",
                source: source.into(),
            })?),
        },
        read_only: row.flag()?,
        created_at: row.time()?,
        expires_at: row.time()?,
        revoked_at: row.opt_time()?,
    })
}

/// Stores a token.
pub fn portal_token_insert(token: &PortalTokenRow) -> Statement {
    let ids = token.endpoint_ids.as_ref().map(|ids| serde_json::Value::from(ids.clone()).to_string());
    Statement::one(
        format!("INSERT INTO portal_tokens ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"),
        params![
            token.id.as_str(),
            token.tenant.as_str(),
            token.name.as_str(),
            token.hash.as_str(),
            ids,
            token.read_only,
            token.created_at,
            token.expires_at,
            token.revoked_at
        ],
    )
}

/// Revokes a token. Must touch one row, otherwise there is no such live token.
pub fn portal_token_revoke(tenant: &Tenant, id: &str, now: Timestamp) -> Statement {
    Statement::one(
        "UPDATE portal_tokens SET revoked_at = $1 WHERE id = $2 AND tenant = $3 AND revoked_at IS NULL",
        params![now, id, tenant.as_str()],
    )
}

/// Removes tokens that expired before a time.
pub fn portal_token_delete_before(before: Timestamp) -> Statement {
    Statement::new("DELETE FROM portal_tokens WHERE expires_at < $1", params![before])
}

/// Finds a token by its hash, revoked and expired ones included.
pub async fn portal_token_find(store: &Store, hash: &str) -> Result<Option<PortalTokenRow>, ReadError> {
    let sql = format!("SELECT {COLUMNS} FROM portal_tokens WHERE hash = $1");
    store.query(sql, params![hash]).await?.pop().map(portal_token_row).transpose()
}

/// Lists the tokens of a tenant, newest first, from below the id `before`.
pub async fn portal_token_list(
    store: &Store,
    tenant: &Tenant,
    before: Option<&str>,
    limit: i64,
) -> Result<Vec<PortalTokenRow>, ReadError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM portal_tokens WHERE tenant = $1 AND id < $2 ORDER BY id DESC LIMIT $3"
    );
    let values = params![tenant.as_str(), before.unwrap_or("~"), limit];
    store.query(sql, values).await?.into_iter().map(portal_token_row).collect()
}
