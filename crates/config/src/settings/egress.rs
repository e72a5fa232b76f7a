//! `[egress]`: which non-public networks outbound calls may reach. Used by the HTTP client's policy.

use ipnet::IpNet;

use crate::reader::Section;
use crate::syntax;

/// Holds `[egress]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EgressSettings {
    /// `allow`: networks that outbound calls may reach besides the public internet; a bare address stands
    /// for itself alone. Default none.
    pub allow: Vec<IpNet>,
}

impl EgressSettings {
    pub(crate) fn read(mut section: Section<'_>) -> Self {
        let allow = section.list("allow", syntax::network).unwrap_or_default();
        section.finish(|_| None);
        Self { allow }
    }
}
