//! Workflows: the language, and the program a definition is compiled to.
//!
//! ```text
//! text ── document with places ── Reader ── tasks in an arena ── link ── Program
//!         (packs)                 dsl/*     + Workflow           jumps    never changes, has a hash
//! ```
//!
//! The language is the Open Workflow Specification 1.0.3 (once Serverless Workflow), with what its main branch added
//! since: `catch.then`, inline lists in `for.in`, `schedule.read`. `docs/workflow-profile.md` numbers what this engine
//! decides where the specification is silent, and what it refuses; [`Rule`] is that list.
//!
//! | where | what |
//! |---|---|
//! | [`compile`] | from text to a [`Program`], or to every fault with its place |
//! | [`program`] | the arena: tasks by id, jumps resolved, hash, description |
//! | [`catalog`] | the functions that every workflow can call |
//! | [`dsl`] | the typed parts of a document, one file for each kind of task |
//! | [`expression`] | jq expressions, templates, URI templates: compiled, and evaluated on a [`expression::Scope`] |
//! | [`simple`] | the simple form `{name, documentId, steps}` |
//! | [`templates`] | ready workflows to start from |
//! | [`testing`] | a world in memory for tests: virtual time, stubbed calls |
//!
//! Invariants:
//! - Compiling is pure, deterministic and bounded for any text; it never panics, opens a file or a socket.
//! - A program holds nothing unresolved: names of components are replaced by what they name, jumps by ids.
//! - Data never becomes an expression; expressions come from the definition alone.
//! - Credentials are not in programs: secrets are names.

pub mod catalog;
pub mod dsl;
pub mod engine;
pub mod expression;
mod fault;
pub mod program;
mod read;
mod rule;
pub mod simple;
pub mod templates;
pub mod testing;

pub use fault::{Fault, FaultKind, Refusal};
pub use program::{Compiled, ContentHash, Format, Program, TaskId, compile};
pub use read::{MAX_EXPRESSIONS, MAX_FAULTS, MAX_KEY_BYTES, MAX_TASKS};
pub use rule::Rule;
