//! Support for tests: stores that are made for one test and gone after it.
//!
//! Used as a dev-dependency by the crates that need a store. SQLite stores live in a temporary folder; PostgreSQL ones
//! are copies of a migrated template database on the server that `TRUNKLINE_TEST_POSTGRES` names. Where no server
//! answers, tests for PostgreSQL say that they were skipped, or fail when `TRUNKLINE_TEST_REQUIRE_POSTGRES` is `1`.
//!
//! Besides, what a test needs of a bad world: a [`Proxy`] that breaks connections, and a [`HostileReceiver`] of webhooks.

pub mod event;
mod hostile;
mod postgres;
mod proxy;
mod store;

pub use hostile::{HostileReceiver, Misconduct};
pub use postgres::TestDatabase;
pub use proxy::Proxy;
pub use store::{TestStore, for_each_store};
