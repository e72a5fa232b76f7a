//! Sums of attempts and deliveries by endpoint, event type and time: what figures are shown from, so that showing them
//! costs the same however long the history is.
//!
//! ```text
//! dispatch's commit ── one delta ──► delivery_stats_deltas ── fold ──► 5 minutes ── 2 days ──► hours ── 90 days ──► days
//! ```
//!
//! A delta is in the commit that records its attempts, so the sums are exact whatever crashes. A fold adds deltas to their
//! buckets and removes them; a roll-up adds old buckets to wider ones and removes them. Both name how many rows they remove:
//! of two that work on the same ones, on different hubs, only one is applied. Rows are touched in the order of their keys,
//! so that two never wait for each other.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use serde_json::{Value as Json, json};
use trunkline_model::{EndpointId, EventType, Tenant, Timestamp};

use super::delivery::{DeliveryRow, delivery_cancel_endpoint};
use super::select::Select;
use crate::{Dialect, Expect, ReadError, Row, Statement, Store, Value, params};

/// Families of error classes.
pub const FAILURE_FAMILIES: [&str; 6] = ["http_4xx", "http_5xx", "http_other", "timeout", "network", "hub"];
/// Upper bounds of the latency buckets in microseconds: five a decade. The last bucket has none.
pub const LATENCY_BOUNDS_US: [i64; 23] = [
    1_000, 1_600, 2_500, 4_000, 6_300, 10_000, 16_000, 25_000, 40_000, 63_000, 100_000, 160_000, 250_000,
    400_000, 630_000, 1_000_000, 1_600_000, 2_500_000, 4_000_000, 6_300_000, 10_000_000, 16_000_000,
    25_000_000,
];
/// How many latency buckets there are.
pub const N_LATENCIES: usize = LATENCY_BOUNDS_US.len() + 1;
const N_FIGURES: usize = 1 + FAILURE_FAMILIES.len() + 3 + N_LATENCIES;
/// The most groups of one answer.
const MAX_GROUPS: i64 = 10_000;

/// How long a bucket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatsWidth {
    /// Five minutes; kept for two days.
    FiveMinutes,
    /// An hour; kept for 90 days.
    Hour,
    /// A day of UTC; kept for two years.
    Day,
}

impl StatsWidth {
    /// Every width, the finest first.
    pub const ALL: [Self; 3] = [Self::FiveMinutes, Self::Hour, Self::Day];

    /// The width in seconds.
    pub const fn as_secs(self) -> i64 {
        match self {
            Self::FiveMinutes => 300,
            Self::Hour => 3600,
            Self::Day => 86_400,
        }
    }

    /// How long such buckets are kept.
    pub const fn kept_for(self) -> Duration {
        match self {
            Self::FiveMinutes => Duration::from_hours(48),
            Self::Hour => Duration::from_hours(90 * 24),
            Self::Day => Duration::from_hours(730 * 24),
        }
    }

    /// What such buckets are rolled up to.
    pub const fn wider(self) -> Option<Self> {
        match self {
            Self::FiveMinutes => Some(Self::Hour),
            Self::Hour => Some(Self::Day),
            Self::Day => None,
        }
    }

    /// The bucket that a time lies in.
    pub const fn floor(self, at: Timestamp) -> Timestamp {
        let width = self.as_secs() * 1_000_000;
        Timestamp::from_micros(at.as_micros().div_euclid(width) * width)
    }
}

/// Sums.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StatsCounts {
    /// Attempts that the endpoint took.
    pub n_successes: i64,
    /// Attempts that failed, in the order of [`FAILURE_FAMILIES`].
    pub failures: [i64; FAILURE_FAMILIES.len()],
    /// Deliveries that ended as succeeded, exhausted, cancelled.
    pub ended: [i64; 3],
    /// Attempts that were answered, by how long they took.
    pub latency: [i64; N_LATENCIES],
}

impl StatsCounts {
    /// Attempts that failed.
    pub fn n_failures(&self) -> i64 {
        self.failures.iter().sum()
    }

    /// All attempts.
    pub fn n_attempts(&self) -> i64 {
        self.n_successes + self.n_failures()
    }

    /// Notes how long an answered attempt took.
    pub fn note_latency(&mut self, duration_us: i64) {
        self.latency[LATENCY_BOUNDS_US.partition_point(|bound| *bound <= duration_us)] += 1;
    }

    /// Adds other sums.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.figures_mut().into_iter().zip(other.figures()) {
            *mine += theirs;
        }
    }

    /// In the order of the columns.
    fn figures(&self) -> [i64; N_FIGURES] {
        let mut copy = *self;
        copy.figures_mut().map(|figure| *figure)
    }

    fn figures_mut(&mut self) -> [&mut i64; N_FIGURES] {
        let mut all = std::iter::once(&mut self.n_successes)
            .chain(&mut self.failures)
            .chain(&mut self.ended)
            .chain(&mut self.latency);
        std::array::from_fn(|_| all.next().expect("invariant: there are as many figures as columns"))
    }
}

static FIGURES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let families = FAILURE_FAMILIES.iter().map(|family| format!("n_{family}"));
    let ended = ["n_succeeded", "n_exhausted", "n_cancelled"].map(str::to_owned);
    std::iter::once("n_successes".to_owned())
        .chain(families)
        .chain(ended)
        .chain((0..N_LATENCIES).map(|index| format!("l{index}")))
        .collect()
});
static COLUMNS: LazyLock<String> =
    LazyLock::new(|| format!("tenant, width_s, bucket_at, endpoint_id, event_type, {}", FIGURES.join(", ")));
/// Sums of every figure; PostgreSQL's own sums of BIGINT are no integers.
static SUMS: LazyLock<String> = LazyLock::new(|| {
    let sums: Vec<String> = FIGURES.iter().map(|name| format!("CAST(sum({name}) AS BIGINT)")).collect();
    sums.join(", ")
});
/// Adds what an INSERT holds to the row that is there.
static ADD: LazyLock<String> = LazyLock::new(|| {
    let sets: Vec<String> =
        FIGURES.iter().map(|name| format!("{name} = delivery_stats.{name} + excluded.{name}")).collect();
    let key = "(tenant, width_s, bucket_at, endpoint_id, event_type)";
    format!("ON CONFLICT {key} DO UPDATE SET {}", sets.join(", "))
});
static ADD_ROW: LazyLock<String> = LazyLock::new(|| {
    let marks: Vec<String> = (1..=5 + N_FIGURES).map(|index| format!("${index}")).collect();
    format!("INSERT INTO delivery_stats ({}) VALUES ({}) {}", *COLUMNS, marks.join(", "), *ADD)
});

/// Whose sums they are: tenant, endpoint, event type and the time of a five-minute bucket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    tenant: Tenant,
    bucket_at: i64,
    endpoint_id: EndpointId,
    event_type: EventType,
}

/// What has become of a stored delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatsChange {
    /// It was attempted once more.
    Attempt,
    /// It was given up without an attempt.
    Cancel,
}

/// What a commit adds to the sums.
#[derive(Debug, Clone, Default)]
pub struct StatsDelta(BTreeMap<Key, StatsCounts>);

impl StatsDelta {
    /// Whether there is nothing to add.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The sums of an endpoint and a type at a time.
    pub fn entry(
        &mut self,
        tenant: &Tenant,
        endpoint_id: &EndpointId,
        event_type: &EventType,
        at: Timestamp,
    ) -> &mut StatsCounts {
        let key = Key {
            tenant: tenant.clone(),
            bucket_at: StatsWidth::FiveMinutes.floor(at).as_micros(),
            endpoint_id: endpoint_id.clone(),
            event_type: event_type.clone(),
        };
        self.0.entry(key).or_default()
    }

    /// Stores the delta under an id that no other has; ids should grow.
    pub fn to_statement(&self, id: &str) -> Statement {
        let sql = "INSERT INTO delivery_stats_deltas (id, body) VALUES ($1, $2)";
        Statement::one(sql, params![id, self.to_json()])
    }

    /// The same, if the statement before has changed a stored delivery to `row`: given up or retried by somebody else
    /// meanwhile, it is that one's to count.
    pub fn to_statement_if(&self, id: &str, row: &DeliveryRow, by: StatsChange) -> Statement {
        let insert = "INSERT INTO delivery_stats_deltas (id, body) SELECT $1, $2 FROM deliveries \
                      WHERE tenant = $3 AND id = $4";
        let mut values = params![id, self.to_json(), row.tenant.as_str(), row.id.as_str()];
        let guard = match &row.latest {
            Some(latest) if by == StatsChange::Attempt => {
                values.push(latest.id.as_str().into());
                "attempt_id = $5"
            }
            _ => {
                values.push(row.finished_at.unwrap_or(row.created_at).into());
                "state = 'cancelled' AND finished_at = $5"
            }
        };
        let sql = format!("{insert} AND {guard}");
        Statement::new(sql, values)
    }

    fn to_json(&self) -> String {
        let rows: Vec<Json> = self
            .0
            .iter()
            .map(|(key, counts)| {
                let figures: Vec<(usize, i64)> =
                    counts.figures().into_iter().enumerate().filter(|(_, n)| *n != 0).collect();
                let (tenant, endpoint_id) = (key.tenant.as_str(), key.endpoint_id.as_str());
                json!([tenant, endpoint_id, key.event_type.as_str(), key.bucket_at, figures])
            })
            .collect();
        Json::Array(rows).to_string()
    }

    fn take_stored(&mut self, body: &str) -> Result<(), ReadError> {
        type Stored = (String, String, String, i64, Vec<(usize, i64)>);
        let rows: Vec<Stored> = serde_json::from_str(body)
            .map_err(|source| ReadError::Stored { what: "delivery figures", source: source.into() })?;
        for (tenant, endpoint_id, event_type, bucket_at, figures) in rows {
            let key = Key {
                tenant: Tenant::from_stored(&tenant),
                bucket_at,
                endpoint_id: EndpointId::from_text(endpoint_id),
                event_type: EventType::from_stored(&event_type),
            };
            let counts = self.0.entry(key).or_default();
            let mut all = counts.figures_mut();
            for (index, n) in figures {
                if let Some(figure) = all.get_mut(index) {
                    **figure += n;
                }
            }
        }
        Ok(())
    }
}

/// Deltas read to be folded.
#[derive(Debug, Default)]
pub struct StatsFold {
    sums: StatsDelta,
    last_id: String,
    /// How many there are.
    pub n_deltas: u64,
}

/// Reads the oldest deltas, at most `limit`.
pub async fn stats_delta_list(store: &Store, limit: i64) -> Result<StatsFold, ReadError> {
    let sql = "SELECT id, body FROM delivery_stats_deltas ORDER BY id LIMIT $1";
    let mut fold = StatsFold::default();
    for mut row in store.query(sql, params![limit]).await? {
        fold.last_id = row.text()?;
        fold.n_deltas += 1;
        fold.sums.take_stored(&row.text()?)?;
    }
    Ok(fold)
}

impl StatsFold {
    /// Adds the deltas to their buckets and removes them; refused when somebody else has taken one of them, or when one
    /// has come in between.
    ///
    /// What is nearly as old as five-minute buckets get goes to the hour at once: the roll-up must not meet a row that
    /// is still written.
    pub fn into_statements(self, now: Timestamp) -> Vec<Statement> {
        type Place = (Tenant, i64, i64, EndpointId, EventType);
        let old = now.minus(StatsWidth::FiveMinutes.kept_for()).plus(Duration::from_hours(1));
        let remove = Statement {
            expect: Expect::Rows(self.n_deltas),
            ..Statement::new("DELETE FROM delivery_stats_deltas WHERE id <= $1", params![self.last_id])
        };
        let mut rows: BTreeMap<Place, StatsCounts> = BTreeMap::new();
        for (key, counts) in self.sums.0 {
            let at = Timestamp::from_micros(key.bucket_at);
            let width = if at < old { StatsWidth::Hour } else { StatsWidth::FiveMinutes };
            let bucket_at = width.floor(at).as_micros();
            let place = (key.tenant, width.as_secs(), bucket_at, key.endpoint_id, key.event_type);
            rows.entry(place).or_default().add(&counts);
        }
        let add = |((tenant, width_s, bucket_at, endpoint_id, event_type), counts): (Place, StatsCounts)| {
            let (tenant, endpoint_id) = (tenant.as_str(), endpoint_id.as_str());
            let mut values: Vec<Value> =
                params![tenant, width_s, bucket_at, endpoint_id, event_type.as_str()];
            values.extend(counts.figures().into_iter().map(Value::Int));
            Statement::new(ADD_ROW.as_str(), values)
        };
        std::iter::once(remove).chain(rows.into_iter().map(add)).collect()
    }
}

/// Gives up every pending delivery of an endpoint for `reason`, and counts them.
pub fn delivery_stats_cancel_endpoint(
    dialect: Dialect,
    endpoint_id: &EndpointId,
    reason: &str,
    now: Timestamp,
) -> Vec<Statement> {
    let cancel = delivery_cancel_endpoint(endpoint_id, reason, now);
    let bucket_at = StatsWidth::FiveMinutes.floor(now);
    let ones = |name: &String| if name == "n_cancelled" { "count(*)" } else { "0" };
    let figures = FIGURES.iter().map(ones).collect::<Vec<_>>().join(", ");
    let insert = format!("INSERT INTO delivery_stats ({})", *COLUMNS);
    match dialect {
        // What another hub gives up at the same time is counted by that one: the rows come from the change itself.
        Dialect::Postgres => {
            let at = cancel.params.len() + 1;
            let sql = format!(
                "WITH gone AS ({} RETURNING tenant, endpoint_id, event_type) {insert} \
                 SELECT tenant, 300, ${at}::bigint, endpoint_id, event_type, {figures} FROM gone \
                 GROUP BY tenant, endpoint_id, event_type ORDER BY event_type {}",
                cancel.sql, *ADD
            );
            let mut values = cancel.params;
            values.push(bucket_at.into());
            vec![Statement::new(sql, values)]
        }
        Dialect::Sqlite => {
            let sql = format!(
                "{insert} SELECT tenant, 300, $1, endpoint_id, event_type, {figures} FROM deliveries \
                 WHERE endpoint_id = $2 AND state = 'pending' GROUP BY tenant, endpoint_id, event_type {}",
                *ADD
            );
            vec![Statement::new(sql, params![bucket_at, endpoint_id.as_str()]), cancel]
        }
    }
}

/// Which sums to read.
#[derive(Debug, Clone)]
pub struct StatsFilter {
    /// Only these endpoints; all when `None`.
    pub endpoint_ids: Option<Vec<String>>,
    /// Only this type.
    pub event_type: Option<String>,
    /// From the bucket in which this time lies …
    pub since: Timestamp,
    /// … to the last that begins before this one.
    pub until: Timestamp,
}

/// What sums are told apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatsGroup {
    /// Stretches of time of this width.
    Time(StatsWidth),
    /// Endpoints.
    Endpoint,
    /// Event types.
    EventType,
}

/// A group of sums.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum StatsKey {
    /// Where the stretch begins.
    Time(Timestamp),
    /// An endpoint's id, or an event type.
    Name(String),
}

/// Reads sums of a tenant by group, at most 10,000 groups, in the order of their keys.
///
/// Times lie on bounds of the buckets: of stretches shorter than the buckets that are left of them the first has it all.
pub async fn delivery_stats_list(
    store: &Store,
    tenant: &Tenant,
    filter: &StatsFilter,
    group: StatsGroup,
) -> Result<BTreeMap<StatsKey, StatsCounts>, ReadError> {
    let mut found: BTreeMap<StatsKey, StatsCounts> = BTreeMap::new();
    let all = [None];
    let some: Option<Vec<Option<&str>>> =
        filter.endpoint_ids.as_ref().map(|ids| ids.iter().map(|id| Some(id.as_str())).collect());
    for endpoint_id in some.as_deref().unwrap_or(&all) {
        for width in StatsWidth::ALL {
            let select = stats_select(tenant, filter, (*endpoint_id, width), group);
            for mut row in store.query(select.sql, select.values).await? {
                let key = match group {
                    StatsGroup::Time(_) => StatsKey::Time(row.time()?),
                    StatsGroup::Endpoint | StatsGroup::EventType => StatsKey::Name(row.text()?),
                };
                found.entry(key).or_default().add(&counts(&mut row)?);
            }
        }
    }
    Ok(found)
}

fn stats_select(
    tenant: &Tenant,
    filter: &StatsFilter,
    (endpoint_id, width): (Option<&str>, StatsWidth),
    group: StatsGroup,
) -> Select {
    let key = match group {
        StatsGroup::Time(step) => format!("bucket_at - bucket_at % {}", step.as_secs() * 1_000_000),
        StatsGroup::Endpoint => "endpoint_id".to_owned(),
        StatsGroup::EventType => "event_type".to_owned(),
    };
    let sql = format!("SELECT {key}, {} FROM delivery_stats WHERE tenant = $1", *SUMS);
    let mut select = Select::new(sql, params![tenant.as_str()]);
    select.add_some(" AND endpoint_id = ?", endpoint_id);
    select.add(" AND width_s = ?", width.as_secs());
    select.add(" AND bucket_at >= ?", width.floor(filter.since));
    select.add(" AND bucket_at < ?", filter.until);
    select.add_some(" AND event_type = ?", filter.event_type.as_deref());
    select.add(" GROUP BY 1 LIMIT ?", MAX_GROUPS);
    select
}

fn counts(row: &mut Row) -> Result<StatsCounts, ReadError> {
    let mut counts = StatsCounts::default();
    for figure in counts.figures_mut() {
        *figure = row.int()?;
    }
    Ok(counts)
}

/// The oldest bucket of a width that begins before a time: its tenant, its time, and how many rows it has.
pub async fn delivery_stats_oldest(
    store: &Store,
    width: StatsWidth,
    before: Timestamp,
) -> Result<Option<(Tenant, Timestamp, u64)>, ReadError> {
    let sql = "SELECT tenant, bucket_at FROM delivery_stats WHERE width_s = $1 AND bucket_at < $2 \
               ORDER BY bucket_at LIMIT 1";
    let Some(mut row) = store.query(sql, params![width.as_secs(), before]).await?.pop() else {
        return Ok(None);
    };
    let (tenant, bucket_at) = (Tenant::from_stored(&row.text()?), row.time()?);
    let sql = "SELECT count(*) FROM delivery_stats WHERE tenant = $1 AND width_s = $2 AND bucket_at = $3";
    let n_rows = match store.query(sql, params![tenant.as_str(), width.as_secs(), bucket_at]).await?.pop() {
        Some(mut row) => row.int()?,
        None => 0,
    };
    Ok(Some((tenant, bucket_at, n_rows.unsigned_abs())))
}

/// Adds a bucket of a tenant to the wider one that it lies in, if there is one, and removes it. Refused unless the bucket
/// has `n_rows` rows.
pub fn delivery_stats_roll_up(
    tenant: &Tenant,
    width: StatsWidth,
    bucket_at: Timestamp,
    n_rows: u64,
) -> Vec<Statement> {
    let add = width.wider().map(|wider| {
        let sql = format!(
            "INSERT INTO delivery_stats ({}) SELECT tenant, {}, {}, endpoint_id, event_type, {} FROM delivery_stats \
             WHERE tenant = $1 AND width_s = $2 AND bucket_at = $3 ORDER BY endpoint_id, event_type {}",
            *COLUMNS,
            wider.as_secs(),
            wider.floor(bucket_at).as_micros(),
            FIGURES.join(", "),
            *ADD
        );
        Statement::new(sql, params![tenant.as_str(), width.as_secs(), bucket_at])
    });
    let remove = Statement {
        expect: Expect::Rows(n_rows),
        ..Statement::new(
            "DELETE FROM delivery_stats WHERE tenant = $1 AND width_s = $2 AND bucket_at = $3",
            params![tenant.as_str(), width.as_secs(), bucket_at],
        )
    };
    add.into_iter().chain([remove]).collect()
}
