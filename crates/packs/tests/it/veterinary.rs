//! The veterinary pack that comes with the hub: complete, right, and tested per entity.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::fixture::AnyWorkflow;
use serde_json::Value;
use trunkline_packs::{Catalogue, ExpectedSchema, Pack, run_tests};

fn dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packs/veterinary")
}

fn load() -> Pack {
    match Pack::load_judged(&dir(), std::sync::Arc::new(AnyWorkflow)) {
        Ok(pack) => pack,
        Err(faults) => {
            let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
            panic!("{}", faults.join("\n"));
        }
    }
}

fn names(pack: &Pack) -> BTreeSet<String> {
    pack.types().map(|one| one.event_type().to_string()).collect()
}

#[test]
fn it_has_every_event_of_the_catalogue() {
    let expect = [
        ("patient", "created updated deleted"),
        ("client", "created updated deleted"),
        ("appointment", "created updated cancelled completed deleted"),
        ("invoice", "created updated paid overdue cancelled deleted"),
        ("medical_record", "created updated completed deleted"),
        ("lab_test", "created ordered updated completed cancelled deleted"),
        ("prescription", "created updated refilled completed cancelled deleted"),
        ("webhook", "test"),
    ];
    let expect: BTreeSet<String> = expect
        .iter()
        .flat_map(|(entity, verbs)| verbs.split(' ').map(move |verb| format!("{entity}.{verb}")))
        .collect();
    assert_eq!(names(&load()), expect);
    assert!(expect.len() >= 30);
}

#[test]
fn every_type_has_an_example_that_fits_and_a_sample_of_its_own() {
    let pack = load();
    let catalogue = Catalogue::of(pack.types().cloned()).unwrap();
    for one in pack.types() {
        let declared = one.declared();
        let name = declared.event_type.as_str();
        let example = declared.example.as_ref().unwrap();
        assert!(catalogue.validate(&declared.event_type, None, example).is_valid(), "{name}");
        let sample = pack.samples().iter().find(|sample| sample.name == name).expect(name);
        assert_eq!(sample.event.event_type, declared.event_type);
        assert_ne!(sample.event.data, *example, "{name}: a sample adds another case");
        assert!(!declared.title.is_empty() && !declared.description.is_empty());
    }
}

#[test]
fn every_object_is_closed() {
    let pack = load();
    let catalogue = Catalogue::of(pack.types().cloned()).unwrap();
    for one in pack.types() {
        let declared = one.declared();
        let mut data = declared.example.clone().unwrap();
        data["unheard_of"] = Value::Bool(true);
        assert!(!catalogue.validate(&declared.event_type, None, &data).is_valid(), "{}", declared.event_type);
    }
}

#[test]
fn its_tests_pass_and_cover_every_entity() {
    let pack = load();
    let failures: Vec<String> = run_tests(&pack)
        .into_iter()
        .flat_map(|outcome| outcome.failures)
        .map(|failure| failure.to_string())
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    let entity = |name: &str| name.split('.').next().unwrap().to_owned();
    let covered = |wanted: fn(&ExpectedSchema) -> bool| -> BTreeSet<String> {
        let tests = pack.tests().iter();
        tests
            .filter(|test| test.expect.schema.as_ref().is_some_and(|(_, expected)| wanted(expected)))
            .map(|test| entity(test.given.event_type.as_str()))
            .collect()
    };
    let entities: BTreeSet<String> = names(&pack).iter().map(|name| entity(name)).collect();
    assert_eq!(covered(|expected| *expected == ExpectedSchema::Valid), entities);
    assert_eq!(covered(|expected| matches!(expected, ExpectedSchema::Invalid { .. })), entities);
}
