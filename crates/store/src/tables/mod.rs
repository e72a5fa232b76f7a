//! One file per resource. Functions are named resource-first; those that change something give a [`crate::Statement`]
//! for the caller's commit, so that it decides what becomes true together.

pub mod consumer;
pub mod dead_letter;
pub mod delivery;
pub mod delivery_history;
pub mod delivery_stats;
pub mod document;
pub mod endpoint;
pub mod endpoint_health;
pub mod event;
pub mod event_type;
pub mod expiry;
pub mod idempotency;
pub mod inbound;
pub mod lease;
pub mod line;
pub mod live_ticket;
pub mod logistics;
pub mod poll;
pub mod portal_token;
pub mod replay;
mod select;
pub mod stored_record;
pub mod token;
pub mod usage;
pub mod workflow;
