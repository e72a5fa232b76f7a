//! The language: what a workflow document says, typed. Each file holds one part of it with its reader; names are those
//! of the specification where they are good Rust, and a `*Points` is what Trunkline adds in the metadata.

pub mod authentication;
pub mod calendar;
pub mod compensate;
pub mod cron;
pub mod data_flow;
pub mod duration;
pub mod error;
pub mod events;
pub mod flow;
pub mod lifecycle;
pub mod limits;
pub mod points;
pub mod promise;
pub mod resource;
pub mod retry;
pub mod schedule;
pub mod tasks;
pub mod workflow;
