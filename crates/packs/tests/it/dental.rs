//! The dental pack that comes with the hub: complete, right, and tested per event type.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use crate::fixture::AnyWorkflow;
use serde_json::{Value, json};
use trunkline_packs::{Catalogue, Pack, run_tests};

fn load() -> Pack {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packs/dental");
    match Pack::load_judged(&dir, Arc::new(AnyWorkflow)) {
        Ok(pack) => pack,
        Err(faults) => {
            let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
            panic!("{}", faults.join("\n"));
        }
    }
}

#[test]
fn every_type_has_a_sample_a_test_and_a_closed_schema() {
    let pack = load();
    let catalogue = Catalogue::of(pack.types().cloned()).unwrap();
    let tested = pack.tests().iter().filter(|test| test.expect.schema.is_some());
    let tested: BTreeSet<&str> = tested.map(|test| test.given.event_type.as_str()).collect();
    for one in pack.types() {
        let declared = one.declared();
        let name = declared.event_type.as_str();
        let example = declared.example.as_ref().unwrap();
        assert!(catalogue.validate(&declared.event_type, None, example).is_valid(), "{name}");
        let sample = pack.samples().iter().find(|sample| sample.name == name).expect(name);
        assert_ne!(sample.event.data, *example, "{name}: a sample adds another case");
        assert!(tested.contains(name), "{name}");
        let mut data = example.clone();
        data["unheard_of"] = Value::Bool(true);
        assert!(!catalogue.validate(&declared.event_type, None, &data).is_valid(), "{name}");
    }
    assert_eq!(pack.types().count(), 9);
}

#[test]
fn what_is_personal_is_below_the_patient() {
    let pack = load();
    let catalogue = Catalogue::of(pack.types().cloned()).unwrap();
    let practice = pack.types().filter(|one| one.event_type().as_str().starts_with("dental."));
    for one in practice {
        let declared = one.declared();
        for name in ["given_name", "family_name", "birth_date", "phone", "email"] {
            let mut data = declared.example.clone().unwrap();
            data[name] = json!("1990-12-10");
            assert!(!catalogue.validate(&declared.event_type, None, &data).is_valid(), "{name}");
        }
    }
}

#[test]
fn its_tests_of_schemas_pass() {
    let failures: Vec<String> = run_tests(&load())
        .into_iter()
        .flat_map(|outcome| outcome.failures)
        .map(|failure| failure.to_string())
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
