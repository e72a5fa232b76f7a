//! Where an event stands with an endpoint, seen from its deliveries: the one definition behind the list of what an
//! endpoint has not got, the view of one event, and replays.

use serde::{Deserialize, Serialize};
use trunkline_model::{EventType, Seq, Timestamp};
use trunkline_store::tables::delivery::{DeliveryState, DeliveryStub};

use crate::engine::{FILTERED, TEST_SOURCE, TEST_TYPE};

/// Where one event stands with one endpoint. Several deliveries of a pair count as one: a success is a success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// The endpoint took it.
    Succeeded,
    /// An attempt is under way or due.
    Pending,
    /// Given up: exhausted or cancelled.
    Failed,
    /// There is no delivery.
    Missed,
}

impl Standing {
    /// The standing of a pair, with the delivery that decides it.
    pub fn of<'a>(
        deliveries: impl IntoIterator<Item = &'a DeliveryStub>,
    ) -> (Self, Option<&'a DeliveryStub>) {
        // What the endpoint's filter refused is no delivery, whenever it was asked.
        let is_one = |delivery: &&DeliveryStub| delivery.reason.as_deref() != Some(FILTERED);
        // Of several in the same standing the youngest tells most.
        let best = deliveries.into_iter().filter(is_one).max_by_key(|delivery| {
            let rank = match delivery.state {
                DeliveryState::Succeeded => 2,
                DeliveryState::Pending => 1,
                DeliveryState::Exhausted | DeliveryState::Cancelled => 0,
            };
            (rank, &delivery.id)
        });
        let standing = match best.map(|delivery| delivery.state) {
            None => Self::Missed,
            Some(DeliveryState::Succeeded) => Self::Succeeded,
            Some(DeliveryState::Pending) => Self::Pending,
            Some(DeliveryState::Exhausted | DeliveryState::Cancelled) => Self::Failed,
        };
        (standing, best)
    }
}

/// Why there is no delivery of an event to an endpoint. The first that holds, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// The event tests another endpoint.
    Test,
    /// No pattern of the endpoint selects the type, as the patterns are now; or the event tells of this very endpoint.
    NoMatch,
    /// Dispatch has not come to the event yet.
    NotPlannedYet,
    /// The endpoint is younger than the event.
    CreatedLater,
    /// The endpoint is switched off now.
    Disabled,
    /// The patterns select the type, and the endpoint did not want the event when it was planned: it was switched off
    /// or had other patterns then, or its channels or filter refuse the event.
    Filtered,
}

/// What the reason of a pair without a delivery is judged from.
#[derive(Debug, Clone, Copy)]
pub struct Unplanned<'a> {
    /// The event's type.
    pub event_type: &'a EventType,
    /// The event's source.
    pub source: &'a str,
    /// When the event was stored.
    pub recorded_at: Timestamp,
    /// Its place in its shard.
    pub seq: Seq,
    /// How far dispatch has come in this shard. Read before the deliveries were.
    pub planned_to: Seq,
    /// When the endpoint was made.
    pub endpoint_created_at: Timestamp,
    /// Whether its patterns select the type, as they are now, and the event does not tell of the endpoint itself.
    pub is_selected: bool,
    /// Whether it is active now.
    pub is_active: bool,
}

impl Unplanned<'_> {
    /// Why there is no delivery to this endpoint.
    pub fn reason(&self) -> SkipReason {
        if is_test(self.event_type, self.source) {
            SkipReason::Test
        } else if !self.is_selected {
            SkipReason::NoMatch
        } else if self.seq > self.planned_to {
            SkipReason::NotPlannedYet
        } else if self.recorded_at < self.endpoint_created_at {
            SkipReason::CreatedLater
        } else if self.is_active {
            SkipReason::Filtered
        } else {
            SkipReason::Disabled
        }
    }
}

/// Whether an event was made to test one endpoint.
pub(super) fn is_test(event_type: &EventType, source: &str) -> bool {
    event_type.as_str() == TEST_TYPE && source == TEST_SOURCE
}
