//! `[[tenants]]`: what holds for one tenant instead of, or besides, what holds for all. Used by the journal's retention and by
//! outbound calls.

use std::time::Duration;

use ipnet::IpNet;

use super::journal::{JournalSettings, read_retention, read_retention_bytes};
use crate::error::Problem;
use crate::reader::{Located, Scope, Section};
use crate::syntax;
use crate::tree::Table;

/// Holds one table `[[tenants]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantSettings {
    /// `name`: the tenant, as in tokens and sources.
    pub name: String,
    /// `retention_days`: how long its events are kept, 1 to 3650 days. Default as in `[journal]`.
    pub retention: Duration,
    /// `retention_bytes`: how much it may keep, from 1 MiB. Default as in `[journal]`.
    pub retention_bytes: Option<u64>,
    /// `egress_allow`: networks that calls made for it may reach besides those of `[egress] allow`. Default none.
    pub egress_allow: Vec<IpNet>,
}

pub(crate) fn read_tenants(
    tables: Vec<Located<Table>>,
    journal: &JournalSettings,
    scope: &mut Scope,
) -> Vec<TenantSettings> {
    let mut tenants: Vec<TenantSettings> = Vec::new();
    for (i, table) in tables.into_iter().enumerate() {
        let mut section = Section::new(format!("tenants[{i}]"), "tenants", table, scope);
        let (place, is_absent) = (section.place("name"), section.is_absent("name"));
        let name = section.parsed("name", syntax::tenant_name);
        let retention = read_retention(&mut section, journal.retention);
        let retention_bytes = read_retention_bytes(&mut section).or(journal.retention_bytes);
        let egress_allow = section.list("egress_allow", syntax::network).unwrap_or_default();
        if is_absent {
            section.fault(
                "name",
                place,
                Problem::new("is missing", "write name = \"…\" with the tenant's name"),
            );
        } else if let Some(before) = tenants.iter().position(|known| Some(&known.name) == name.as_ref()) {
            let problem = format!("is already the name of tenants[{before}]");
            section.fault("name", place, Problem::new(problem, "keep one table for each tenant"));
        }
        section.finish(|_| None);
        tenants.extend(name.map(|name| TenantSettings { name, retention, retention_bytes, egress_allow }));
    }
    tenants
}
