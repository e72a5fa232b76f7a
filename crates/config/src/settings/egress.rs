//! `[egress]`: which non-public networks outbound calls may reach, and whom they trust. Used by the HTTP client's policy.

use std::path::PathBuf;

use ipnet::IpNet;

use crate::reader::Section;
use crate::syntax;

/// Holds `[egress]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EgressSettings {
    /// `allow`: networks that outbound calls may reach besides the public internet; a bare address stands
    /// for itself alone. Default none.
    pub allow: Vec<IpNet>,
    /// `ca_files`: files of certificates, in PEM, of authorities that are trusted besides the public ones. Default none.
    pub ca_files: Vec<PathBuf>,
}

impl EgressSettings {
    pub(crate) fn read(mut section: Section<'_>) -> Self {
        let allow = section.list("allow", syntax::network).unwrap_or_default();
        let ca_files = section.list("ca_files", |text| Ok(PathBuf::from(text))).unwrap_or_default();
        section.finish(|_| None);
        Self { allow, ca_files }
    }
}
