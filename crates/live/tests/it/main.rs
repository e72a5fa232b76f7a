//! Live updates as clients see them: real sockets on loopback, both stores, a door that the tests hold.

#![allow(clippy::unwrap_used, reason = "tests fail where they stand")]

mod client;
mod connect;
mod harness;
mod hostile;
mod publish;
mod resume;
mod rooms;
mod slow;
