//! The address ranges behind the egress rules, and how an address is judged. Called by `EgressPolicy::check` only.
//!
//! Sources: the IANA special-purpose address registries for IPv4 and IPv6 (RFC 6890), RFC 6052 and RFC 8215 (NAT64),
//! RFC 3056 (6to4), RFC 4291 (mapped and compatible), and the cloud vendors' pages for their metadata addresses.
//! IPv6 is judged the other way round: global unicast is 2000::/3, so whatever lies outside and has no rule of its
//! own is reserved.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

/// Why an address is blocked. The names are stable: they stand in error texts, attempt records and documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EgressRule {
    /// This machine: 127.0.0.0/8, ::1.
    Loopback,
    /// "This network", which also reaches this machine: 0.0.0.0/8, ::.
    Unspecified,
    /// Private networks: 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16.
    Private,
    /// Carrier-grade NAT: 100.64.0.0/10.
    CarrierNat,
    /// Link-local: 169.254.0.0/16, fe80::/10.
    LinkLocal,
    /// Metadata and credential services of cloud vendors. Opened only by an entry for the exact address.
    Metadata,
    /// IPv6 unique local addresses: fc00::/7.
    UniqueLocal,
    /// Deprecated IPv6 site-local addresses: fec0::/10.
    SiteLocal,
    /// Multicast: 224.0.0.0/4, ff00::/8.
    Multicast,
    /// Limited broadcast: 255.255.255.255.
    Broadcast,
    /// Documentation: 192.0.2.0/24, 198.51.100.0/24, 203.0.113.0/24, 2001:db8::/32, 3fff::/20.
    Documentation,
    /// Benchmarking: 198.18.0.0/15.
    Benchmarking,
    /// Protocol assignments and tunnels: 192.0.0.0/24, 192.88.99.0/24, 2001::/23 (Teredo, ORCHID and others).
    ProtocolAssignment,
    /// Local-use NAT64, whose inner address depends on the network: 64:ff9b:1::/48.
    Nat64Local,
    /// Deprecated IPv4-compatible addresses with an otherwise public inner address: ::/96.
    Ipv4Compatible,
    /// Everything else that is not public unicast: 240.0.0.0/4, and IPv6 outside 2000::/3.
    Reserved,
}

impl EgressRule {
    /// The stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Loopback => "loopback",
            Self::Unspecified => "unspecified",
            Self::Private => "private",
            Self::CarrierNat => "carrier_nat",
            Self::LinkLocal => "link_local",
            Self::Metadata => "metadata",
            Self::UniqueLocal => "unique_local",
            Self::SiteLocal => "site_local",
            Self::Multicast => "multicast",
            Self::Broadcast => "broadcast",
            Self::Documentation => "documentation",
            Self::Benchmarking => "benchmarking",
            Self::ProtocolAssignment => "protocol_assignment",
            Self::Nat64Local => "nat64_local",
            Self::Ipv4Compatible => "ipv4_compatible",
            Self::Reserved => "reserved",
        }
    }
}

impl fmt::Display for EgressRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How an IPv6 address carries an IPv4 one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EmbeddedForm {
    /// ::ffff:0:0/96.
    Ipv4Mapped,
    /// ::/96.
    Ipv4Compatible,
    /// 64:ff9b::/96.
    Nat64,
    /// 2002::/16, the address in bits 16 to 47.
    SixToFour,
}

impl EmbeddedForm {
    /// The stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ipv4Mapped => "ipv4_mapped",
            Self::Ipv4Compatible => "ipv4_compatible",
            Self::Nat64 => "nat64",
            Self::SixToFour => "6to4",
        }
    }
}

impl fmt::Display for EmbeddedForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(segments: [u16; 8], prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::from_segments(segments), prefix)
}

/// First match wins: metadata addresses lie inside wider ranges, broadcast inside the reserved one.
const V4: &[(Ipv4Net, EgressRule)] = &[
    (v4(169, 254, 169, 254, 32), EgressRule::Metadata), // most vendors
    (v4(169, 254, 170, 2, 32), EgressRule::Metadata),   // AWS ECS task credentials
    (v4(169, 254, 170, 23, 32), EgressRule::Metadata),  // AWS EKS pod identity
    (v4(169, 254, 0, 23, 32), EgressRule::Metadata),    // Tencent Cloud
    (v4(169, 254, 42, 42, 32), EgressRule::Metadata),   // Scaleway
    (v4(100, 100, 100, 200, 32), EgressRule::Metadata), // Alibaba Cloud
    (v4(192, 0, 0, 192, 32), EgressRule::Metadata),     // Oracle Cloud, older form
    (v4(168, 63, 129, 16, 32), EgressRule::Metadata),   // Azure platform services, in public space
    (v4(127, 0, 0, 0, 8), EgressRule::Loopback),
    (v4(0, 0, 0, 0, 8), EgressRule::Unspecified),
    (v4(10, 0, 0, 0, 8), EgressRule::Private),
    (v4(172, 16, 0, 0, 12), EgressRule::Private),
    (v4(192, 168, 0, 0, 16), EgressRule::Private),
    (v4(100, 64, 0, 0, 10), EgressRule::CarrierNat),
    (v4(169, 254, 0, 0, 16), EgressRule::LinkLocal),
    (v4(192, 0, 0, 0, 24), EgressRule::ProtocolAssignment),
    (v4(192, 88, 99, 0, 24), EgressRule::ProtocolAssignment),
    (v4(192, 0, 2, 0, 24), EgressRule::Documentation),
    (v4(198, 51, 100, 0, 24), EgressRule::Documentation),
    (v4(203, 0, 113, 0, 24), EgressRule::Documentation),
    (v4(198, 18, 0, 0, 15), EgressRule::Benchmarking),
    (v4(224, 0, 0, 0, 4), EgressRule::Multicast),
    (v4(255, 255, 255, 255, 32), EgressRule::Broadcast),
    (v4(240, 0, 0, 0, 4), EgressRule::Reserved),
];

/// First match wins. What matches nothing is public inside 2000::/3 and reserved outside.
const V6: &[(Ipv6Net, EgressRule)] = &[
    (v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], 128), EgressRule::Metadata), // AWS
    (v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23], 128), EgressRule::Metadata),  // AWS EKS pod identity
    (v6([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], 128), EgressRule::Metadata),  // Google Cloud
    (v6([0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42], 128), EgressRule::Metadata),   // Scaleway
    (v6([0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe], 128), EgressRule::Metadata), // OpenStack
    (v6([0, 0, 0, 0, 0, 0, 0, 0], 128), EgressRule::Unspecified),
    (v6([0, 0, 0, 0, 0, 0, 0, 1], 128), EgressRule::Loopback),
    (v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48), EgressRule::Nat64Local),
    (v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7), EgressRule::UniqueLocal),
    (v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10), EgressRule::LinkLocal),
    (v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10), EgressRule::SiteLocal),
    (v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8), EgressRule::Multicast),
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23), EgressRule::ProtocolAssignment),
    (v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), EgressRule::Documentation),
    (v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), EgressRule::Documentation),
];

const GLOBAL_UNICAST: Ipv6Net = v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);
const MAPPED: Ipv6Net = v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96);
const COMPATIBLE: Ipv6Net = v6([0, 0, 0, 0, 0, 0, 0, 0], 96);
const NAT64: Ipv6Net = v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96);
const SIX_TO_FOUR: Ipv6Net = v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16);

/// The rule that blocks an IPv4 address, `None` when it is public unicast.
pub(super) fn judge_v4(address: Ipv4Addr) -> Option<EgressRule> {
    V4.iter().find(|(net, _)| net.contains(&address)).map(|(_, rule)| *rule)
}

/// The rule that blocks an IPv6 address, with the IPv4 address inside when that one was judged.
pub(super) fn judge_v6(address: Ipv6Addr) -> (Option<EgressRule>, Option<(EmbeddedForm, Ipv4Addr)>) {
    if let Some((_, rule)) = V6.iter().find(|(net, _)| net.contains(&address)) {
        return (Some(*rule), None);
    }
    if let Some((form, inner)) = embedded_v4(address) {
        // Nothing legitimate is reached by an IPv4-compatible address, whatever it holds.
        let fallback = (form == EmbeddedForm::Ipv4Compatible).then_some(EgressRule::Ipv4Compatible);
        return (judge_v4(inner).or(fallback), Some((form, inner)));
    }
    ((!GLOBAL_UNICAST.contains(&address)).then_some(EgressRule::Reserved), None)
}

fn embedded_v4(address: Ipv6Addr) -> Option<(EmbeddedForm, Ipv4Addr)> {
    let low = Ipv4Addr::from_bits(address.to_bits() as u32);
    if MAPPED.contains(&address) {
        Some((EmbeddedForm::Ipv4Mapped, low))
    } else if COMPATIBLE.contains(&address) {
        Some((EmbeddedForm::Ipv4Compatible, low))
    } else if NAT64.contains(&address) {
        Some((EmbeddedForm::Nat64, low))
    } else if SIX_TO_FOUR.contains(&address) {
        Some((EmbeddedForm::SixToFour, Ipv4Addr::from_bits((address.to_bits() >> 80) as u32)))
    } else {
        None
    }
}
