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
use crate::workflows::{self, Judge, Judges, PackWorkflow, WorkflowTest};

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
    workflows: Vec<(Place, PackWorkflow)>,
    workflow_tests: Vec<WorkflowTest>,
}

impl Pack {
    /// Loads the pack in a folder, whole.
    ///
    /// # Errors
    ///
    /// Every fault of every file, in the order of files and lines. Faults of one kind can hide others: schemas are
    /// compiled when all of them are well written.
    pub fn load(dir: &Path) -> Result<Self, Vec<PackFault>> {
        Self::load_with(dir, &Judges::default())
    }

    /// Loads the pack in a folder, whole; `judge` checks its workflows.
    ///
    /// # Errors
    ///
    /// As [`Pack::load`].
    pub fn load_judged(dir: &Path, judge: Arc<dyn Judge>) -> Result<Self, Vec<PackFault>> {
        Self::load_with(dir, &Judges(Some(judge)))
    }

    pub(crate) fn load_with(dir: &Path, judges: &Judges) -> Result<Self, Vec<PackFault>> {
        let (contents, mut faults) = folder::read(dir);
        let manifest = read_manifest(&contents, &mut faults);
        let name = manifest.as_ref().map_or("", |(_, manifest)| &manifest.name);
        let (types, found) = event_types::read(name, &contents);
        faults.extend(found);
        let workflows = workflows::read(&contents, judges, &mut faults);
        // Without all types, samples of the missing ones would be blamed for it.
        let events = types.as_ref().map(|types| {
            let known = types.iter().map(|(_, one)| one.event_type().clone()).collect();
            let names = workflows.iter().map(|(_, it)| it.name.name.clone()).collect();
            read_events(&contents, &known, (judges, names), &mut faults)
        });
        match (manifest, types, events) {
            (Some((name_place, manifest)), Some(types), Some((samples, (tests, workflow_tests))))
                if faults.is_empty() =>
            {
                let dir = dir.to_owned();
                Ok(Self { dir, manifest, name_place, types, samples, tests, workflows, workflow_tests })
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

    /// Its workflows, by file.
    pub fn workflows(&self) -> impl Iterator<Item = &PackWorkflow> {
        self.workflows.iter().map(|(_, one)| one)
    }

    /// Its workflows with where they are declared.
    pub(crate) fn declared_workflows(&self) -> &[(Place, PackWorkflow)] {
        &self.workflows
    }

    /// Its tests of workflows, by file and line.
    pub fn workflow_tests(&self) -> &[WorkflowTest] {
        &self.workflow_tests
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
    (judges, workflows): (&Judges, Vec<String>),
    faults: &mut Vec<PackFault>,
) -> (Vec<Sample>, (Vec<PackTest>, Vec<WorkflowTest>)) {
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
    let (mut tests, mut workflow_tests) = (Vec::new(), Vec::new());
    let around = Surroundings { samples: &samples, broken: &broken, types, judges, workflows: &workflows };
    for file in contents.of(Part::Tests) {
        let ((read, of_workflows), found) = test_files::read(file, &around);
        tests.extend(read);
        workflow_tests.extend(of_workflows);
        faults.extend(found);
    }
    (samples, (tests, workflow_tests))
}
