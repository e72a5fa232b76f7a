//! `[packs]`: directories of packs to load. Only the paths are read here; the hub loads what they hold.

use std::path::PathBuf;

use crate::error::Problem;
use crate::reader::Section;
use crate::syntax::tenant_name;

/// Holds `[packs]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PacksSettings {
    /// `load`: directories of packs; a relative path starts at the configuration file's directory. Default
    /// none.
    pub load: Vec<PathBuf>,
    /// `tenants`: whose the packs' workflows are. Default `default`.
    pub tenants: Vec<String>,
}

impl Default for PacksSettings {
    fn default() -> Self {
        Self { load: Vec::new(), tenants: vec!["default".to_owned()] }
    }
}

impl PacksSettings {
    pub(crate) fn read(mut section: Section<'_>) -> Self {
        let base_dir = section.scope.base_dir.clone();
        let path = |text: &str| match text {
            "" => Err(Problem::new("is empty", "write the path of a pack's directory")),
            _ => Ok(base_dir.join(text)),
        };
        let load = section.list("load", path).unwrap_or_default();
        let tenants = section.list("tenants", tenant_name).unwrap_or_else(|| Self::default().tenants);
        section.finish(|_| None);
        Self { load, tenants }
    }
}
