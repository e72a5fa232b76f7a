//! Workflows: definitions, instances with their records and snapshots, and the timers, messages and subscriptions that
//! wake them.
//!
//! The pair (instance, seq) of a record is the optimistic lock of an instance: whoever writes the next record first goes
//! on, everybody else's commit is undone. Rows of instances say what lists and take-overs need and change only when an
//! instance starts, parks, wakes or ends.

pub mod definition;
pub mod durations;
pub mod ended;
pub mod gathered;
pub mod inbox;
pub mod instance;
pub mod promise;
pub mod record;
pub mod schedule;
pub mod subscription;
pub mod task;
pub mod ticket;
pub mod timer;
