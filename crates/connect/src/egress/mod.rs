//! The egress policy: which addresses and URLs outbound calls may reach. Called when an endpoint is saved and, for
//! addresses, again by the dialer on every new connection.
//!
//! Without an allow entry only public unicast addresses pass. An address that carries an IPv4 address inside
//! (mapped, compatible, NAT64, 6to4) is judged by that one, so no spelling opens a blocked address. Metadata
//! services hand out credentials: a wide allow entry does not open them, only one that names the exact address.

mod ranges;
mod url;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};

pub use self::ranges::{EgressRule, EmbeddedForm};
pub use self::url::UrlRefused;

/// Decides which addresses and URLs outbound calls may reach.
#[derive(Debug, Clone, Default)]
pub struct EgressPolicy {
    allow: Vec<IpNet>,
    https_only: bool,
}

/// An address outbound calls may not reach, and the rule that says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blocked {
    /// The address as it was resolved or written.
    pub address: IpAddr,
    /// The rule that blocks it.
    pub rule: EgressRule,
    /// Set when the rule blocks the IPv4 address inside an IPv6 one.
    pub embedded: Option<(EmbeddedForm, Ipv4Addr)>,
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "address {}", self.address)?;
        if let Some((form, inner)) = self.embedded {
            write!(f, " ({form} form of {inner})")?;
        }
        write!(f, " is blocked by egress rule {}; ", self.rule)?;
        match self.rule {
            EgressRule::Metadata => {
                f.write_str("only an allow entry in the configuration for exactly this address opens it")
            }
            _ => f.write_str("an allow entry in the configuration that contains it opens it"),
        }
    }
}

impl std::error::Error for Blocked {}

impl EgressPolicy {
    /// A policy that lets through public unicast addresses and the networks in `allow`.
    pub fn new(allow: Vec<IpNet>) -> Self {
        Self { allow: allow.into_iter().map(canonical_net).collect(), https_only: false }
    }

    /// The same policy, letting more networks through.
    #[must_use]
    pub fn with_allowed(mut self, more: &[IpNet]) -> Self {
        self.allow.extend(more.iter().copied().map(canonical_net));
        self
    }

    /// The same policy, refusing `http` URLs too.
    #[must_use]
    pub fn with_https_only(self) -> Self {
        Self { https_only: true, ..self }
    }

    /// Whether `http` URLs are refused.
    pub fn is_https_only(&self) -> bool {
        self.https_only
    }

    /// Judges one address.
    ///
    /// # Errors
    /// [`Blocked`] names the rule when the address is neither public unicast nor allowed.
    pub fn check(&self, address: IpAddr) -> Result<(), Blocked> {
        let (rule, embedded) = match address {
            IpAddr::V4(v4) => (ranges::judge_v4(v4), None),
            IpAddr::V6(v6) => ranges::judge_v6(v6),
        };
        let Some(rule) = rule else { return Ok(()) };
        let inner = embedded.map(|(_, v4)| IpAddr::V4(v4));
        if self.allows(address, rule) || inner.is_some_and(|v4| self.allows(v4, rule)) {
            return Ok(());
        }
        Err(Blocked { address, rule, embedded })
    }

    fn allows(&self, address: IpAddr, rule: EgressRule) -> bool {
        self.allow.iter().any(|net| {
            let wide_enough = rule != EgressRule::Metadata || net.prefix_len() == net.max_prefix_len();
            wide_enough && net.contains(&address)
        })
    }
}

/// Writes an entry inside `::ffff:0:0/96` as the IPv4 network it means.
fn canonical_net(net: IpNet) -> IpNet {
    if let IpNet::V6(v6) = net
        && let (Some(prefix), Some(v4)) = (v6.prefix_len().checked_sub(96), v6.addr().to_ipv4_mapped())
        && let Ok(mapped) = Ipv4Net::new(v4, prefix)
    {
        return IpNet::V4(mapped);
    }
    net
}

/// The address to connect to: an IPv4-mapped one goes out as IPv4.
pub(crate) fn canonical(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// Where `localhost` leads without asking a resolver (RFC 6761 §6.3).
const LOCALHOST: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

#[cfg(test)]
mod tests;
