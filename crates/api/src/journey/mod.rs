//! The journey of an event: which call it came from, what followed from it, workflows among it, where it was delivered, and
//! what each try came to, in order and with times.
//!
//! [`read_journey`] gathers the facts from the store, [`build`] makes the tree of them and does nothing else, [`render`]
//! draws it for a terminal. The API answers the tree as JSON; the command line draws it.
//!
//! A journey is named after its first event (`correlationid`). Bounds: [`MAX_EVENTS`] events, [`MAX_WORKFLOWS`] workflows
//! and [`MAX_DELIVERIES`] deliveries, then `truncated` is true; nesting is capped so that every JSON reader can take it.
//! A workflow is shown when an event of the journey came of it.

mod build;
mod read;
mod render;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use trunkline_model::{EventRecord, Timestamp};
use trunkline_store::tables::delivery::{AttemptRow, DeliveryRow};
use trunkline_store::tables::inbound::InboundRow;
use trunkline_store::tables::workflow::instance::InstanceRow;
use utoipa::ToSchema;

pub use build::build;
pub use read::read_journey;
pub use render::{Part, plain, render};

/// The most events of one journey that are shown.
pub const MAX_EVENTS: usize = 500;
/// The most workflows of one journey that are shown.
pub const MAX_WORKFLOWS: usize = 100;
/// The most deliveries of one journey that are shown.
pub const MAX_DELIVERIES: usize = 1000;

/// What a journey is made of, as stored.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Names the journey.
    pub correlation_id: String,
    /// Calls that are no record with an event.
    pub requests: Vec<InboundRow>,
    /// Every event, oldest first.
    pub events: Vec<EventRecord>,
    /// Workflows that events came of.
    pub workflows: Vec<InstanceRow>,
    /// Every delivery with its attempts, oldest first.
    pub deliveries: Vec<(DeliveryRow, Vec<AttemptRow>)>,
    /// Whether there was more than is shown.
    pub truncated: bool,
}

/// What happened, as a tree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Journey {
    /// Names the journey: the id of its first event unless a producer chose another.
    pub correlation_id: String,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    /// From the beginning to the last thing that happened, in milliseconds.
    #[schema(minimum = 0)]
    pub duration_ms: f64,
    /// Whether there is more than is shown.
    pub truncated: bool,
    /// Where it begins; usually one node.
    pub nodes: Vec<Node>,
}

/// One thing that happened, and what followed from it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = JourneyNode)]
pub struct Node {
    /// What kind of thing.
    pub kind: NodeKind,
    /// The id of the call, event, workflow, delivery or attempt.
    pub id: String,
    /// When it happened or began.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// How long after the journey's beginning, in milliseconds.
    #[schema(minimum = 0)]
    pub offset_ms: f64,
    /// How long it took, in milliseconds; absent for what takes no time or has not ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = f64)]
    pub duration_ms: Option<f64>,
    /// A call's verdict, `stored`, a workflow's status, a delivery's state, `succeeded` or `failed`.
    pub state: String,
    /// In words, for people.
    pub summary: String,
    /// What followed, in order.
    #[schema(no_recursion)]
    pub children: Vec<Node>,
}

/// What a node stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum NodeKind {
    /// A webhook call as received.
    Request,
    /// An event in the journal.
    Event,
    /// A workflow that an event started, or that another workflow did.
    Workflow,
    /// An event owed to an endpoint.
    Delivery,
    /// One HTTP try.
    Attempt,
}

impl NodeKind {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Event => "event",
            Self::Workflow => "workflow",
            Self::Delivery => "delivery",
            Self::Attempt => "attempt",
        }
    }
}
