//! Which of the endpoints whose patterns fit get an event: those whose channels and filter let it through.
//!
//! Called by the planner. Where no endpoint has channels or a filter, which is the usual case, the list is passed on as
//! it is. The body is made only when a filter has to see it.

use std::sync::Arc;

use bytes::Bytes;
use trunkline_model::Event;

use super::{Endpoint, Matches, WebhookFormat};

/// The endpoints that an event is owed to.
#[derive(Debug)]
pub struct Selection {
    /// All of them, in the order of their ids.
    pub endpoints: Matches,
    /// Those whose filter did not run through: their index, and the reason for the delivery that is not made.
    pub failed: Vec<(usize, String)>,
}

/// Narrows endpoints down to those that get the event.
pub fn select(matches: Matches, event: &Event, body: impl Fn(WebhookFormat) -> Bytes) -> Selection {
    if matches.iter().all(|endpoint| endpoint.takes_all()) {
        return Selection { endpoints: matches, failed: Vec::new() };
    }
    let (mut endpoints, mut failed): (Vec<Arc<Endpoint>>, _) =
        (Vec::with_capacity(matches.len()), Vec::new());
    for endpoint in matches.iter().filter(|endpoint| endpoint.takes_channels_of(event)) {
        if endpoint.expressions.has_filter() {
            match endpoint.expressions.wants(&body(endpoint.format)) {
                Ok(true) => {}
                Ok(false) => continue,
                Err(fault) => failed.push((endpoints.len(), fault.to_string())),
            }
        }
        endpoints.push(Arc::clone(endpoint));
    }
    Selection { endpoints: endpoints.into(), failed }
}
