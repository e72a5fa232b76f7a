//! Tickets for live connections: made by the holder of a token, good for one connection, for a short time, on any hub.
//! Only their SHA-256 is stored, and a used one is gone.

use trunkline_model::{Timestamp, TokenId};

use crate::{ReadError, Statement, Store, params};

/// Stores a ticket for the holder of a token.
pub fn live_ticket_insert(hash: &str, token_id: &TokenId, expires_at: Timestamp) -> Statement {
    Statement::one(
        "INSERT INTO live_tickets (hash, token_id, expires_at) VALUES ($1, $2, $3)",
        params![hash, token_id.as_str(), expires_at],
    )
}

/// Finds the token that a ticket stands for, unless the ticket has expired by `now`.
pub async fn live_ticket_find(
    store: &Store,
    hash: &str,
    now: Timestamp,
) -> Result<Option<TokenId>, ReadError> {
    let sql = "SELECT token_id FROM live_tickets WHERE hash = $1 AND expires_at > $2";
    let row = store.query(sql, params![hash, now]).await?.pop();
    row.map(|mut row| row.text().map(TokenId::from_text)).transpose()
}

/// Uses a ticket up. Must touch one row, otherwise somebody else was faster.
pub fn live_ticket_use(hash: &str) -> Statement {
    Statement::one("DELETE FROM live_tickets WHERE hash = $1", params![hash])
}

/// Removes tickets that have expired before `now` unused.
pub fn live_ticket_delete_before(now: Timestamp) -> Statement {
    Statement::new("DELETE FROM live_tickets WHERE expires_at < $1", params![now])
}
