//! How `Cargo.toml` files are written: every dependency is declared once, at the root, with its whole feature list, so that
//! building one crate and building all of them resolve alike and nothing is compiled twice.

use std::collections::BTreeMap;

use crate::Fault;
use crate::tree::TextFile;

/// Keys every crate takes from the workspace.
const PACKAGE_KEYS: &[&str] = &["version", "edition", "rust-version", "license", "publish"];

/// Checks the manifest of one crate.
pub fn check_member(file: &TextFile) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut section = "";
    let mut lints = false;
    let mut package_keys = Vec::new();
    for (number, line) in file.numbered_lines() {
        let line = line.trim();
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']);
            if is_dependencies(section.rsplit_once('.').map_or("", |(parent, _)| parent)) {
                faults.push(Fault::new(
                    &file.path,
                    number,
                    "a dependency has a table of its own",
                    "write it on one line as `name.workspace = true`",
                ));
            }
            continue;
        }
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if is_dependencies(section) && !line.replace(' ', "").contains("workspace=true") {
            faults.push(Fault::new(
                &file.path,
                number,
                format!("`{line}` is not taken from the workspace"),
                "declare it in [workspace.dependencies] of the root and write `name.workspace = true` here",
            ));
        }
        lints |= section == "lints" && line.replace(' ', "") == "workspace=true";
        if section == "package" && line.replace(' ', "").ends_with(".workspace=true") {
            package_keys.push(line.split('.').next().unwrap_or_default());
        }
    }
    if !lints {
        faults.push(Fault::new(
            &file.path,
            0,
            "the workspace's lints are not in force",
            "add `[lints]` with `workspace = true`",
        ));
    }
    for key in PACKAGE_KEYS.iter().filter(|key| !package_keys.contains(*key)) {
        faults.push(Fault::new(
            &file.path,
            0,
            format!("{key} is not taken from the workspace"),
            format!("write `{key}.workspace = true` in [package]"),
        ));
    }
    faults
}

fn is_dependencies(section: &str) -> bool {
    matches!(section.rsplit('.').next(), Some("dependencies" | "dev-dependencies" | "build-dependencies"))
}

/// Checks that the root declares no dependency nobody uses, and each with its features spelled out.
pub fn check_root(root: &TextFile, members: &[&TextFile]) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut declared = BTreeMap::new();
    let mut section = "";
    for (number, line) in root.numbered_lines() {
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']);
        } else if section == "workspace.dependencies"
            && let Some((name, value)) = line.split_once('=')
        {
            declared.insert(name.trim(), number);
            if !value.contains("path =") && !value.contains("default-features = false") {
                faults.push(Fault::new(
                    &root.path,
                    number,
                    format!("{} comes with features nobody chose", name.trim()),
                    "add `default-features = false` and list the features that are used",
                ));
            }
        }
    }
    for (name, number) in declared {
        let used = |line: &str| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(".workspace") || rest.starts_with(" ="))
        };
        let is_used = members.iter().any(|member| member.text.lines().any(used));
        if !is_used && !name.starts_with("trunkline-") {
            faults.push(Fault::new(
                &root.path,
                number,
                format!("no crate uses {name}"),
                "remove the line, or use it",
            ));
        }
    }
    faults
}
