//! Tidy: the rules held against the repository, and each rule against samples that break it.

use std::collections::BTreeSet;
use std::path::Path;

use super::*;
use crate::layers::Use;
use crate::tree::TextFile;

fn files() -> Vec<TextFile> {
    tree::text_files(repository_root()).unwrap()
}

#[track_caller]
fn assert_none(mut faults: Vec<Fault>) {
    faults.sort();
    let list: Vec<String> = faults.iter().map(Fault::to_string).collect();
    assert!(faults.is_empty(), "{} faults:\n{}", list.len(), list.join("\n"));
}

fn is_member_manifest(file: &TextFile) -> bool {
    file.path.starts_with("crates") && file.path.ends_with("Cargo.toml")
}

#[test]
fn tidy_layers() {
    let (names, uses) = layers::read_uses(repository_root()).unwrap();
    assert!(names.len() > 5, "cargo metadata found the workspace");
    assert_none(layers::check_layers(repository_root(), &names, &uses));
}

#[test]
fn tidy_owners() {
    let (_, uses) = layers::read_uses(repository_root()).unwrap();
    assert_none(layers::check_owners(repository_root(), &uses));
}

#[test]
fn tidy_manifests() {
    let files = files();
    let members: Vec<&TextFile> = files.iter().filter(|file| is_member_manifest(file)).collect();
    let root = files.iter().find(|file| file.path == Path::new("Cargo.toml")).unwrap();
    let mut faults = manifests::check_root(root, &members);
    faults.extend(members.iter().flat_map(|member| manifests::check_member(member)));
    assert_none(faults);
}

#[test]
fn tidy_dependencies_are_used() {
    let files = files();
    let mut faults = Vec::new();
    for manifest in files.iter().filter(|file| is_member_manifest(file)) {
        let folder = manifest.path.parent().unwrap();
        let sources: Vec<&TextFile> =
            files.iter().filter(|file| file.path.starts_with(folder) && file.has_extension("rs")).collect();
        faults.extend(dependencies::check_used(manifest, &sources));
    }
    assert_none(faults);
}

#[test]
fn tidy_package_budget() {
    let files = files();
    let lock = files.iter().find(|file| file.path == Path::new("Cargo.lock")).unwrap();
    println!("{} packages in Cargo.lock", dependencies::count_packages(&lock.text));
    assert_none(dependencies::check_budget(lock));
}

#[test]
fn tidy_rust_files() {
    assert_none(files().iter().filter(|file| file.has_extension("rs")).flat_map(rust_files::check).collect());
}

#[test]
fn tidy_text() {
    assert_none(files().iter().flat_map(text::check_lines).collect());
}

#[test]
fn tidy_links() {
    let root = repository_root();
    let files = files();
    let pages = files.iter().filter(|file| file.has_extension("md"));
    assert_none(pages.flat_map(|page| text::check_links(page, root)).collect());
}

#[test]
fn tidy_error_pages() {
    let files = files();
    let pages = files.iter().filter(|file| file.path.starts_with("docs/errors") && file.has_extension("md"));
    assert_none(pages.flat_map(text::check_page).collect());
}

fn usage(user: &str, used: &str) -> Use {
    Use { user: user.to_owned(), used: used.to_owned(), is_member: true, is_dev: false }
}

fn check_layer(one: Use) -> Vec<String> {
    let names = BTreeSet::new();
    layers::check_layers(Path::new("/nonexistent"), &names, &[one])
        .into_iter()
        .map(|fault| fault.problem)
        .collect()
}

#[test]
fn arrows_point_down_only() {
    assert!(check_layer(usage("dispatch", "journal")).is_empty());
    assert!(check_layer(usage("journal", "store")).is_empty());
    assert!(check_layer(usage("hub", "bench")).is_empty());
    assert!(check_layer(Use { is_dev: true, ..usage("store", "testkit") }).is_empty());
    for (user, used) in [
        ("model", "store"),
        ("store", "journal"),
        ("ingest", "dispatch"),
        ("api", "live"),
        ("hub", "testkit"),
    ] {
        assert_eq!(check_layer(usage(user, used)).len(), 1, "{user} uses {used}");
    }
}

#[test]
fn a_crate_without_a_layer_is_found() {
    let names = BTreeSet::from(["novelty".to_owned()]);
    let faults = layers::check_layers(Path::new("/nonexistent"), &names, &[]);
    assert_eq!(faults[0].file, Path::new("crates/novelty/Cargo.toml"));
}

#[test]
fn libraries_have_owners() {
    let root = Path::new("/nonexistent");
    let outside = |user: &str, used: &str, is_dev| Use { is_member: false, is_dev, ..usage(user, used) };
    assert!(layers::check_owners(root, &[outside("store", "rusqlite", false)]).is_empty());
    assert!(layers::check_owners(root, &[outside("dispatch", "axum", true)]).is_empty());
    assert_eq!(layers::check_owners(root, &[outside("api", "rusqlite", true)]).len(), 1);
    assert_eq!(layers::check_owners(root, &[outside("store", "anyhow", false)]).len(), 1);
}

const MANIFEST: &str = "[package]\nname = \"trunkline-x\"\nversion.workspace = true\nedition.workspace = true\n\
     rust-version.workspace = true\nlicense.workspace = true\npublish.workspace = true\n\
     [lints]\nworkspace = true\n[dependencies]\nserde.workspace = true\n";

#[test]
fn manifests_take_everything_from_the_workspace() {
    let check = |text: &str| manifests::check_member(&TextFile::in_memory("crates/x/Cargo.toml", text));
    assert_eq!(check(MANIFEST), []);
    let faults = check(&format!("{MANIFEST}rand = \"0.9\"\n"));
    assert_eq!((faults.len(), faults[0].line), (1, 12));
    assert_eq!(check(&format!("{MANIFEST}[dependencies.rand]\nworkspace = true\n")).len(), 1);
    assert_eq!(check(&MANIFEST.replace("[lints]\nworkspace = true\n", "")).len(), 1);
    assert_eq!(check(&MANIFEST.replace("edition.workspace = true\n", "edition = \"2024\"\n")).len(), 1);
}

#[test]
fn the_root_declares_what_is_used() {
    let member = TextFile::in_memory("crates/x/Cargo.toml", MANIFEST);
    let check = |line: &str| {
        let root = TextFile::in_memory("Cargo.toml", &format!("[workspace.dependencies]\n{line}\n"));
        manifests::check_root(&root, &[&member]).len()
    };
    assert_eq!(check("serde = { version = \"1\", default-features = false }"), 0);
    assert_eq!(check("serde = \"1\""), 1);
    assert_eq!(check("rand = { version = \"1\", default-features = false }"), 1);
}

#[test]
fn unused_dependencies_are_found() {
    let manifest = TextFile::in_memory("crates/x/Cargo.toml", MANIFEST);
    let used = TextFile::in_memory("crates/x/src/lib.rs", "use serde::Serialize;\n");
    let unused = TextFile::in_memory("crates/x/src/lib.rs", "use serde_json::Value;\n");
    assert_eq!(dependencies::check_used(&manifest, &[&used]), []);
    assert_eq!(dependencies::check_used(&manifest, &[&unused])[0].line, 11);
}

#[test]
fn the_budget_counts_packages() {
    let lock = TextFile::in_memory("Cargo.lock", &"[[package]]\n".repeat(dependencies::PACKAGE_BUDGET + 1));
    assert_eq!(dependencies::check_budget(&lock).len(), 1);
}

#[test]
fn rust_files_that_break_a_rule_are_found() {
    let check = |path: &str, text: &str| rust_files::check(&TextFile::in_memory(path, text)).len();
    assert_eq!(check("crates/x/src/lib.rs", "//! Header.\n"), 0);
    assert_eq!(check("crates/x/src/lib.rs", "fn f() {}\n"), 1);
    assert_eq!(check("crates/x/src/util.rs", "//! Header.\n"), 1);
    assert_eq!(check("crates/x/src/common/mod.rs", "//! Header.\n"), 1);
    assert_eq!(check("crates/x/src/lib.rs", "//! Header.\npub mod helper;\n"), 1);
    assert_eq!(check("crates/x/src/lib.rs", concat!("//! Header.\n    #[", "ignore]\n")), 1);
    let long = format!("//! Header.\n{}", "code\n".repeat(rust_files::MAX_CODE_LINES + 1));
    assert_eq!(check("crates/x/src/lib.rs", &long), 1);
    assert_eq!(check("crates/x/src/tests.rs", &long), 0);
    let commented = format!("//! Header.\n{}", "// why\n\n".repeat(rust_files::MAX_CODE_LINES + 1));
    assert_eq!(check("crates/x/src/lib.rs", &commented), 0);
}

#[test]
fn text_that_breaks_a_rule_is_found() {
    let check = |text: &str| text::check_lines(&TextFile::in_memory("docs/x.md", text)).len();
    assert_eq!(check("Plain text about an issue with 2 causes.\n"), 0);
    assert_eq!(check("trailing \n"), 1);
    assert_eq!(check("no end"), 1);
    assert_eq!(check(concat!("see ", "/wo", "rk/main\n")), 1);
    assert_eq!(check(concat!("on the ", "Fa", "rm\n")), 1);
    assert_eq!(check("platform and farmer\n"), 0);
    assert_eq!(check(concat!("TO", "DO later\n")), 1);
    assert_eq!(check(concat!("closes iss", "ue #7\n")), 1);
    assert_eq!(check(concat!("closes iss", "ue 7\n")), 1);
}

#[test]
fn links_must_lead_somewhere() {
    let check =
        |text: &str| text::check_links(&TextFile::in_memory("docs/x.md", text), repository_root()).len();
    assert_eq!(check("[a](../Cargo.toml) and [b](https://example.com) and [c](#here)\n"), 0);
    assert_eq!(check("[a](nowhere.md)\n"), 1);
    assert_eq!(check("```\n[a](nowhere.md)\n```\n"), 0);
}

#[test]
fn pages_say_something() {
    assert_eq!(text::check_page(&TextFile::in_memory("docs/errors/a.b.md", "# a.b\n\n")).len(), 1);
    assert_eq!(text::check_page(&TextFile::in_memory("docs/errors/a.b.md", "# a.b\n\nWhy.\n")).len(), 0);
}
