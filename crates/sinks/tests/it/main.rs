//! Sinks from outside: against scripted peers, against a stand-in for S3, and against real servers where they answer.
//!
//! Tests that need a server print that they were skipped when it cannot be reached, and fail instead when
//! `TRUNKLINE_TEST_REQUIRE_REDIS`, `…_RABBITMQ` or `…_NATS` is `1`. `TRUNKLINE_TEST_REDIS` and so on give other URLs.

#![allow(clippy::unwrap_used)] // everything here is a test
#![allow(clippy::disallowed_methods, reason = "tests connect to the servers and peers they made themselves")]

mod amqp;
mod contract;
mod healing;
mod nats;
mod object_store;
mod redis;
mod rig;
mod s3;
mod servers;
mod sigv4;
mod stdout;
