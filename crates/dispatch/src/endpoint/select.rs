//! Which of the endpoints whose patterns fit get an event: those whose channels and filter let it through.
//!
//! Called when events are planned. Where no endpoint has channels or a filter, which is the usual case, the list is passed
//! on as it is. The body is made only when a filter has to see it. Who runs the filter, and for how long, is the caller's.

use std::sync::Arc;

use bytes::Bytes;
use trunkline_model::Event;

use super::{Endpoint, ExpressionFault, Matches, WebhookFormat};

/// The endpoints that an event is owed to.
#[derive(Debug, Default)]
pub struct Selection {
    /// All of them, in the order of their ids.
    pub endpoints: Matches,
    /// Those whose filter did not run through: their index, and the reason for the delivery that is not made.
    pub failed: Vec<(usize, String)>,
    /// Those whose filter is still to be run, by index.
    pub unjudged: Vec<usize>,
}

/// What a filter says of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// The endpoint gets it.
    Wanted,
    /// It does not.
    Unwanted,
    /// The filter did not run through; holds why.
    Failed(String),
    /// It was not run.
    Open,
}

impl From<Result<bool, ExpressionFault>> for Judgement {
    fn from(found: Result<bool, ExpressionFault>) -> Self {
        match found {
            Ok(true) => Self::Wanted,
            Ok(false) => Self::Unwanted,
            Err(fault) => Self::Failed(fault.to_string()),
        }
    }
}

/// Narrows endpoints down to those that get the event; `judge` runs an endpoint's filter.
pub fn select(
    matches: Matches,
    event: &Event,
    body: impl Fn(WebhookFormat) -> Bytes,
    mut judge: impl FnMut(&Endpoint, Bytes) -> Judgement,
) -> Selection {
    if matches.iter().all(|endpoint| endpoint.takes_all()) {
        return Selection { endpoints: matches, ..Selection::default() };
    }
    let mut endpoints: Vec<Arc<Endpoint>> = Vec::with_capacity(matches.len());
    let (mut failed, mut unjudged) = (Vec::new(), Vec::new());
    for endpoint in matches.iter().filter(|endpoint| endpoint.takes_channels_of(event)) {
        if endpoint.expressions.has_filter() {
            match judge(endpoint, body(endpoint.format)) {
                Judgement::Wanted => {}
                Judgement::Unwanted => continue,
                Judgement::Failed(reason) => failed.push((endpoints.len(), reason)),
                Judgement::Open => unjudged.push(endpoints.len()),
            }
        }
        endpoints.push(Arc::clone(endpoint));
    }
    Selection { endpoints: endpoints.into(), failed, unjudged }
}
