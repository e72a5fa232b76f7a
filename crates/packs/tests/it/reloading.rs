//! Reloading: what changed comes in, what is broken stays out, and the packs stay compatible with each other.

use std::path::PathBuf;

use trunkline_model::EventType;
use trunkline_packs::{PackSet, fingerprint};

use crate::fixture::{AnyWorkflow, Fixture, MANIFEST, PING, SAMPLE};

fn set(fixtures: &[&Fixture]) -> PackSet {
    PackSet::load(fixtures.iter().map(|fixture| fixture.dir().to_owned()))
}

fn types(set: &PackSet) -> Vec<String> {
    set.catalogue().iter().map(|one| one.event_type().to_string()).collect()
}

fn problems<'f>(faults: impl IntoIterator<Item = &'f trunkline_packs::PackFault>) -> Vec<String> {
    faults.into_iter().map(|fault| fault.problem.clone()).collect()
}

/// A pack of the given name with one type, without samples and tests.
fn pack(name: &str, event_type: &str) -> Fixture {
    let fixture = Fixture::empty();
    fixture.write("pack.yaml", MANIFEST.replace("small", name));
    declare(&fixture, event_type);
    fixture
}

fn declare(fixture: &Fixture, event_type: &str) {
    let schema =
        PING.replace("ping.sent", event_type).replace("defs/texts.json#/$defs/note", "#/properties/id");
    let example = schema.replace(", \"note\": \"hello\"", "");
    fixture.write("schemas/only.json", example);
}

#[test]
fn nothing_happens_until_a_file_changes() {
    let fixture = Fixture::new();
    let mut set = set(&[&fixture]);
    assert_eq!(types(&set), ["ping.sent"]);
    let reload = set.reload();
    assert!(!reload.changed() && reload.faults.is_empty());
}

#[test]
fn a_change_comes_in() {
    let fixture = Fixture::new();
    let mut set = set(&[&fixture]);
    let before = set.catalogue().clone();
    fixture.write("schemas/pong.sent.json", PING.replace("ping.sent", "pong.sent"));
    let reload = set.reload();
    assert!(reload.changed() && reload.faults.is_empty());
    assert_eq!(types(&set), ["ping.sent", "pong.sent"]);
    assert!(
        before.get(&EventType::parse("pong.sent").unwrap(), None).is_none(),
        "a catalogue in use stays as it is"
    );
}

#[test]
fn a_broken_pack_keeps_the_old_one() {
    let fixture = Fixture::new();
    let mut set = set(&[&fixture]);
    fixture.write("schemas/ping.sent.json", "{");
    fixture.write("pack.yaml", "name: other\n");
    let reload = set.reload();
    assert!(!reload.changed());
    assert!(reload.faults.len() > 1);
    assert_eq!(reload.faults, set.faults().cloned().collect::<Vec<_>>());
    assert_eq!(types(&set), ["ping.sent"]);
    assert_eq!(set.packs().next().unwrap().manifest().name, "small");
    assert!(set.reload().faults.is_empty(), "the same faults are reported once");
    fixture.write("schemas/ping.sent.json", PING);
    fixture.write("pack.yaml", MANIFEST);
    assert!(set.reload().changed());
    assert_eq!(set.faults().count(), 0);
}

#[test]
fn a_folder_that_goes_away_keeps_its_pack() {
    let fixture = Fixture::new();
    let mut set = set(&[&fixture]);
    std::fs::remove_dir_all(fixture.dir()).unwrap();
    let reload = set.reload();
    assert_eq!(problems(&reload.faults), ["cannot be opened: entity not found"]);
    assert_eq!(types(&set), ["ping.sent"]);
}

#[test]
fn a_broken_pack_at_the_start_stays_out_until_it_is_mended() {
    let (good, bad) = (pack("good", "good.thing"), pack("bad", "bad..thing"));
    let mut set = set(&[&good, &bad]);
    assert_eq!(types(&set), ["good.thing"]);
    assert_eq!(set.faults().count(), 1);
    declare(&bad, "bad.thing");
    assert!(set.reload().changed());
    assert_eq!(types(&set), ["bad.thing", "good.thing"]);
}

#[test]
fn the_later_of_two_packs_that_clash_gives_way() {
    let (first, second) = (pack("first", "thing.made"), pack("second", "thing.made"));
    let mut set = set(&[&first, &second]);
    let expect = format!("the event type thing.made is taken by the pack in {}", first.dir().display());
    assert_eq!(problems(set.faults()), [expect]);
    let fault = set.faults().next().unwrap();
    assert_eq!(fault.file, second.path("schemas/only.json"));
    assert_eq!(fault.position.unwrap().line, 2);
    assert_eq!(set.packs().count(), 1);
    assert!(set.reload().faults.is_empty());
    // The clash ends when the *other* folder changes.
    declare(&first, "thing.built");
    let reload = set.reload();
    assert_eq!(reload.loaded.len(), 2);
    assert_eq!(types(&set), ["thing.built", "thing.made"]);
    assert_eq!(set.faults().count(), 0);
}

#[test]
fn a_pack_in_use_never_gives_way() {
    let (first, second) = (pack("first", "a.done"), pack("second", "b.done"));
    let mut set = set(&[&first, &second]);
    declare(&first, "b.done");
    let reload = set.reload();
    assert!(!reload.changed());
    assert_eq!(reload.faults[0].file, first.path("schemas/only.json"));
    assert_eq!(types(&set), ["a.done", "b.done"]);
}

#[test]
fn types_can_move_between_packs() {
    let (first, second) = (pack("first", "a.done"), pack("second", "b.done"));
    let mut set = set(&[&first, &second]);
    declare(&first, "b.done");
    declare(&second, "a.done");
    let reload = set.reload();
    assert_eq!(reload.loaded.len(), 2);
    assert!(reload.faults.is_empty());
    let origins: Vec<_> =
        set.packs().flat_map(|pack| pack.types().map(|one| one.event_type().to_string())).collect();
    assert_eq!(origins, ["b.done", "a.done"]);
}

#[test]
fn two_packs_of_one_name_clash() {
    let (first, second) = (pack("same", "a.done"), pack("same", "b.done"));
    let set = set(&[&first, &second]);
    assert!(problems(set.faults())[0].starts_with("the name same is taken by the pack in"));
    assert_eq!(set.faults().next().unwrap().file, second.path("pack.yaml"));
}

#[test]
fn a_fingerprint_sees_every_change() {
    let fixture = Fixture::new();
    let mut seen = vec![fingerprint(fixture.dir())];
    let mut changed = |what: &str| {
        let now = fingerprint(fixture.dir());
        assert!(!seen.contains(&now), "{what}");
        seen.push(now);
    };
    fixture.write("samples/first.json", format!("{SAMPLE} "));
    changed("another size");
    fixture.write("schemas/defs/new.json", "{}");
    changed("a new file, two folders down");
    let replaced = fixture.path("next");
    std::fs::write(&replaced, std::fs::read(fixture.path("pack.yaml")).unwrap()).unwrap();
    std::fs::rename(&replaced, fixture.path("pack.yaml")).unwrap();
    changed("the same content in another file");
    fixture.remove("samples/first.json");
    changed("a file less");
    assert_eq!(fingerprint(fixture.dir()), fingerprint(fixture.dir()));
    assert_ne!(fingerprint(&PathBuf::from("/nowhere/at/all")), fingerprint(fixture.dir()));
}

#[test]
fn a_workflow_that_changes_needs_another_version_and_a_judge() {
    let fixture = Fixture::new();
    let text = |version: &str, note: &str| format!("name: it/it\nversion: {version}\n# {note}\n");
    fixture.write("workflows/it.yaml", text("1", "one"));
    let unjudged = set(&[&fixture]);
    assert_eq!(problems(unjudged.faults()), ["nobody here can judge workflows"]);
    let mut set = PackSet::load_judged([fixture.dir().to_owned()], std::sync::Arc::new(AnyWorkflow));
    let texts = |set: &PackSet| {
        set.packs().flat_map(|pack| pack.workflows().map(|it| it.text.clone())).collect::<Vec<_>>()
    };
    assert_eq!(texts(&set), [text("1", "one")]);
    fixture.write("workflows/it.yaml", text("1", "another"));
    let reload = set.reload();
    assert_eq!(problems(&reload.faults), ["version 1 of it/it has another content than before"]);
    assert_eq!(texts(&set), [text("1", "one")]);
    fixture.write("workflows/it.yaml", text("2", "another one"));
    assert!(set.reload().changed());
    assert_eq!(texts(&set), [text("2", "another one")]);
}
