//! `[packs]`: directories of packs to load. Only the paths are read here; the hub loads what they hold.

use std::path::PathBuf;

use crate::error::Problem;
use crate::reader::Section;

/// Holds `[packs]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PacksSettings {
    /// `load`: directories of packs; a relative path starts at the configuration file's directory. Default
    /// none.
    pub load: Vec<PathBuf>,
}

impl PacksSettings {
    pub(crate) fn read(mut section: Section<'_>) -> Self {
        let base_dir = section.scope.base_dir.clone();
        let path = |text: &str| match text {
            "" => Err(Problem::new("is empty", "write the path of a pack's directory")),
            _ => Ok(base_dir.join(text)),
        };
        let load = section.list("load", path).unwrap_or_default();
        section.finish(|_| None);
        Self { load }
    }
}
