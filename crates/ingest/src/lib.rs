//! Ingest: takes signed webhook calls in, at `POST /in/{source}`, and appends what they say to the journal.
//!
//! The binary builds [`Ingest`] from the configuration and mounts its router; the API calls [`Ingest::rejudge`].
//!
//! Invariants:
//! - A `202` means the raw request, its verdict and its event are durable. There is one commit per call and nothing
//!   after it that could fail.
//! - The signature is verified over the raw bytes before anything parses them.
//! - Every refusal of a source is the same `401`, byte for byte; why is only in the operator's record of refused calls.
//! - A call that is signed well is never refused for what it says: a body that makes no sense is quarantined.
//! - A handshake leaves no event: it is answered, and counted.
//! - The path of an accepted call copies neither body nor headers more than once and spawns nothing.
//!
//! - What a scheme fetches goes through the guarded client to a host that the scheme has pinned, within seconds.
//!
//! What it deliberately does not do: mapping to domain events (a consumer of the journal does), and delivering.

pub mod client_address;
pub mod judge;
pub mod refused;
pub mod rejudge;
pub mod request_head;
pub mod router;
pub mod schemes;
pub mod source;

mod answer;
mod body;
mod outbound;
mod problem;

#[cfg(test)]
mod tests;

pub use judge::{Judgement, Origin};
pub use outbound::Outbound;
pub use rejudge::{RejudgeError, Rejudged};
pub use router::{Ingest, IngestOptions, IngestStats};
pub use schemes::{Call, Content, InvalidScheme, Named, Reading, Receipt, Refusal, Reply, Scheme, Verified};
pub use source::{Source, SourceStats};
