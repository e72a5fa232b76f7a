//! Packs and the event catalogue: what event types exist, what their data looks like, and the folders that say so.
//!
//! A *pack* is a folder of declarations without code: a manifest, event types with JSON Schemas and examples, sample
//! events and tests (`docs/packs.md` is the reference). The hub loads the packs it is configured with,
//! merges their event types with those tenants add through the API into a [`Catalogue`], and validates data against it.
//!
//! Invariants:
//! - A pack is loaded whole or refused whole; a refusal is the list of *every* fault, each with file, line and fix.
//! - Reloading a broken pack keeps the old one ([`PackSet::reload`]).
//! - Everything read is bounded: sizes, counts, nesting, expanded YAML aliases, the work one validation can cost
//!   (`schema/cost.rs`). No schema makes the hub open a file or a socket: references stay inside the pack.
//! - What [`Catalogue::validate`] says about data quotes the schema, never the data.
//!
//! Documents of other kinds are read with the same tools: [`document`] is YAML and JSON with places, [`mod@pointer`] and
//! [`suggest`] help to say what is wrong where, and [`DataSchema`] is a JSON Schema that stands inside a document.
//!
//! Everything here is synchronous and touches files only in [`Pack::load`], [`PackSet`] and [`fingerprint`]; call
//! those off the runtime's threads. Who stores tenants' types, when to reload, and what to do with an event that
//! does not fit are the hub's business.

mod catalogue;
pub mod document;
mod draft;
mod event_types;
mod export;
mod fault;
mod fingerprint;
mod folder;
pub mod import;
mod manifest;
mod pack;
mod pack_set;
pub mod pointer;
mod samples;
mod schema;
pub mod suggest;
mod test_files;
mod test_run;
mod workflows;

pub use catalogue::{Catalogue, Duplicate, Validation};
pub use draft::{CataloguedType, Deprecation, EventTypeDraft, Origin};
pub use export::asyncapi;
pub use fault::{DocumentFault, PackFault, Position};
pub use fingerprint::{Fingerprint, fingerprint};
pub use manifest::Manifest;
pub use pack::Pack;
pub use pack_set::{PackSet, Reload};
pub use samples::{Sample, SampleEvent};
pub use schema::{DataFault, DataSchema};
pub use test_files::{Expectations, ExpectedFault, ExpectedSchema, PackTest};
pub use test_run::{TestFailure, TestOutcome, run_tests};
pub use workflows::{Judge, PackWorkflow, WorkflowName, WorkflowTest};
