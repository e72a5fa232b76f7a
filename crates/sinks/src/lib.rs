//! Ways out other than HTTP: message brokers, streams, object stores.
//!
//! Who calls it: `dispatch`, which owns the decision what to send, when and how often. It parses an endpoint's settings
//! once ([`SinkSettings::parse`]), opens the sink ([`SinkFactory::open`]) and sends ([`Sink::send`]).
//!
//! ```text
//! JSON ─ SinkSettings::parse ─► SinkSettings ─ SinkFactory::open ─► Arc<dyn Sink> ─ send ─► receipt or SinkError
//!        every bad field named                 no I/O                │
//!                                                                    ▼
//!                       kept connection ──(none, or it ended)──► Dialer: resolve → vet each address
//!                       one per sink                               → connect to a vetted address → TLS by name
//! ```
//!
//! Invariants:
//! - A socket is opened in one place ([`trunkline_connect::Dialer`]), only to an address that passed the hub's
//!   [`EgressPolicy`](trunkline_connect::EgressPolicy) in the same call, and TLS verifies the name in the settings. Client
//!   libraries are handed the open stream: none of them resolves, connects or reconnects by itself. S3 goes through
//!   [`Transport`](trunkline_connect::Transport), which keeps the same promise.
//! - What a broker says about other servers is never followed: NATS `connect_urls`, Redis `MOVED` and S3 redirects are
//!   errors or ignored.
//! - The event's id travels with every message as the kind's own key for repeats, so that a receiver can drop them.
//! - A send ends within its timeout. What a peer may send us unasked is bounded (`network::Wire`).
//! - Error texts, receipts and `Debug` output hold no credential of the settings, also when the peer echoes one.
//! - Nothing runs for an unused sink: connections are opened by a send and closed after a while without one. A failed
//!   connection is tried again by a later send, after a pause that grows and is capped.
//!
//! What it deliberately does not do: retry (the dispatcher does, by its schedule), create streams, queues, exchanges or
//! buckets, consume, log.
//!
//! Adding a kind: one file in `kinds` and its line in the table there.

mod error;
mod factory;
mod kept;
mod kinds;
mod message;
mod network;
mod settings;

pub use error::{Permanence, SinkError};
pub use factory::{Output, SinkContext, SinkFactory, SinkLimits};
pub use kinds::{KINDS, Kind, Reach};
pub use message::{Sink, SinkMessage, SinkReceipt};
pub use settings::SinkSettings;
