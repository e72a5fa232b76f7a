//! Scenarios: the conformance kit of the specification, and our own suite in the same grammar.
//!
//! `tests/features` holds ours, a file for each part of the language. Each scenario runs on the real engine on a real
//! store, with time and the outside in the scenario's hands. An unknown step fails its scenario, and so does a scenario
//! that checks nothing. After each scenario the records of its instances are folded and compared with what is in memory.

mod gherkin;
mod outside;
mod steps;
mod world;

use std::path::{Path, PathBuf};
use std::{fs, panic};

use futures_util::FutureExt as _;
use trunkline_testkit::{TestStore, for_each_store};

use self::gherkin::{Feature, Scenario};
use self::steps::{Kind, perform, sentence};
use self::world::{Hub, World};

/// Scenarios with this tag are not run, and counted.
const PENDING: &str = "pending";
/// Scenarios with this tag take long: they are run on one store only and not folded again.
const LONG: &str = "long";
/// The number of scenarios of the kit.
const N_KIT: usize = 21;
/// The least number of scenarios of our own.
const N_OURS: usize = 600;

/// A folder of the specification's documents, or `None` with a message where they are not beside the repository.
fn specification(folder: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let folder = beside.join("shared/data/open-workflow").join(folder);
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: the documents of the Open Workflow Specification are not at {}", folder.display());
    None
}

/// An official example. Scenarios that use one are not run where there are none.
fn official(name: &str) -> String {
    let folder = specification("examples").expect("invariant: looked for before");
    fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn ours() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/features")
}

fn features(folder: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|it| it == "feature")).collect();
    files.sort();
    files
}

fn read(path: &Path) -> Feature {
    let text = fs::read_to_string(path).unwrap();
    gherkin::read(&text).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

/// Runs a scenario; what is wrong with it is the error.
async fn run(hub: &mut Hub, scenario: &Scenario) -> Result<(), String> {
    let mut n_checks = 0;
    for step in &scenario.steps {
        let (kind, ..) = sentence(step).map_err(|why| format!("line {}: {why}", step.line))?;
        n_checks += usize::from(kind == Kind::Assert);
    }
    if n_checks == 0 {
        return Err("it checks nothing".to_owned());
    }
    let mut world = World::new(hub);
    for step in &scenario.steps {
        let done = panic::AssertUnwindSafe(perform(&mut world, step)).catch_unwind().await;
        done.map_err(|why| format!("line {}: {}: {}", step.line, step.text, said(why.as_ref())))?;
    }
    let folded = if scenario.has_tag(LONG) {
        Ok(())
    } else {
        panic::AssertUnwindSafe(world.assert_foldable()).catch_unwind().await
    };
    world.leave().await;
    folded.map_err(|why| format!("folding the records: {}", said(why.as_ref())))
}

fn said(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref().copied())
        .unwrap_or("?")
}

/// Runs the scenarios of a file that `wanted` takes. How many there were.
async fn run_file(home: &TestStore, path: &Path, wanted: impl Fn(&Scenario) -> bool) -> usize {
    let feature = read(path);
    let mut hub = Hub::new(home).await;
    let (mut n, mut faults) = (0, Vec::new());
    for scenario in feature.scenarios.iter().filter(|it| wanted(it)) {
        if scenario.has_tag(PENDING) {
            println!("pending: {}: {}", feature.name, scenario.name);
            continue;
        }
        n += 1;
        if let Err(why) = run(&mut hub, scenario).await {
            faults.push(format!("{}:{}: {}: {why}", path.display(), scenario.line, scenario.name));
        }
    }
    hub.stop().await;
    assert!(faults.is_empty(), "{} of {n} scenarios fail:\n{}", faults.len(), faults.join("\n"));
    n
}

#[test]
fn the_conformance_kit_passes() {
    let Some(folder) = specification("ctk/features") else { return };
    for_each_store(async |home| {
        let mut n = 0;
        for path in features(&folder) {
            n += run_file(home, &path, |_| true).await;
        }
        assert_eq!(n, N_KIT);
    });
}

/// A test for each file of ours, so that one can be run alone.
macro_rules! features {
    ($($name:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            feature(stringify!($name));
        })*
        const FEATURES: &[&str] = &[$(stringify!($name)),*];
    };
}

features! {
    approvals, calls, catalogue, children, compensation, control, crash, data_flow, definitions, emit, errors,
    examples, expressions, extensions, flow, fork, functions, lifecycle, limits, listen, look_back, loops, retry,
    schedules, secrets, sla, starts, switch, waits,
}

fn feature(name: &str) {
    let path = ours().join(format!("{name}.feature"));
    for_each_store(async |home| {
        let is_first = home.database().is_none();
        run_file(home, &path, |it| is_possible(it) && (is_first || !it.has_tag(LONG))).await;
    });
}

/// Whether the documents that a scenario uses are here.
fn is_possible(scenario: &Scenario) -> bool {
    let uses = scenario.steps.iter().any(|step| step.text.starts_with("the official example "));
    !uses || specification("examples").is_some()
}

#[test]
fn every_file_is_run_and_together_they_are_many() {
    let files = features(&ours());
    let names: Vec<&str> = files.iter().map(|path| path.file_stem().unwrap().to_str().unwrap()).collect();
    let mut known = FEATURES.to_vec();
    known.sort_unstable();
    assert_eq!(names, known);
    let scenarios: Vec<Scenario> = files.iter().flat_map(|path| read(path).scenarios).collect();
    let n = scenarios.iter().filter(|it| !it.has_tag(PENDING)).count();
    assert!(n >= N_OURS, "{n} scenarios");
}
