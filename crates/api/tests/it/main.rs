//! The API as its callers see it: the whole router over a temporary SQLite store, engines replaced by stand-ins.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod analytics;
mod auth;
mod delivery_request;
mod event_types;
mod events;
mod harness;
mod idempotency;
mod journey;
mod live;
mod logistics;
mod openapi;
mod paging;
mod polling;
mod portal;
mod problems;
mod records;
mod replays;
mod resources;
mod search;
mod stream;
mod tasks;
mod tracking;
mod trial;
mod undelivered;
mod webhook_kinds;
mod webhooks;
mod workflows;
