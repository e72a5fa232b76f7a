//! The operations, one file per resource. Each file gives its operations, the structs they answer with and their
//! handlers.

pub(crate) mod analytics;
mod answers;
pub(crate) mod dead_letters;
pub(crate) mod deliveries;
pub(crate) mod delivery_request;
pub(crate) mod event_types;
pub(crate) mod events;
pub(crate) mod health;
pub(crate) mod inbound;
pub(crate) mod live_tickets;
pub(crate) mod logistics;
pub(crate) mod polling;
pub(crate) mod portal_tokens;
pub(crate) mod records;
pub(crate) mod replays;
pub(crate) mod service;
pub(crate) mod status;
pub(crate) mod stream;
pub(crate) mod tasks;
pub(crate) mod tokens;
pub(crate) mod undelivered;
pub(crate) mod undelivered_events;
pub(crate) mod webhooks;
pub(crate) mod workflow_analytics;
pub(crate) mod workflow_definitions;
pub(crate) mod workflow_operations;
pub(crate) mod workflow_schedules;
pub(crate) mod workflow_sla;
pub(crate) mod workflow_templates;
pub(crate) mod workflows;

use crate::openapi::Operation;

/// Every operation of the API, in the order of the document.
pub(crate) fn operations() -> Vec<Operation> {
    let mut all = events::operations();
    all.extend(event_types::operations());
    all.extend(webhooks::operations());
    all.extend(health::operations());
    all.extend(analytics::operations());
    all.extend(deliveries::operations());
    all.extend(delivery_request::operations());
    all.extend(undelivered::operations());
    all.extend(undelivered_events::operations());
    all.extend(replays::operations());
    all.extend(polling::operations());
    all.extend(stream::operations());
    all.extend(live_tickets::operations());
    all.extend(workflows::operations());
    all.extend(workflow_operations::operations());
    all.extend(workflow_analytics::operations());
    all.extend(workflow_definitions::operations());
    all.extend(workflow_schedules::operations());
    all.extend(tasks::operations());
    all.extend(workflow_sla::operations());
    all.extend(workflow_templates::operations());
    all.extend(records::operations());
    all.extend(logistics::operations());
    all.extend(inbound::operations());
    all.extend(dead_letters::operations());
    all.extend(tokens::operations());
    all.extend(portal_tokens::operations());
    all.extend(status::operations());
    all.extend(service::operations());
    all
}
