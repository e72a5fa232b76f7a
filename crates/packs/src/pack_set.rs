//! The packs a hub runs with: loaded together, looked at again when their folders change, never half changed.
//!
//! Per folder there is at most one pack in use, and one that *waits*: it was loaded without faults, but shares its name
//! or an event type with a pack in use. A reload first loads every folder that looks different, then lets in all that
//! wait if they get along, else one by one in the order of the configuration. Whoever cannot come in gives way, which
//! means that its old pack stays: one folder's fault never takes another folder's pack out of use.

use std::path::PathBuf;
use std::sync::Arc;

use crate::catalogue::Catalogue;
use crate::fault::PackFault;
use crate::fingerprint::{Fingerprint, fingerprint};
use crate::pack::{Pack, Place};
use crate::workflows::{Judge, Judges, WorkflowName};

/// The configured packs.
#[derive(Debug)]
pub struct PackSet {
    folders: Vec<Folder>,
    catalogue: Catalogue,
    judges: Judges,
}

#[derive(Debug)]
struct Folder {
    dir: PathBuf,
    /// How the folder looked before it was last loaded.
    seen: Option<Fingerprint>,
    /// The pack in use.
    pack: Option<Arc<Pack>>,
    /// A good pack that cannot come into use yet.
    waiting: Option<Arc<Pack>>,
    /// Why the folder is not in use as it is now.
    faults: Vec<PackFault>,
}

/// What a reload did.
#[derive(Debug, Default)]
pub struct Reload {
    /// Packs that are new or differ from before.
    pub loaded: Vec<Arc<Pack>>,
    /// Why folders that changed were not loaded; what was in use before stays.
    pub faults: Vec<PackFault>,
}

impl Reload {
    /// Tells whether the catalogue is another one now.
    pub fn changed(&self) -> bool {
        !self.loaded.is_empty()
    }
}

impl PackSet {
    /// Loads the packs of the given folders, in their order. Broken ones stay out; [`Self::faults`] says why.
    pub fn load(dirs: impl IntoIterator<Item = PathBuf>) -> Self {
        Self::load_with(dirs, Judges::default())
    }

    /// The same, with somebody who judges workflows.
    pub fn load_judged(dirs: impl IntoIterator<Item = PathBuf>, judge: Arc<dyn Judge>) -> Self {
        Self::load_with(dirs, Judges(Some(judge)))
    }

    fn load_with(dirs: impl IntoIterator<Item = PathBuf>, judges: Judges) -> Self {
        let empty = |dir| Folder { dir, seen: None, pack: None, waiting: None, faults: Vec::new() };
        let folders = dirs.into_iter().map(empty).collect();
        let mut set = Self { folders, catalogue: Catalogue::default(), judges };
        set.reload();
        set
    }

    /// Loads every folder again whose look has changed. A broken pack is refused whole and the old one stays.
    pub fn reload(&mut self) -> Reload {
        let mut report = Reload::default();
        if !self.load_changed(&mut report) {
            return report;
        }
        let before: Vec<_> = self.folders.iter().map(|folder| folder.pack.clone()).collect();
        self.admit();
        for (folder, before) in self.folders.iter().zip(before) {
            let is_same = match (&folder.pack, &before) {
                (Some(now), Some(before)) => Arc::ptr_eq(now, before),
                (now, _) => now.is_none(),
            };
            if let Some(pack) = folder.pack.as_ref().filter(|_| !is_same) {
                report.loaded.push(Arc::clone(pack));
            }
        }
        for index in 0..self.folders.len() {
            let Some(waiting) = self.folders[index].waiting.clone() else { continue };
            let clashes = self.clashes(index, &waiting, Folder::in_use);
            if self.folders[index].faults != clashes {
                report.faults.extend(clashes.iter().cloned());
                self.folders[index].faults = clashes;
            }
        }
        let types = self.packs().flat_map(|pack| pack.types().cloned()).collect::<Vec<_>>();
        self.catalogue = Catalogue::of(types).expect("invariant: packs in use do not clash");
        report
    }

    /// Loads what looks different; tells whether anything did.
    fn load_changed(&mut self, report: &mut Reload) -> bool {
        let mut any = false;
        for folder in &mut self.folders {
            // Taken before loading: a change while loading is then seen next time.
            let seen = fingerprint(&folder.dir);
            if folder.seen == Some(seen) {
                continue;
            }
            any = true;
            folder.seen = Some(seen);
            let loaded = Pack::load_with(&folder.dir, &self.judges);
            match loaded.and_then(|pack| same_versions(folder.pack.as_deref(), pack)) {
                Ok(pack) => {
                    folder.waiting = Some(Arc::new(pack));
                    folder.faults.clear();
                }
                Err(faults) => {
                    report.faults.extend(faults.iter().cloned());
                    folder.waiting = None;
                    folder.faults = faults;
                }
            }
        }
        any
    }

    /// Brings waiting packs into use: all at once if that clashes nowhere, so that types can move between packs.
    fn admit(&mut self) {
        let all_get_along = (0..self.folders.len()).all(|index| {
            let waiting = self.folders[index].waiting.as_ref();
            waiting.is_none_or(|pack| self.clashes(index, pack, Folder::newest).is_empty())
        });
        loop {
            let mut admitted = false;
            for index in 0..self.folders.len() {
                let Some(pack) = self.folders[index].waiting.clone() else { continue };
                if all_get_along || self.clashes(index, &pack, Folder::in_use).is_empty() {
                    let folder = &mut self.folders[index];
                    folder.pack = folder.waiting.take();
                    folder.faults.clear();
                    admitted = true;
                }
            }
            if !admitted {
                return;
            }
        }
    }

    /// Lists what keeps a pack of the folder at `index` from standing beside the packs of the others.
    fn clashes(&self, index: usize, pack: &Pack, of: fn(&Folder) -> Option<&Arc<Pack>>) -> Vec<PackFault> {
        let mut faults = Vec::new();
        let others = self.folders.iter().enumerate().filter(|(other, _)| *other != index);
        for (folder, other) in others.filter_map(|(_, folder)| Some((folder, of(folder)?))) {
            let mut fault = |place: &Place, what: String| {
                let problem = format!("{what} is taken by the pack in {}", folder.dir.display());
                faults.push(PackFault::new(&place.file, Some(place.position), problem, "rename one of them"));
            };
            if other.manifest().name == pack.manifest().name {
                fault(pack.name_place(), format!("the name {}", pack.manifest().name));
            }
            for (place, one) in pack.declared() {
                if other.types().any(|theirs| theirs.event_type() == one.event_type()) {
                    fault(place, format!("the event type {}", one.event_type()));
                }
            }
            for (place, one) in pack.declared_workflows() {
                if other.workflows().any(|theirs| theirs.name.name == one.name.name) {
                    fault(place, format!("the workflow {}", one.name.name));
                }
            }
        }
        faults
    }

    /// The packs in use, in the order of the configuration.
    pub fn packs(&self) -> impl Iterator<Item = &Arc<Pack>> {
        self.folders.iter().filter_map(|folder| folder.pack.as_ref())
    }

    /// All event types of the packs in use.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// Why folders are not in use as they are now; empty when all is well.
    pub fn faults(&self) -> impl Iterator<Item = &PackFault> {
        self.folders.iter().flat_map(|folder| &folder.faults)
    }
}

/// Refuses workflows that changed and kept their version: what runs under a version is what was read there.
fn same_versions(before: Option<&Pack>, pack: Pack) -> Result<Pack, Vec<PackFault>> {
    let Some(before) = before else { return Ok(pack) };
    let mut faults = Vec::new();
    for (place, workflow) in pack.declared_workflows() {
        let name = &workflow.name;
        let is_same = |old: &WorkflowName| old.name == name.name && old.version == name.version;
        if before.workflows().any(|old| is_same(&old.name) && old.name.hash != name.hash) {
            let problem =
                format!("version {} of {} has another content than before", name.version, name.name);
            let fix = "raise `document.version`";
            faults.push(PackFault::new(&place.file, Some(place.position), problem, fix));
        }
    }
    if faults.is_empty() { Ok(pack) } else { Err(faults) }
}

impl Folder {
    fn in_use(&self) -> Option<&Arc<Pack>> {
        self.pack.as_ref()
    }

    fn newest(&self) -> Option<&Arc<Pack>> {
        self.waiting.as_ref().or(self.pack.as_ref())
    }
}
