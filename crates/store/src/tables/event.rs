//! Events in the journal: the hot insert, and every way of reading them back.

use std::collections::BTreeMap;

use trunkline_model::{
    Data, Event, EventId, EventRecord, EventType, Seq, Shard, Tenant, Timestamp, event::ExtensionValue,
};

use super::delivery::{ATTEMPT_BYTES, DELIVERY_BYTES};
use super::select::Select;
use crate::value::BorrowedValue;
use crate::{NewEvent, ReadError, Row, Statement, Store, Value, params};

/// Columns in the order of [`columns`] and [`INSERT`].
macro_rules! event_columns {
    () => {
        "shard, seq, recorded_at, id, tenant, source, type, time, subject, correlation_id, causation_id, \
         partition_key, content_type, data_schema, traceparent, extensions, data_form, data, request_head"
    };
}

/// Columns in the order in which [`columns`] gives them.
pub(crate) const COLUMNS: &str = event_columns!();

/// Inserts one event; touches no row when its id and source are there already.
pub(crate) const INSERT: &str = concat!(
    "INSERT INTO events (",
    event_columns!(),
    ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19) \
     ON CONFLICT (id, tenant, source) DO NOTHING"
);

/// Where the event with an id and source stands.
pub(crate) const FIND_PLACE: &str =
    "SELECT shard, seq FROM events WHERE id = $1 AND tenant = $2 AND source = $3";

/// The extension attributes as JSON; `None` when there are none.
pub(crate) fn extensions_json(event: &Event) -> Option<String> {
    if event.extensions.is_empty() {
        return None;
    }
    Some(serde_json::to_string(&event.extensions).expect("invariant: flat string maps serialise"))
}

/// The values of one event row, in the order of [`COLUMNS`].
pub(crate) fn columns<'a>(
    new: &'a NewEvent,
    shard: Shard,
    seq: Seq,
    extensions: Option<&'a str>,
) -> [BorrowedValue<'a>; 19] {
    use BorrowedValue::{Blob, Int, Null, Text};
    let event = &new.event;
    let starts_journey = *event.correlationid == *event.id.as_str();
    [
        Int(shard),
        Int(seq),
        Int(new.recorded_at.as_micros()),
        Text(event.id.as_str()),
        Text(event.tenant.as_str()),
        Text(&event.source),
        Text(event.event_type.as_str()),
        Int(event.time.as_micros()),
        BorrowedValue::opt(event.subject.as_deref()),
        if starts_journey { Null } else { Text(&event.correlationid) },
        BorrowedValue::opt(event.causationid.as_deref()),
        BorrowedValue::opt(event.partitionkey.as_deref()),
        BorrowedValue::opt(event.datacontenttype.as_deref()),
        BorrowedValue::opt(event.dataschema.as_deref()),
        BorrowedValue::opt(event.traceparent.as_deref()),
        BorrowedValue::opt(extensions),
        Int(match event.data {
            Data::None => 0,
            Data::Json(_) => 1,
            Data::Binary(_) => 2,
            Data::Envelope(_) => 3,
        }),
        if matches!(event.data, Data::None) { Null } else { Blob(event.data.as_stored()) },
        BorrowedValue::opt(new.request_head.as_deref()),
    ]
}

/// What an event counts for in its tenant's size: content, request head and attributes.
pub(crate) fn stored_bytes(new: &NewEvent) -> i64 {
    let event = &new.event;
    let n_bytes = event.data.len_bytes()
        + new.request_head.as_ref().map_or(0, String::len)
        + event.id.as_str().len()
        + event.source.len()
        + event.event_type.as_str().len()
        + event.subject.as_ref().map_or(0, String::len);
    n_bytes as i64
}

/// The same figure in SQL, for retention.
const STORED_BYTES_SQL: &str = "coalesce(octet_length(data), 0) + coalesce(octet_length(request_head), 0) \
     + octet_length(id) + octet_length(source) + octet_length(type) + coalesce(octet_length(subject), 0)";

fn event_record(mut row: Row) -> Result<EventRecord, ReadError> {
    let (shard, seq, recorded_at) = (row.int()?, row.int()?, row.time()?);
    let id = EventId::from_text(row.text()?);
    let tenant = Tenant::from_stored(&row.text()?);
    let source = row.text()?.into();
    let event_type = EventType::from_stored(&row.text()?);
    let (time, subject) = (row.time()?, row.opt_text()?);
    let correlationid = row.opt_text()?.map_or_else(|| id.clone().into_shared(), Into::into);
    let (causationid, partitionkey) = (row.opt_text()?, row.opt_text()?);
    let (datacontenttype, dataschema, traceparent) = (row.opt_text()?, row.opt_text()?, row.opt_text()?);
    let extensions = match row.opt_text()? {
        None => BTreeMap::new(),
        Some(json) => serde_json::from_str::<BTreeMap<String, ExtensionValue>>(&json)
            .map_err(|source| ReadError::Stored { what: "extensions", source: source.into() })?,
    };
    let form = row.int()?;
    let bytes = row.opt_blob()?.unwrap_or_default();
    let data = match form {
        0 => Data::None,
        1 => Data::Json(bytes),
        3 => Data::Envelope(bytes),
        _ => Data::Binary(bytes),
    };
    let event = Event {
        id,
        source,
        event_type,
        subject,
        time,
        datacontenttype,
        dataschema,
        data,
        tenant,
        correlationid,
        causationid,
        partitionkey,
        traceparent,
        extensions,
    };
    Ok(EventRecord { shard, seq, recorded_at, event, request_head: row.opt_text()? })
}

async fn records(
    store: &Store,
    sql: impl Into<std::borrow::Cow<'static, str>>,
    values: Vec<Value>,
) -> Result<Vec<EventRecord>, ReadError> {
    store.query_as(sql, values, event_record).await
}

/// Reads a shard from behind `after`, at most `max` events, oldest first.
pub async fn event_read(
    store: &Store,
    shard: Shard,
    after: Seq,
    max: i64,
) -> Result<Vec<EventRecord>, ReadError> {
    const SQL: &str = concat!(
        "SELECT ",
        event_columns!(),
        " FROM events WHERE seq > $1 AND shard = $2 ORDER BY seq LIMIT $3"
    );
    records(store, SQL, params![after, shard, max]).await
}

/// Reads the event at a place.
pub async fn event_at(store: &Store, shard: Shard, seq: Seq) -> Result<Option<EventRecord>, ReadError> {
    let sql = format!("SELECT {COLUMNS} FROM events WHERE shard = $1 AND seq = $2");
    Ok(records(store, sql, params![shard, seq]).await?.pop())
}

/// The most events that [`event_list_at`] reads at once.
pub const MAX_PLACES: usize = 16;

/// Reads the events at some places of a shard, at most [`MAX_PLACES`], in any order. What is gone is left out.
pub async fn event_list_at(store: &Store, shard: Shard, seqs: &[Seq]) -> Result<Vec<EventRecord>, ReadError> {
    const SQL: &str = concat!(
        "SELECT ",
        event_columns!(),
        " FROM events WHERE seq IN ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) \
         AND shard = $17"
    );
    debug_assert!(seqs.len() <= MAX_PLACES);
    let Some(last) = seqs.last() else { return Ok(Vec::new()) };
    // Always as many parameters, so that the statement is prepared once.
    let places = seqs.iter().chain(std::iter::repeat(last)).take(MAX_PLACES);
    records(store, SQL, places.chain([&shard]).map(|value| Value::Int(*value)).collect()).await
}

/// Finds an event by id, the newest when several sources used the same one.
pub async fn event_get(store: &Store, tenant: &Tenant, id: &str) -> Result<Option<EventRecord>, ReadError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM events WHERE id = $1 AND tenant = $2 ORDER BY recorded_at DESC LIMIT 1"
    );
    Ok(records(store, sql, params![id, tenant.as_str()]).await?.pop())
}

/// Lists the events of a journey, oldest first: the one it is named after and all that followed.
pub async fn event_list_journey(
    store: &Store,
    tenant: &Tenant,
    correlation_id: &str,
    limit: i64,
) -> Result<Vec<EventRecord>, ReadError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM events WHERE correlation_id = $1 AND tenant = $2 \
         UNION ALL SELECT {COLUMNS} FROM events WHERE id = $3 AND tenant = $4 AND correlation_id IS NULL \
         ORDER BY recorded_at, shard, seq LIMIT $5"
    );
    let values = params![correlation_id, tenant.as_str(), correlation_id, tenant.as_str(), limit];
    records(store, sql, values).await
}

/// A place in the order of [`event_list`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventPlace {
    /// When the event was stored.
    pub recorded_at: Timestamp,
    /// Its shard.
    pub shard: Shard,
    /// Its position there.
    pub seq: Seq,
}

/// What to list.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    /// Only this type, exactly.
    pub event_type: Option<String>,
    /// Only this source.
    pub source: Option<String>,
    /// Only this subject.
    pub subject: Option<String>,
    /// Stored at or after.
    pub since: Option<Timestamp>,
    /// Stored before.
    pub until: Option<Timestamp>,
    /// Only events that come after this one in the list's order: the last of the page before.
    pub beyond: Option<EventPlace>,
    /// At most this many.
    pub limit: i64,
}

/// Lists events of a tenant, newest first.
pub async fn event_list(
    store: &Store,
    tenant: &Tenant,
    filter: &EventFilter,
) -> Result<Vec<EventRecord>, ReadError> {
    let sql = format!("SELECT {COLUMNS} FROM events WHERE tenant = $1");
    let mut select = Select::new(sql, params![tenant.as_str()]);
    select.add_some(" AND type = ?", filter.event_type.as_deref());
    select.add_some(" AND source = ?", filter.source.as_deref());
    select.add_some(" AND subject = ?", filter.subject.as_deref());
    select.add_some(" AND recorded_at >= ?", filter.since);
    select.add_some(" AND recorded_at < ?", filter.until);
    if let Some(place) = filter.beyond {
        select.add(" AND (recorded_at, shard, seq) < (?", place.recorded_at);
        select.add(", ?", place.shard);
        select.add(", ?)", place.seq);
    }
    select.add(" ORDER BY recorded_at DESC, shard DESC, seq DESC LIMIT ?", filter.limit);
    records(store, select.sql, select.values).await
}

/// An event that retention may remove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventStub {
    /// Where it stands.
    pub place: EventPlace,
    /// What it counts for in its tenant's size.
    pub n_bytes: i64,
    /// What its deliveries count for, with all attempts.
    pub n_delivery_bytes: i64,
    /// How many of its deliveries are still owed.
    pub n_owed: i64,
}

/// Lists the oldest events of a tenant, oldest first: the candidates of retention.
pub async fn event_list_oldest(
    store: &Store,
    tenant: &Tenant,
    limit: i64,
) -> Result<Vec<EventStub>, ReadError> {
    let sql = format!(
        "SELECT recorded_at, shard, seq, {STORED_BYTES_SQL}, \
         (SELECT CAST(coalesce(sum({DELIVERY_BYTES} + (SELECT coalesce(sum({ATTEMPT_BYTES}), 0) FROM attempts \
         WHERE delivery_id = deliveries.id)), 0) AS BIGINT) FROM deliveries \
         WHERE deliveries.shard = events.shard AND deliveries.seq = events.seq), \
         (SELECT count(*) FROM deliveries WHERE deliveries.shard = events.shard AND deliveries.seq = events.seq \
         AND state = 'pending') \
         FROM events WHERE tenant = $1 ORDER BY recorded_at, shard, seq LIMIT $2"
    );
    let rows = store.query(sql, params![tenant.as_str(), limit]).await?;
    rows.into_iter()
        .map(|mut row| {
            let place = EventPlace { recorded_at: row.time()?, shard: row.int()?, seq: row.int()? };
            let (n_bytes, n_delivery_bytes, n_owed) = (row.int()?, row.int()?, row.int()?);
            Ok(EventStub { place, n_bytes, n_delivery_bytes, n_owed })
        })
        .collect()
}

/// Removes one event.
pub fn event_delete(shard: Shard, seq: Seq) -> Statement {
    Statement::one("DELETE FROM events WHERE shard = $1 AND seq = $2", params![shard, seq])
}

/// The newest seq of each shard.
pub async fn head_list(store: &Store) -> Result<Vec<(Shard, Seq)>, ReadError> {
    let rows = store.query("SELECT shard, seq FROM journal_heads ORDER BY shard", vec![]).await?;
    rows.into_iter().map(|mut row| Ok((row.int()?, row.int()?))).collect()
}
