//! End-to-end tests: the real program as a child process, real HTTP, a receiver that checks what it is sent.
//!
//! One test binary. Each file is named after the promise that it holds the hub to.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests say what they found and fail where they stand"
)]

mod cli;
mod disk_full;
mod egress;
mod fail_over;
mod filters;
mod hub;
mod journey;
mod kill;
mod kill_order;
mod kill_replay;
mod load;
mod ordered;
mod polling;
mod portal;
mod receiver;
mod receiver_answers;
mod receiver_faults;
mod reconciliation;
mod replays;
mod shutdown;
mod store_blips;
mod stores;
mod stream;
mod webhooks;
