//! Outbound deliveries: every event of the journal goes, signed, to every endpoint whose patterns select its type.
//!
//! Layer L2. Started by the hub ([`Dispatcher::start`]); the API uses [`endpoint`] to check and store endpoints and the
//! [`Dispatcher`] handle for tests, resends and retries by hand. The engine's own story, with its states and what a
//! crash leaves behind, is in [`engine`].
//!
//! Pure parts, one file each: [`sign`] (bodies and Standard Webhooks signatures), [`retry`] (when to try again),
//! [`outcome`] (what an answer means), [`request`] (headers and body of an attempt).
//!
//! Deliberately absent: HTTP details and the egress guard (`connect`), SQL (`store`), leases (`journal`).

pub mod endpoint;
pub mod engine;
pub mod metrics;
pub mod outcome;
pub mod replay;
pub mod request;
pub mod retry;
pub mod sign;

pub use engine::{Circuit, Dispatcher, DispatcherOptions, EngineLimits, RequestError};
pub use metrics::DispatchMetrics;
