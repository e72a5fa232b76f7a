//! One file per resource. Functions are named resource-first; those that change something give a [`crate::Statement`]
//! for the caller's commit, so that it decides what becomes true together.

pub mod consumer;
pub mod dead_letter;
pub mod delivery;
pub mod endpoint;
pub mod endpoint_health;
pub mod event;
pub mod event_type;
pub mod idempotency;
pub mod inbound;
pub mod lease;
pub mod poll;
pub mod replay;
mod select;
pub mod token;
pub mod usage;
