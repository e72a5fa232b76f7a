//! Deliveries and attempts. The latest attempt lives in the delivery's row, earlier ones in `attempts`: a delivery that
//! succeeds at once costs one row.

use trunkline_model::{AttemptId, DeliveryId, EndpointId, EventId, EventType, Seq, Shard, Tenant, Timestamp};

use super::event::EventPlace;
use super::select::Select;
use super::usage::ADD_SELECTED;
use crate::value::BorrowedValue;
use crate::{Expect, ReadError, Row, Statement, Store, Value, params};

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeliveryState {
    /// Another attempt is due at `next_attempt_at`.
    Pending,
    /// The endpoint took it.
    Succeeded,
    /// All attempts failed.
    Exhausted,
    /// Given up without success; `reason` says why.
    Cancelled,
}

impl DeliveryState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Succeeded, Self::Exhausted, Self::Cancelled];

    /// The stored form.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Succeeded => "succeeded",
            Self::Exhausted => "exhausted",
            Self::Cancelled => "cancelled",
        }
    }

    /// Reads the stored form.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Whether nothing more will happen by itself.
    pub const fn is_terminal(self) -> bool {
        !matches!(self, Self::Pending)
    }
}

/// The outcome of one HTTP try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptOutcome {
    /// Its id.
    pub id: AttemptId,
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took.
    pub duration_us: i64,
    /// HTTP status, when an answer came.
    pub status: Option<i64>,
    /// Why it failed; `None` on success.
    pub error_class: Option<String>,
    /// What went wrong, for people.
    pub error: Option<String>,
    /// Status line, headers and the beginning of the body, at most 16 KiB.
    pub response_head: Option<String>,
    /// From the beginning of the call to the head of the answer.
    pub first_byte_us: Option<i64>,
    /// How the connection was opened, as JSON; `None` when it was there before.
    pub connection: Option<String>,
}

/// One event owed to one endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryRow {
    /// Its id.
    pub id: DeliveryId,
    /// Who owns it.
    pub tenant: Tenant,
    /// The endpoint.
    pub endpoint_id: EndpointId,
    /// Shard of the event.
    pub shard: Shard,
    /// Place of the event in the shard.
    pub seq: Seq,
    /// Id of the event.
    pub event_id: EventId,
    /// Type of the event.
    pub event_type: EventType,
    /// Where it stands.
    pub state: DeliveryState,
    /// Why it was given up, or why it is still pending.
    pub reason: Option<String>,
    /// When it was planned.
    pub created_at: Timestamp,
    /// When the next attempt is due; only while pending.
    pub next_attempt_at: Option<Timestamp>,
    /// When it reached its last state.
    pub finished_at: Option<Timestamp>,
    /// Attempts made.
    pub n_attempts: i64,
    /// The latest attempt.
    pub latest: Option<AttemptOutcome>,
    /// The key whose order is kept; `None` where the endpoint asks for no order.
    pub order_key: Option<String>,
}

/// One attempt with its number, from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptRow {
    /// The delivery.
    pub delivery_id: DeliveryId,
    /// Its number, from 1.
    pub number: i64,
    /// What came of it.
    pub outcome: AttemptOutcome,
}

/// The reason of a pending delivery that its endpoint's filter has not judged yet. Whoever makes it due again keeps it.
pub const UNJUDGED: &str = "waits for its filter";

macro_rules! delivery_columns {
    () => {
        "id, tenant, endpoint_id, shard, seq, event_id, event_type, state, reason, created_at, next_attempt_at, \
         finished_at, n_attempts, attempt_id, started_at, duration_us, status, error_class, error, response_head, \
         first_byte_us, connection, order_key"
    };
}

macro_rules! latest_bytes {
    () => {
        "coalesce(octet_length(attempt_id), 0) + coalesce(octet_length(error), 0) \
         + coalesce(octet_length(response_head), 0) + coalesce(octet_length(connection), 0)"
    };
}

pub(super) const COLUMNS: &str = delivery_columns!();

/// What a delivery counts for in its tenant's size, with its latest attempt.
pub(super) const DELIVERY_BYTES: &str = concat!(
    "(octet_length(id) + octet_length(endpoint_id) + octet_length(event_id) + octet_length(event_type) + ",
    latest_bytes!(),
    ")"
);
/// What the latest attempt in a delivery's row counts for …
const LATEST_BYTES: &str = latest_bytes!();
/// … and an earlier one. Moving an attempt changes nothing.
pub(super) const ATTEMPT_BYTES: &str = "(octet_length(id) + coalesce(octet_length(error), 0) \
     + coalesce(octet_length(response_head), 0) + coalesce(octet_length(connection), 0))";

/// The same as [`DELIVERY_BYTES`], of a row that is about to be stored.
pub(crate) fn stored_bytes(row: &DeliveryRow) -> i64 {
    let attempt = row.latest.as_ref().map_or(0, |latest| {
        let texts = [&latest.error, &latest.response_head, &latest.connection];
        latest.id.as_str().len()
            + texts.into_iter().map(|text| text.as_ref().map_or(0, String::len)).sum::<usize>()
    });
    let ids = [row.id.as_str(), row.endpoint_id.as_str(), row.event_id.as_str(), row.event_type.as_str()];
    (attempt + ids.into_iter().map(str::len).sum::<usize>()) as i64
}

fn outcome(row: &mut Row) -> Result<Option<AttemptOutcome>, ReadError> {
    let (id, started_at, duration_us) = (row.opt_text()?, row.opt_time()?, row.opt_int()?);
    let (status, error_class, error) = (row.opt_int()?, row.opt_text()?, row.opt_text()?);
    let (response_head, first_byte_us, connection) = (row.opt_text()?, row.opt_int()?, row.opt_text()?);
    Ok(id.map(|id| AttemptOutcome {
        id: AttemptId::from_text(id),
        started_at: started_at.unwrap_or_default(),
        duration_us: duration_us.unwrap_or_default(),
        status,
        error_class,
        error,
        response_head,
        first_byte_us,
        connection,
    }))
}

pub(super) fn delivery_row(mut row: Row) -> Result<DeliveryRow, ReadError> {
    Ok(DeliveryRow {
        id: DeliveryId::from_text(row.text()?),
        tenant: Tenant::from_stored(&row.text()?),
        endpoint_id: EndpointId::from_text(row.text()?),
        shard: row.int()?,
        seq: row.int()?,
        event_id: EventId::from_text(row.text()?),
        event_type: EventType::from_stored(&row.text()?),
        state: DeliveryState::parse(&row.text()?)
            .ok_or(ReadError::Stored { what: "delivery state", source: "unknown state".into() })?,
        reason: row.opt_text()?,
        created_at: row.time()?,
        next_attempt_at: row.opt_time()?,
        finished_at: row.opt_time()?,
        n_attempts: row.int()?,
        latest: outcome(&mut row)?,
        order_key: row.opt_text()?,
    })
}

fn outcome_params(latest: Option<&AttemptOutcome>) -> Vec<Value> {
    match latest {
        None => vec![Value::Null; 9],
        Some(latest) => params![
            latest.id.as_str(),
            latest.started_at,
            latest.duration_us,
            latest.status,
            latest.error_class.clone(),
            latest.error.clone(),
            latest.response_head.clone(),
            latest.first_byte_us,
            latest.connection.clone()
        ],
    }
}

/// Inserts one delivery.
pub(crate) const INSERT: &str = concat!(
    "INSERT INTO deliveries (",
    delivery_columns!(),
    ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, \
     $21, $22, $23)"
);

/// The same for arrays, on PostgreSQL.
pub(crate) const INSERT_ALL: &str = concat!(
    "INSERT INTO deliveries (",
    delivery_columns!(),
    ") SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::text[], $7::text[], \
     $8::text[], $9::text[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::text[], $15::bigint[], \
     $16::bigint[], $17::bigint[], $18::text[], $19::text[], $20::text[], $21::bigint[], $22::text[], $23::text[])"
);

/// The columns that hold integers, by position.
pub(crate) const INT_COLUMNS: [usize; 10] = [3, 4, 9, 10, 11, 12, 14, 15, 16, 20];

/// The values of one row, in the order of the columns.
pub(crate) fn columns(row: &DeliveryRow) -> [BorrowedValue<'_>; 23] {
    use BorrowedValue::{Int, Text};
    let latest = row.latest.as_ref();
    let text = |part: fn(&AttemptOutcome) -> Option<&str>| BorrowedValue::opt(latest.and_then(part));
    [
        Text(row.id.as_str()),
        Text(row.tenant.as_str()),
        Text(row.endpoint_id.as_str()),
        Int(row.shard),
        Int(row.seq),
        Text(row.event_id.as_str()),
        Text(row.event_type.as_str()),
        Text(row.state.as_str()),
        BorrowedValue::opt(row.reason.as_deref()),
        Int(row.created_at.as_micros()),
        BorrowedValue::opt_time(row.next_attempt_at),
        BorrowedValue::opt_time(row.finished_at),
        Int(row.n_attempts),
        text(|latest| Some(latest.id.as_str())),
        BorrowedValue::opt_time(latest.map(|latest| latest.started_at)),
        BorrowedValue::opt_int(latest.map(|latest| latest.duration_us)),
        BorrowedValue::opt_int(latest.and_then(|latest| latest.status)),
        text(|latest| latest.error_class.as_deref()),
        text(|latest| latest.error.as_deref()),
        text(|latest| latest.response_head.as_deref()),
        BorrowedValue::opt_int(latest.and_then(|latest| latest.first_byte_us)),
        text(|latest| latest.connection.as_deref()),
        BorrowedValue::opt(row.order_key.as_deref()),
    ]
}

/// Records a further attempt of a stored, pending delivery: the attempt before moves to `attempts`, the row gets this one.
///
/// `delivery` is the row as it shall be. Touches no row when the delivery is not pending any more.
pub fn delivery_record_attempt(delivery: &DeliveryRow) -> Vec<Statement> {
    let keep = (delivery.n_attempts > 1).then(|| Statement::new(
        "INSERT INTO attempts (id, delivery_id, number, started_at, duration_us, status, error_class, error, \
         response_head, first_byte_us, connection) SELECT attempt_id, id, n_attempts, started_at, duration_us, status, \
         error_class, error, response_head, first_byte_us, connection FROM deliveries WHERE id = $1 AND tenant = $2 AND attempt_id IS NOT NULL AND state = 'pending'",
        params![delivery.id.as_str(), delivery.tenant.as_str()],
    ));
    let mut values = params![
        delivery.state.as_str(),
        delivery.reason.clone(),
        delivery.next_attempt_at,
        delivery.finished_at,
        delivery.n_attempts
    ];
    values.extend(outcome_params(delivery.latest.as_ref()));
    values.extend(params![delivery.id.as_str(), delivery.tenant.as_str()]);
    let update = Statement::new(
        "UPDATE deliveries SET state = $1, reason = $2, next_attempt_at = $3, finished_at = $4, n_attempts = $5, \
         attempt_id = $6, started_at = $7, duration_us = $8, status = $9, error_class = $10, error = $11, \
         response_head = $12, first_byte_us = $13, connection = $14 WHERE id = $15 AND tenant = $16 AND state = 'pending'",
        values,
    );
    let count = delivery.latest.as_ref().map(|latest| Statement::new(
        format!(
            "INSERT INTO tenant_usage (tenant, shard, n_events, n_bytes) SELECT tenant, -2 - shard, 0, {LATEST_BYTES} \
             FROM deliveries WHERE id = $1 AND tenant = $2 AND attempt_id = $3 {ADD_SELECTED}"
        ),
        params![delivery.id.as_str(), delivery.tenant.as_str(), latest.id.as_str()],
    ));
    keep.into_iter().chain([update]).chain(count).collect()
}

/// Gives up a pending delivery for `reason`, without an attempt.
pub fn delivery_cancel(tenant: &Tenant, id: &DeliveryId, reason: &str, now: Timestamp) -> Statement {
    Statement::new(
        "UPDATE deliveries SET state = 'cancelled', reason = $1, next_attempt_at = NULL, finished_at = $2 \
         WHERE id = $3 AND tenant = $4 AND state = 'pending'",
        params![reason, now, id.as_str(), tenant.as_str()],
    )
}

/// Gives up a pending delivery at somebody's wish. Must touch one row, otherwise it is gone or has ended.
pub fn delivery_skip(tenant: &Tenant, id: &DeliveryId, reason: &str, now: Timestamp) -> Statement {
    Statement { expect: Expect::Rows(1), ..delivery_cancel(tenant, id, reason, now) }
}

/// Makes a delivery due at `now`, also one that was exhausted or cancelled. Must touch one row, otherwise it is gone
/// or has succeeded.
pub fn delivery_retry_now(tenant: &Tenant, id: &DeliveryId, now: Timestamp) -> Statement {
    Statement::one(
        "UPDATE deliveries SET state = 'pending', reason = NULL, next_attempt_at = $1, finished_at = NULL \
         WHERE id = $2 AND tenant = $3 AND state <> 'succeeded'",
        params![now, id.as_str(), tenant.as_str()],
    )
}

/// Gives up every pending delivery of an endpoint for `reason`.
pub fn delivery_cancel_endpoint(endpoint_id: &EndpointId, reason: &str, now: Timestamp) -> Statement {
    Statement::new(
        "UPDATE deliveries SET state = 'cancelled', reason = $1, next_attempt_at = NULL, finished_at = $2 \
         WHERE endpoint_id = $3 AND state = 'pending'",
        params![reason, now, endpoint_id.as_str()],
    )
}

/// Reads one delivery.
pub async fn delivery_get(
    store: &Store,
    tenant: &Tenant,
    id: &str,
) -> Result<Option<DeliveryRow>, ReadError> {
    let sql = format!("SELECT {COLUMNS} FROM deliveries WHERE id = $1 AND tenant = $2");
    store.query(sql, params![id, tenant.as_str()]).await?.pop().map(delivery_row).transpose()
}

/// Lists the deliveries of one event, oldest first.
pub async fn delivery_list_event(
    store: &Store,
    shard: Shard,
    seq: Seq,
) -> Result<Vec<DeliveryRow>, ReadError> {
    let sql =
        format!("SELECT {COLUMNS} FROM deliveries WHERE shard = $1 AND seq = $2 ORDER BY id LIMIT 1000");
    store.query(sql, params![shard, seq]).await?.into_iter().map(delivery_row).collect()
}

/// What to list.
#[derive(Debug, Clone, Default)]
pub struct DeliveryFilter {
    /// Only this endpoint.
    pub endpoint_id: Option<String>,
    /// Only this state.
    pub state: Option<DeliveryState>,
    /// Only this event type.
    pub event_type: Option<String>,
    /// Only this event.
    pub event_id: Option<String>,
    /// Only ids below this one: the last of the page before.
    pub before: Option<String>,
    /// At most this many.
    pub limit: i64,
}

/// Lists deliveries of a tenant, newest first.
pub async fn delivery_list(
    store: &Store,
    tenant: &Tenant,
    filter: &DeliveryFilter,
) -> Result<Vec<DeliveryRow>, ReadError> {
    let sql = format!("SELECT {COLUMNS} FROM deliveries WHERE tenant = $1");
    let mut select = Select::new(sql, params![tenant.as_str()]);
    select.add_some(" AND endpoint_id = ?", filter.endpoint_id.as_deref());
    select.add_some(" AND state = ?", filter.state.map(DeliveryState::as_str));
    select.add_some(" AND event_type = ?", filter.event_type.as_deref());
    select.add_some(" AND event_id = ?", filter.event_id.as_deref());
    select.add_some(" AND id < ?", filter.before.as_deref());
    select.add(" ORDER BY id DESC LIMIT ?", filter.limit);
    store.query(select.sql, select.values).await?.into_iter().map(delivery_row).collect()
}

/// Lists every attempt of a delivery, oldest first, the latest included.
pub async fn attempt_list(store: &Store, delivery: &DeliveryRow) -> Result<Vec<AttemptRow>, ReadError> {
    let sql = "SELECT number, id, started_at, duration_us, status, error_class, error, response_head, \
               first_byte_us, connection FROM attempts WHERE delivery_id = $1 ORDER BY number";
    let mut attempts = Vec::new();
    for mut row in store.query(sql, params![delivery.id.as_str()]).await? {
        let number = row.int()?;
        if let Some(outcome) = outcome(&mut row)? {
            attempts.push(AttemptRow { delivery_id: delivery.id.clone(), number, outcome });
        }
    }
    if let Some(latest) = &delivery.latest {
        attempts.push(AttemptRow {
            delivery_id: delivery.id.clone(),
            number: delivery.n_attempts,
            outcome: latest.clone(),
        });
    }
    Ok(attempts)
}

/// When the first attempt of a delivery with several attempts began.
pub async fn attempt_first(store: &Store, delivery_id: &DeliveryId) -> Result<Option<Timestamp>, ReadError> {
    let sql = "SELECT started_at FROM attempts WHERE delivery_id = $1 ORDER BY number LIMIT 1";
    let row = store.query(sql, params![delivery_id.as_str()]).await?.pop();
    row.map(|mut row| row.time()).transpose()
}

/// The endpoints of a shard that have pending deliveries, each with the time of the earliest.
pub async fn delivery_list_due_endpoints(
    store: &Store,
    shard: Shard,
) -> Result<Vec<(EndpointId, Timestamp)>, ReadError> {
    let sql = "SELECT endpoint_id, min(next_attempt_at) FROM deliveries \
               WHERE shard = $1 AND state = 'pending' GROUP BY endpoint_id";
    let rows = store.query(sql, params![shard]).await?;
    rows.into_iter().map(|mut row| Ok((EndpointId::from_text(row.text()?), row.time()?))).collect()
}

/// The endpoints of every shard that have pending deliveries, each with the time of the earliest.
pub async fn delivery_list_due_places(
    store: &Store,
) -> Result<Vec<(Shard, EndpointId, Timestamp)>, ReadError> {
    let sql = "SELECT shard, endpoint_id, min(next_attempt_at) FROM deliveries \
               WHERE state = 'pending' GROUP BY shard, endpoint_id";
    let rows = store.query(sql, vec![]).await?;
    rows.into_iter()
        .map(|mut row| Ok((row.int()?, EndpointId::from_text(row.text()?), row.time()?)))
        .collect()
}

/// Lists due deliveries of one endpoint in one shard, the longest overdue first.
pub async fn delivery_list_due(
    store: &Store,
    shard: Shard,
    endpoint_id: &EndpointId,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<DeliveryRow>, ReadError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM deliveries WHERE shard = $1 AND endpoint_id = $2 AND state = 'pending' \
         AND next_attempt_at <= $3 ORDER BY next_attempt_at LIMIT $4"
    );
    let values = params![shard, endpoint_id.as_str(), now, limit];
    store.query(sql, values).await?.into_iter().map(delivery_row).collect()
}

/// How many deliveries of a tenant are pending and overdue since `before`: the reconciliation query.
///
/// A hub that runs keeps this at nought; a figure that stays says that something is stuck.
pub async fn delivery_count_stuck(store: &Store, before: Timestamp) -> Result<i64, ReadError> {
    let sql = "SELECT count(*) FROM deliveries WHERE state = 'pending' AND next_attempt_at < $1";
    match store.query(sql, params![before]).await?.pop() {
        Some(mut row) => row.int(),
        None => Ok(0),
    }
}

/// How many deliveries of an endpoint are pending; counts no further than `enough`.
pub async fn delivery_count_pending(store: &Store, endpoint_id: &str, enough: i64) -> Result<i64, ReadError> {
    // Shard by shard, since the index of what is pending begins with it.
    let sql = "SELECT count(*) FROM (SELECT 1 FROM journal_heads AS h CROSS JOIN deliveries AS d \
               WHERE d.shard = h.shard AND d.endpoint_id = $1 AND d.state = 'pending' LIMIT $2) AS few";
    match store.query(sql, params![endpoint_id, enough]).await?.pop() {
        Some(mut row) => row.int(),
        None => Ok(0),
    }
}

/// A delivery in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryStub {
    /// Its id.
    pub id: DeliveryId,
    /// The endpoint.
    pub endpoint_id: EndpointId,
    /// Where it stands.
    pub state: DeliveryState,
    /// Why it was cancelled, or why it is still pending.
    pub reason: Option<String>,
    /// When the next attempt is due; only while pending.
    pub next_attempt_at: Option<Timestamp>,
    /// Attempts made.
    pub n_attempts: i64,
    /// Why the latest attempt failed.
    pub error_class: Option<String>,
}

/// An event with what was made of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwedEvent {
    /// Where it stands.
    pub place: EventPlace,
    /// Its id.
    pub id: EventId,
    /// Its type.
    pub event_type: EventType,
    /// Who made it.
    pub source: String,
    /// What it is about.
    pub subject: Option<String>,
    /// The key of its own, if it has one.
    pub partition_key: Option<String>,
    /// Its deliveries, in no order.
    pub deliveries: Vec<DeliveryStub>,
}

impl OwedEvent {
    /// The key whose events keep their order.
    pub fn order_key(&self) -> &str {
        self.partition_key.as_deref().or(self.subject.as_deref()).unwrap_or(&self.source)
    }
}

/// Which events to look at.
#[derive(Debug, Clone)]
pub struct OwedFilter {
    /// Only deliveries to this endpoint.
    pub endpoint_id: Option<String>,
    /// Only events of this type, exactly.
    pub event_type: Option<String>,
    /// Stored at or after.
    pub since: Timestamp,
    /// Stored before.
    pub until: Timestamp,
    /// Only events behind this place.
    pub after: Option<EventPlace>,
    /// How many events.
    pub page: OwedPage,
}

/// How many events one look takes. Written into the SQL, so that a planner knows that the join is small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwedPage {
    /// 10 events.
    Small,
    /// 100 events.
    Medium,
    /// 500 events.
    Large,
}

impl OwedPage {
    /// The figure.
    pub const fn n_events(self) -> usize {
        match self {
            Self::Small => 10,
            Self::Medium => 100,
            Self::Large => 500,
        }
    }
}

/// Lists events of a tenant in the order in which they were stored, each with its deliveries: the one question behind
/// "what was missed".
pub async fn delivery_list_owed(
    store: &Store,
    tenant: &Tenant,
    filter: &OwedFilter,
) -> Result<Vec<OwedEvent>, ReadError> {
    let sql = "SELECT page.recorded_at, page.shard, page.seq, page.id, page.type, page.source, \
               page.subject, page.partition_key, d.id, d.endpoint_id, d.state, d.reason, d.next_attempt_at, \
               d.n_attempts, d.error_class FROM (SELECT recorded_at, shard, seq, id, type, source, subject, \
               partition_key FROM events WHERE tenant = $1";
    let mut select = Select::new(sql.to_owned(), params![tenant.as_str()]);
    select.add_some(" AND type = ?", filter.event_type.as_deref());
    select.add(" AND recorded_at >= ?", filter.since);
    select.add(" AND recorded_at < ?", filter.until);
    if let Some(place) = filter.after {
        select.add(" AND (recorded_at, shard, seq) > (?", place.recorded_at);
        select.add(", ?", place.shard);
        select.add(", ?)", place.seq);
    }
    select.sql.push_str(" ORDER BY recorded_at, shard, seq LIMIT ");
    select.sql.push_str(&filter.page.n_events().to_string());
    select.sql.push_str(") AS page LEFT JOIN deliveries AS d ON d.shard = page.shard AND d.seq = page.seq");
    select.add_some(" AND d.endpoint_id = ?", filter.endpoint_id.as_deref());
    let mut events: Vec<OwedEvent> = Vec::new();
    for mut row in store.query(select.sql, select.values).await? {
        let place = EventPlace { recorded_at: row.time()?, shard: row.int()?, seq: row.int()? };
        let (id, event_type, source) = (row.text()?, row.text()?, row.text()?);
        let (subject, partition_key) = (row.opt_text()?, row.opt_text()?);
        let stub = delivery_stub(&mut row)?;
        match events.last_mut() {
            Some(last) if last.place == place => last.deliveries.extend(stub),
            _ => events.push(OwedEvent {
                place,
                id: EventId::from_text(id),
                event_type: EventType::from_stored(&event_type),
                source,
                subject,
                partition_key,
                deliveries: stub.into_iter().collect(),
            }),
        }
    }
    // The join may come in any order, with one event's rows apart.
    events.sort_by_key(|event| (event.place.recorded_at, event.place.shard, event.place.seq));
    events.dedup_by(|later, first| {
        let is_same = later.place == first.place;
        if is_same {
            first.deliveries.append(&mut later.deliveries);
        }
        is_same
    });
    Ok(events)
}

fn delivery_stub(row: &mut Row) -> Result<Option<DeliveryStub>, ReadError> {
    let (id, endpoint_id, state, reason) =
        (row.opt_text()?, row.opt_text()?, row.opt_text()?, row.opt_text()?);
    let (next_attempt_at, n_attempts, error_class) = (row.opt_time()?, row.opt_int()?, row.opt_text()?);
    let (Some(id), Some(endpoint_id), Some(state)) = (id, endpoint_id, state) else { return Ok(None) };
    Ok(Some(DeliveryStub {
        id: DeliveryId::from_text(id),
        endpoint_id: EndpointId::from_text(endpoint_id),
        state: DeliveryState::parse(&state)
            .ok_or(ReadError::Stored { what: "delivery state", source: "unknown state".into() })?,
        reason,
        next_attempt_at,
        n_attempts: n_attempts.unwrap_or_default(),
        error_class,
    }))
}

/// Lists what was made of one event for the endpoints with ids from `low` to `high`.
pub async fn delivery_list_event_between(
    store: &Store,
    (shard, seq): (Shard, Seq),
    (low, high): (&str, &str),
) -> Result<Vec<DeliveryStub>, ReadError> {
    let sql = "SELECT id, endpoint_id, state, reason, next_attempt_at, n_attempts, error_class FROM deliveries \
               WHERE shard = $1 AND seq = $2 AND endpoint_id >= $3 AND endpoint_id <= $4 LIMIT 10000";
    let rows = store.query(sql, params![shard, seq, low, high]).await?;
    let mut stubs = Vec::with_capacity(rows.len());
    for mut row in rows {
        stubs.extend(delivery_stub(&mut row)?);
    }
    Ok(stubs)
}
