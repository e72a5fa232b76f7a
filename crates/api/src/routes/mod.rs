//! The operations, one file per resource. Each file gives its operations, the structs they answer with and their
//! handlers.

mod answers;
pub(crate) mod dead_letters;
pub(crate) mod deliveries;
pub(crate) mod event_types;
pub(crate) mod events;
pub(crate) mod inbound;
pub(crate) mod polling;
pub(crate) mod replays;
pub(crate) mod service;
pub(crate) mod status;
pub(crate) mod stream;
pub(crate) mod tokens;
pub(crate) mod undelivered;
pub(crate) mod webhooks;

use crate::openapi::Operation;

/// Every operation of the API, in the order of the document.
pub(crate) fn operations() -> Vec<Operation> {
    let mut all = events::operations();
    all.extend(event_types::operations());
    all.extend(webhooks::operations());
    all.extend(deliveries::operations());
    all.extend(undelivered::operations());
    all.extend(replays::operations());
    all.extend(polling::operations());
    all.extend(stream::operations());
    all.extend(inbound::operations());
    all.extend(dead_letters::operations());
    all.extend(tokens::operations());
    all.extend(status::operations());
    all.extend(service::operations());
    all
}
