//! A write as a value: [`Commit`] says everything that must become true together.
//!
//! The order of application is fixed: fence, dedupe key, statements, deliveries, events, deliveries of these events, cursors. A commit is applied whole or not at
//! all; commits that happen to share a transaction do not affect one another.

use std::borrow::Cow;
use std::sync::Arc;

use trunkline_model::{Event, Seq, Shard, Timestamp};

use crate::tables::delivery::DeliveryRow;
use crate::value::Value;

/// How many rows a statement has to touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Any number.
    Any,
    /// Exactly this many, otherwise the commit is undone.
    Rows(u64),
}

/// One SQL statement with its parameters.
///
/// The text serves both databases. Parameters are `$1 … $n`, numbered in the order in which they first appear.
#[derive(Debug, Clone)]
pub struct Statement {
    /// The SQL text.
    pub sql: Cow<'static, str>,
    /// Its parameters.
    pub params: Vec<Value>,
    /// How many rows it has to touch.
    pub expect: Expect,
}

impl Statement {
    /// A statement that may touch any number of rows.
    pub fn new(sql: impl Into<Cow<'static, str>>, params: Vec<Value>) -> Self {
        Self { sql: sql.into(), params, expect: Expect::Any }
    }

    /// A statement that must touch exactly one row.
    pub fn one(sql: impl Into<Cow<'static, str>>, params: Vec<Value>) -> Self {
        Self { expect: Expect::Rows(1), ..Self::new(sql, params) }
    }
}

/// An event to append.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// The event.
    pub event: Event,
    /// When the hub took it.
    pub recorded_at: Timestamp,
    /// Request line and headers, when the event is one record with a webhook call.
    pub request_head: Option<String>,
}

impl NewEvent {
    /// An event that did not come as a webhook.
    pub fn new(event: Event, recorded_at: Timestamp) -> Self {
        Self { event, recorded_at, request_head: None }
    }
}

/// Proof of owning a shard. A commit with a stale one is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    /// The shard.
    pub shard: Shard,
    /// Who owns it, a node id.
    pub owner: String,
    /// The epoch in which it was taken.
    pub epoch: i64,
}

/// A dedupe key that must be new, otherwise the commit is not applied and answers with the first call's id.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The source's name.
    pub source: String,
    /// What the scheme names as the id of the call.
    pub key: String,
    /// The id of this inbound request.
    pub inbound_id: String,
    /// When it was received.
    pub seen_at: Timestamp,
}

/// Moves a consumer's cursor.
#[derive(Debug, Clone)]
pub struct CursorMove {
    /// The consumer's name.
    pub consumer: String,
    /// The shard.
    pub shard: Shard,
    /// The last event handled.
    pub seq: Seq,
}

/// Everything that must become true together.
#[derive(Debug, Clone, Default)]
pub struct Commit {
    /// Proof of shard ownership, for engines.
    pub fence: Option<Fence>,
    /// A dedupe key to claim.
    pub seen: Option<Seen>,
    /// State changes.
    pub statements: Vec<Statement>,
    /// Deliveries to store: the hot rows of dispatch, bound without a detour through [`Value`]. Shared, so that the
    /// caller has them afterwards.
    pub deliveries: Arc<Vec<DeliveryRow>>,
    /// Events to append, in this order.
    pub events: Vec<NewEvent>,
    /// Deliveries of the commit's own events, each with the index of its event; their places are filled in.
    pub own_deliveries: Vec<(usize, DeliveryRow)>,
    /// Consumer cursors to move.
    pub cursors: Vec<CursorMove>,
}

impl Commit {
    /// A commit that appends events and nothing else.
    pub fn append(events: Vec<NewEvent>) -> Self {
        Self { events, ..Self::default() }
    }

    /// A commit that stores deliveries and nothing else.
    pub fn deliveries(deliveries: Vec<DeliveryRow>) -> Self {
        Self { deliveries: Arc::new(deliveries), ..Self::default() }
    }

    /// A commit that runs statements and nothing else.
    pub fn statements(statements: Vec<Statement>) -> Self {
        Self { statements, ..Self::default() }
    }

    /// Tells whether the commit is an append that can share a transaction and its statements with others of the kind.
    pub(crate) fn is_plain_append(&self) -> bool {
        self.fence.is_none()
            && self.statements.is_empty()
            && self.deliveries.is_empty()
            && self.own_deliveries.is_empty()
            && self.cursors.is_empty()
            && self.events.len() <= 1
    }
}

/// Where an event stands in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The shard.
    pub shard: Shard,
    /// Its position there.
    pub seq: Seq,
    /// True when an event with this id and source was there already; nothing was added.
    pub is_duplicate: bool,
}

/// The deliveries of a commit's own events, at their events' places.
pub(crate) fn placed(own: &[(usize, DeliveryRow)], places: &[Appended]) -> Vec<DeliveryRow> {
    let place_of = |index: usize| places.get(index).map(|place| (place.shard, place.seq));
    own.iter()
        .filter_map(|(index, row)| {
            let (shard, seq) = place_of(*index)?;
            Some(DeliveryRow { shard, seq, ..row.clone() })
        })
        .collect()
}

/// What a commit did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Committed {
    /// It was applied and is durable.
    Applied(Vec<Appended>),
    /// Its dedupe key was known: nothing was applied.
    Repeat {
        /// The id of the first call with this key.
        inbound_id: String,
    },
}

impl Committed {
    /// The places of the commit's events; empty for a repeat.
    pub fn appended(&self) -> &[Appended] {
        match self {
            Self::Applied(places) => places,
            Self::Repeat { .. } => &[],
        }
    }
}
