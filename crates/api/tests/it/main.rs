//! The API as its callers see it: the whole router over a temporary SQLite store, engines replaced by stand-ins.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod auth;
mod event_types;
mod events;
mod harness;
mod idempotency;
mod journey;
mod openapi;
mod paging;
mod polling;
mod problems;
mod replays;
mod resources;
mod stream;
mod undelivered;
mod webhooks;
