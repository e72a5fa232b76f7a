//! Replays: jobs that send past events again, and the question what an endpoint has not got.
//!
//! A job is a row. The runner is a reconciler without input: it reads the jobs whose turn it is, makes one step of each,
//! and looks again. A step reads a page of the tenant's events in the order of storing, picks the pairs of event and
//! endpoint that the job is about, and commits pending deliveries, the figures and the job's place together. The engine
//! then treats these deliveries like all others.
//!
//! ```text
//! created ──► running ──end of range──► completed
//!               │  ▲  └──endpoint gone──► failed
//!          pause│  │resume                            cancel ends a running or a paused job
//!               ▼  │
//!              paused   also by itself, when its endpoint is switched off
//! ```
//!
//! # Why no pair is planned twice or left out
//!
//! - The commit demands the place that the step began from ([`replay_step`](trunkline_store::tables::replay::replay_step)).
//!   A step that is made twice, by a second runner or after an answer that was lost, changes nothing the second time.
//! - The place moves only with the deliveries of everything up to it. After a crash the next step reads on from there.
//! - The place follows `(recorded_at, shard, seq)` over all shards at once, so one index read gives one tenant's events
//!   and nobody else's. The range ends in the past, at the latest when the job was made, so nothing is added to it but
//!   events that dispatch has not come to, and those it plans itself.
//!
//! One node works on jobs at a time, the owner of shard 0; its commits carry the fence. That only saves double work.
//!
//! # Fairness
//!
//! Each tenant's oldest running job has the turn, its others wait. A round makes one step for each tenant. Deliveries
//! are spread by the job's rate, and a job with enough for the next [`HORIZON`] waits, so that a pause or cancellation
//! leaves little behind and live events do not drown.

mod runner;
mod select;
mod standing;

use std::time::Duration;

pub use runner::{ReplayOptions, run};
pub use select::{ESTIMATE_FOR, Estimate, Scope, Wanted, estimate, planned_to};
pub use standing::{SkipReason, Standing, Unplanned};

/// How far ahead of time a job makes deliveries; up to as much again in one step.
pub const HORIZON: Duration = Duration::from_secs(10);
/// Deliveries a second when a job does not say.
pub const DEFAULT_RATE: i64 = 100;
/// Jobs of one tenant that may run or wait for their turn.
pub const MAX_RUNNING: i64 = 20;
/// The most deliveries a second that a job may ask for.
pub const MAX_RATE: i64 = 10_000;

#[cfg(test)]
mod tests;
