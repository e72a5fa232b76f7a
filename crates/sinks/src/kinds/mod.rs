//! The kinds of sinks, one file (or folder) each. Adding one: its file, its `mod` line and its line in [`KINDS`].
//!
//! A kind reads its settings ([`KindSettings`](crate::settings::KindSettings)) and sends one message at a time ([`Deliver`](crate::settings::Deliver)).
//!
//! Kafka is absent. A producer must follow the addresses that brokers advertise, and no client written in Rust lets its
//! caller vet them: krafka, rskafka and samsa connect by name on their own, kafka-rust needs OpenSSL. What would fit is
//! kafka-protocol (messages without I/O) over our dialer, tested against a real cluster.

mod amqp;
mod nats;
mod redis;
mod s3;
mod stdout;

use std::fmt;

use crate::settings::{Fields, Parsed};

/// Every kind.
pub const KINDS: &[Kind] = &[amqp::KIND, nats::KIND, redis::KIND, s3::KIND, stdout::KIND];

/// One kind of sink.
pub struct Kind {
    /// Its name in settings.
    pub name: &'static str,
    /// The fields that hold secrets, to be sealed before settings are stored.
    pub secrets: &'static [&'static str],
    /// Where it leads.
    pub reach: Reach,
    pub(crate) parse: fn(Fields<'_>) -> Parsed,
}

/// Where a kind leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// To another machine, under the egress policy.
    Network,
    /// Into the hub's own process: for the operator, not for tenants.
    Local,
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kind").field("name", &self.name).field("reach", &self.reach).finish_non_exhaustive()
    }
}

pub(crate) fn find(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name == name)
}
