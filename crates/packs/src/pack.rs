//! A loaded pack: everything in its folder, read, checked and compiled.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::document::{FaultSink, parse_json, parse_yaml};
use crate::draft::CataloguedType;
use crate::event_types;
use crate::fault::{PackFault, Position};
use crate::folder::{self, Contents, Part};
use crate::manifest::{self, Manifest};
use crate::samples::{self, Sample};
use crate::test_files::{self, PackTest, Surroundings};

/// Where something is declared.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) file: PathBuf,
    pub(crate) position: Position,
}

/// A pack without faults.
#[derive(Debug)]
pub struct Pack {
    dir: PathBuf,
    manifest: Manifest,
    name_place: Place,
    types: Vec<(Place, Arc<CataloguedType>)>,
    samples: Vec<Sample>,
    tests: Vec<PackTest>,
}

impl Pack {
    /// Loads the pack in a folder, whole.
    ///
    /// # Errors
    ///
    /// Every fault of every file, in the order of files and lines. Faults of one kind can hide others: schemas are
    /// compiled when all of them are well written.
    pub fn load(dir: &Path) -> Result<Self, Vec<PackFault>> {
        let (contents, mut faults) = folder::read(dir);
        let manifest = read_manifest(&contents, &mut faults);
        let name = manifest.as_ref().map_or("", |(_, manifest)| &manifest.name);
        let (types, found) = event_types::read(name, &contents);
        faults.extend(found);
        // Without all types, samples of the missing ones would be blamed for it.
        let events = types.as_ref().map(|types| {
            let known = types.iter().map(|(_, one)| one.event_type().clone()).collect();
            read_events(&contents, &known, &mut faults)
        });
        match (manifest, types, events) {
            (Some((name_place, manifest)), Some(types), Some((samples, tests))) if faults.is_empty() => {
                Ok(Self { dir: dir.to_owned(), manifest, name_place, types, samples, tests })
            }
            _ => {
                faults.sort();
                faults.dedup();
                Err(faults)
            }
        }
    }

    /// The folder it was loaded from.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What it says about itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Its event types.
    pub fn types(&self) -> impl Iterator<Item = &Arc<CataloguedType>> {
        self.types.iter().map(|(_, one)| one)
    }

    /// Its event types with where they are declared.
    pub(crate) fn declared(&self) -> &[(Place, Arc<CataloguedType>)] {
        &self.types
    }

    /// Where its name is declared.
    pub(crate) fn name_place(&self) -> &Place {
        &self.name_place
    }

    /// Its sample events, by name.
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// Its tests, by file and line.
    pub fn tests(&self) -> &[PackTest] {
        &self.tests
    }
}

fn read_manifest(contents: &Contents, faults: &mut Vec<PackFault>) -> Option<(Place, Manifest)> {
    let (path, text) = contents.manifest.as_ref()?;
    let mut sink = FaultSink::new(path);
    let manifest = match parse_yaml(text) {
        Ok(node) => {
            let place = Place { file: path.clone(), position: node.position_of("/name") };
            manifest::read(&node, &mut sink).map(|manifest| (place, manifest))
        }
        Err(found) => {
            sink.syntax(found);
            None
        }
    };
    faults.extend(sink.into_faults());
    manifest
}

/// Reads samples and tests, which refer to types and samples.
fn read_events(
    contents: &Contents,
    types: &BTreeSet<trunkline_model::EventType>,
    faults: &mut Vec<PackFault>,
) -> (Vec<Sample>, Vec<PackTest>) {
    let mut samples = Vec::new();
    let mut broken: BTreeSet<String> = contents.unread_of(Part::Samples).map(str::to_owned).collect();
    for file in contents.of(Part::Samples) {
        let mut sink = FaultSink::new(&file.path);
        let event = match parse_json(&file.text) {
            Err(found) => {
                sink.syntax(found);
                None
            }
            Ok(node) => samples::read_event(&node, &mut sink).inspect(|event| {
                test_files::check_type(event, &node, types, &mut sink);
            }),
        };
        match event {
            Some(event) => samples.push(Sample { name: file.stem.clone(), file: file.path.clone(), event }),
            None => drop(broken.insert(file.stem.clone())),
        }
        faults.extend(sink.into_faults());
    }
    let mut tests = Vec::new();
    for file in contents.of(Part::Tests) {
        let (read, found) =
            test_files::read(file, &Surroundings { samples: &samples, broken: &broken, types });
        tests.extend(read);
        faults.extend(found);
    }
    (samples, tests)
}
