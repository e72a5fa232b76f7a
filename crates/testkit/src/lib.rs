//! Support for tests: stores that are made for one test and gone after it.
//!
//! Used as a dev-dependency by the crates that need a store. SQLite stores live in a temporary folder; PostgreSQL ones
//! are copies of a migrated template database on the server that `TRUNKLINE_TEST_POSTGRES` names. Where no server
//! answers, tests for PostgreSQL say that they were skipped, or fail when `TRUNKLINE_TEST_REQUIRE_POSTGRES` is `1`.

pub mod event;
mod postgres;
mod store;

pub use postgres::TestDatabase;
pub use store::{TestStore, for_each_store};
