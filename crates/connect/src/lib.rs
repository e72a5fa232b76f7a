//! Connector SDK, HTTP part: every outbound call of the hub leaves through this crate.
//!
//! Who calls it: `dispatch` for webhook deliveries (through [`Transport`]), `api` when an endpoint is saved
//! ([`Target::parse`], [`HttpClient::vet`]), `sinks` for connections to brokers ([`Dialer`]), later the connectors and
//! notification channels.
//!
//! The path of one call:
//!
//! ```text
//! text ─ Target::parse ─► Target ─ HttpClient::send ─► pool ──(no idle connection)──► Dialer
//!        URL vetted once    │                           │                              resolve → vet each address
//!                           │                           ▼                              → connect to a vetted address
//!                           └──────────────► request, response head, bounded body      → TLS for the URL's host
//! ```
//!
//! Invariants:
//! - A socket is opened in one place ([`Dialer`]), and only to an address that passed
//!   [`EgressPolicy::check`] in the same call; the name is not looked up again between check and connect, so an
//!   answer that changes (DNS rebinding) changes nothing.
//! - One total timeout covers pool, lookup, connect, TLS, request, head and body.
//! - What is read of a response is bounded: head by [`ClientConfig`], body by the request's limit.
//! - Error texts and `Debug` output hold neither header values nor bodies, nor path or query of a URL (webhook
//!   URLs often carry a token there).
//!
//! What it deliberately does not do:
//! - follow redirects: a 3xx is an answer like any other, so a public address cannot send us to a private one;
//! - read proxy settings from the environment: a proxy would resolve names beyond the reach of the policy;
//! - retry: whether a second try is right is the caller's knowledge. The pool may move a request to another
//!   connection when the first was found dead *before a byte of the request was written*, which cannot duplicate it;
//! - decompress, store cookies, cache answers or DNS names;
//! - change the policy of a running client, or close a healthy pooled connection because its name has moved: another policy
//!   is another client ([`HttpClient::with_policy`]), with connections of its own.

pub mod body;
mod client;
mod dial;
mod egress;
mod error;
pub mod progress;
mod resolve;
mod target;
mod tls;
mod token;
mod transport;

use std::future::Future;
use std::pin::Pin;

pub use client::{ClientConfig, ClientError, HttpClient};
pub use dial::{Dialed, Dialer};
pub use egress::{Blocked, EgressPolicy, EgressRule, EmbeddedForm, UrlRefused};
pub use error::{Cause, FailureClass, SendError};
pub use resolve::{Resolver, SystemResolver};
pub use target::Target;
pub use tls::{
    Authorities, ClientIdentity, IdentityError, MAX_CHAIN, OwnTls, RsaCertificate, Validity, client_tls,
};
pub use token::{Token, TokenFault, TokenRequest, TokenSource, client_basic};
pub use transport::{Opening, OutboundRequest, OutboundResponse, Timings, Transport};

/// A boxed future, as returned by the traits of this crate.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
