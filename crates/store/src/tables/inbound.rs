//! Inbound requests: dedupe keys of accepted calls, and the calls that were quarantined or rejected.
//!
//! An accepted call whose mapping is the identity is no row here: it is one record with its event.

use bytes::Bytes;
use trunkline_model::{InboundId, Tenant, Timestamp};

use super::select::Select;
use crate::{ReadError, Row, Statement, Store, params};

/// Claims a dedupe key; touches no row when it was claimed before.
pub(crate) const CLAIM: &str = "INSERT INTO inbound_seen (source, dedupe_key, inbound_id, seen_at) \
     VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
/// The call that claimed a key.
pub(crate) const FIRST_WITH_KEY: &str =
    "SELECT inbound_id FROM inbound_seen WHERE source = $1 AND dedupe_key = $2";

/// What became of a call that is no event yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Verified, but could not be turned into an event.
    Quarantined,
    /// Not verified.
    Rejected,
    /// Judged again with success; `event_id` names the event.
    Accepted,
}

impl Verdict {
    /// The stored form.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Quarantined => "quarantined",
            Self::Rejected => "rejected",
            Self::Accepted => "accepted",
        }
    }

    /// Reads the stored form.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Quarantined, Self::Rejected, Self::Accepted]
            .into_iter()
            .find(|verdict| verdict.as_str() == text)
    }
}

/// One stored call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboundRow {
    /// Its id.
    pub id: InboundId,
    /// Who owns the source.
    pub tenant: Tenant,
    /// The source's name.
    pub source: String,
    /// When it came.
    pub received_at: Timestamp,
    /// What became of it.
    pub verdict: Verdict,
    /// Why, for people; empty when accepted.
    pub reason: String,
    /// Request line and headers, credentials masked.
    pub head: String,
    /// The body as received; `None` when it was not kept.
    pub body: Option<Bytes>,
    /// The event it became after it was judged again.
    pub event_id: Option<String>,
}

const COLUMNS: &str = "id, tenant, source, received_at, verdict, reason, head, body, event_id";

fn inbound_row(mut row: Row) -> Result<InboundRow, ReadError> {
    Ok(InboundRow {
        id: InboundId::from_text(row.text()?),
        tenant: Tenant::from_stored(&row.text()?),
        source: row.text()?,
        received_at: row.time()?,
        verdict: Verdict::parse(&row.text()?)
            .ok_or(ReadError::Stored { what: "verdict", source: "unknown verdict".into() })?,
        reason: row.text()?,
        head: row.text()?,
        body: row.opt_blob()?,
        event_id: row.opt_text()?,
    })
}

/// Stores a call.
pub fn inbound_insert(inbound: &InboundRow) -> Statement {
    Statement::one(
        "INSERT INTO inbound_requests (id, tenant, source, received_at, verdict, reason, head, body, event_id) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        params![
            inbound.id.as_str(),
            inbound.tenant.as_str(),
            inbound.source.as_str(),
            inbound.received_at,
            inbound.verdict.as_str(),
            inbound.reason.as_str(),
            inbound.head.as_str(),
            inbound.body.clone(),
            inbound.event_id.clone()
        ],
    )
}

/// Marks a call as accepted after it was judged again. Must touch one row, otherwise somebody else did it first.
pub fn inbound_accept(tenant: &Tenant, id: &InboundId, event_id: &str) -> Statement {
    Statement::one(
        "UPDATE inbound_requests SET verdict = 'accepted', reason = '', event_id = $1 \
         WHERE id = $2 AND tenant = $3 AND verdict <> 'accepted'",
        params![event_id, id.as_str(), tenant.as_str()],
    )
}

/// Notes why a call is still no event.
pub fn inbound_set_reason(tenant: &Tenant, id: &InboundId, verdict: Verdict, reason: &str) -> Statement {
    Statement::one(
        "UPDATE inbound_requests SET verdict = $1, reason = $2 WHERE id = $3 AND tenant = $4",
        params![verdict.as_str(), reason, id.as_str(), tenant.as_str()],
    )
}

/// Reads one stored call.
pub async fn inbound_get(store: &Store, tenant: &Tenant, id: &str) -> Result<Option<InboundRow>, ReadError> {
    let sql = format!("SELECT {COLUMNS} FROM inbound_requests WHERE id = $1 AND tenant = $2");
    store.query(sql, params![id, tenant.as_str()]).await?.pop().map(inbound_row).transpose()
}

/// What to list.
#[derive(Debug, Clone, Default)]
pub struct InboundFilter {
    /// Only this source.
    pub source: Option<String>,
    /// Only this verdict.
    pub verdict: Option<Verdict>,
    /// Only calls with an id below this one: the last of the page before.
    pub before: Option<String>,
    /// At most this many.
    pub limit: i64,
}

/// Lists stored calls, newest first.
pub async fn inbound_list(
    store: &Store,
    tenant: &Tenant,
    filter: &InboundFilter,
) -> Result<Vec<InboundRow>, ReadError> {
    let sql = format!("SELECT {COLUMNS} FROM inbound_requests WHERE tenant = $1");
    let mut select = Select::new(sql, params![tenant.as_str()]);
    select.add_some(" AND source = ?", filter.source.as_deref());
    select.add_some(" AND verdict = ?", filter.verdict.map(Verdict::as_str));
    select.add_some(" AND id < ?", filter.before.as_deref());
    select.add(" ORDER BY id DESC LIMIT ?", filter.limit);
    store.query(select.sql, select.values).await?.into_iter().map(inbound_row).collect()
}

/// Deletes all but the newest `keep` rejected calls of a source.
pub fn inbound_trim_rejected(source: &str, keep: i64) -> Statement {
    Statement::new(
        "DELETE FROM inbound_requests WHERE source = $1 AND verdict = 'rejected' AND id <= \
         (SELECT id FROM inbound_requests WHERE source = $2 AND verdict = 'rejected' \
          ORDER BY id DESC LIMIT 1 OFFSET $3)",
        params![source, source, keep],
    )
}

/// How many of a tenant's `limit` oldest calls came before a time.
pub async fn inbound_count_expired(
    store: &Store,
    tenant: &Tenant,
    before: Timestamp,
    limit: i64,
) -> Result<i64, ReadError> {
    let sql = "SELECT count(*) FROM (SELECT received_at FROM inbound_requests WHERE tenant = $1 ORDER BY id LIMIT $2) \
               AS page WHERE received_at < $3";
    let row = store.query(sql, params![tenant.as_str(), limit, before]).await?.pop();
    row.map_or(Ok(0), |mut row| row.int())
}

/// Deletes those of a tenant's `limit` oldest calls that came before a time.
pub fn inbound_delete_expired(tenant: &Tenant, before: Timestamp, limit: i64) -> Statement {
    Statement::new(
        "DELETE FROM inbound_requests WHERE id IN \
         (SELECT id FROM inbound_requests WHERE tenant = $1 ORDER BY id LIMIT $2) AND received_at < $3",
        params![tenant.as_str(), limit, before],
    )
}

/// Claims a key that nothing has claimed before. Must touch one row, otherwise something has.
pub fn seen_claim(source: &str, key: &str, inbound_id: &InboundId, now: Timestamp) -> Statement {
    Statement::one(CLAIM, params![source, key, inbound_id.as_str(), now])
}

/// One remembered dedupe key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenRow {
    /// The source's name.
    pub source: String,
    /// The scheme's id of the call.
    pub key: String,
    /// When the call came.
    pub seen_at: Timestamp,
}

/// Lists remembered keys after a place, in key order: one slice of the sweep that forgets old ones.
pub async fn seen_list_after(
    store: &Store,
    after: &(String, String),
    limit: i64,
) -> Result<Vec<SeenRow>, ReadError> {
    let sql = "SELECT source, dedupe_key, seen_at FROM inbound_seen WHERE (source, dedupe_key) > ($1, $2) \
               ORDER BY source, dedupe_key LIMIT $3";
    let rows = store.query(sql, params![after.0.as_str(), after.1.as_str(), limit]).await?;
    rows.into_iter()
        .map(|mut row| Ok(SeenRow { source: row.text()?, key: row.text()?, seen_at: row.time()? }))
        .collect()
}

/// Forgets one remembered key.
pub fn seen_delete(source: &str, key: &str) -> Statement {
    Statement::new("DELETE FROM inbound_seen WHERE source = $1 AND dedupe_key = $2", params![source, key])
}
