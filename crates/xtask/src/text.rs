//! What every text file obeys: no trailing space, no open ends, no words that belong elsewhere, links that lead somewhere.

use std::path::{Component, Path, PathBuf};

use crate::Fault;
use crate::tree::TextFile;

/// Marks of unfinished work. Split so that this file does not hold them whole.
const OPEN_ENDS: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:")];

/// Texts that name a place or a way of working instead of the program, likewise split.
const FOREIGN_TEXTS: &[&str] = &[concat!("/wo", "rk/"), concat!("../sha", "red")];

/// Words that are banned as whole words, in any case, likewise split.
const FOREIGN_WORDS: &[&str] = &[concat!("fa", "rm")];

/// Files that tools write, and texts the project did not write.
const EXEMPT: &[&str] = &["Cargo.lock", "package-lock.json", "LICENSE"];

/// Checks the lines of one file.
pub fn check_lines(file: &TextFile) -> Vec<Fault> {
    let mut faults = Vec::new();
    if EXEMPT.iter().any(|name| file.path.ends_with(name)) {
        return faults;
    }
    for (number, line) in file.numbered_lines() {
        let mut fault = |problem: String, fix: &str| {
            faults.push(Fault::new(&file.path, number, problem, fix));
        };
        if line.ends_with([' ', '\t']) {
            fault("trailing space".to_owned(), "remove it");
        }
        if let Some(mark) = OPEN_ENDS.iter().find(|mark| line.contains(**mark)) {
            fault(format!("{mark} leaves work open"), "do it now, or describe the limit in a sentence");
        }
        if let Some(text) = FOREIGN_TEXTS.iter().find(|text| line.contains(**text)) {
            fault(format!("`{text}` is a place outside the repository"), "say it without the place");
        }
        if let Some(word) = FOREIGN_WORDS.iter().find(|word| has_word(line, word)) {
            fault(format!("the word `{word}` does not belong here"), "say what is meant");
        }
        if names_an_issue(line) {
            fault("a number of an issue means nothing to a reader".to_owned(), "state the fact itself");
        }
    }
    if !file.text.is_empty() && !file.text.ends_with('\n') {
        let last = file.text.lines().count();
        faults.push(Fault::new(&file.path, last, "the last line does not end", "add a line break"));
    }
    faults
}

fn has_word(line: &str, word: &str) -> bool {
    line.split(|c: char| !c.is_alphanumeric()).any(|found| found.eq_ignore_ascii_case(word))
}

/// Finds the word with a number behind it, with or without `#`, in any case.
fn names_an_issue(line: &str) -> bool {
    let lower = line.to_lowercase();
    let singular = concat!("iss", "ue");
    lower.match_indices(singular).any(|(at, _)| {
        let rest = &lower[at + singular.len()..];
        let rest = rest.strip_prefix('s').unwrap_or(rest);
        let Some(rest) = rest.strip_prefix([' ', '#']) else { return false };
        rest.trim_start_matches('#').starts_with(|c: char| c.is_ascii_digit())
    })
}

/// Checks that relative links of a Markdown file lead to files of the repository.
pub fn check_links(file: &TextFile, root: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    let folder = file.path.parent().unwrap_or(Path::new(""));
    let mut in_code = false;
    for (number, line) in file.numbered_lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        for (_, rest) in line.match_indices("](").map(|(at, _)| line.split_at(at + 2)) {
            let target = rest.split([')', '#', ' ']).next().unwrap_or_default();
            if target.is_empty() || target.contains(':') {
                continue;
            }
            if !root.join(normalised(&folder.join(target))).exists() {
                faults.push(Fault::new(
                    &file.path,
                    number,
                    format!("the link to {target} leads nowhere"),
                    "mend the path or remove the link",
                ));
            }
        }
    }
    faults
}

fn normalised(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(clean.pop()),
            Component::CurDir => {}
            other => clean.push(other),
        }
    }
    clean
}

/// Checks that a page of documentation says something beyond its title.
pub fn check_page(file: &TextFile) -> Vec<Fault> {
    let says_something = file.text.lines().any(|line| !line.trim().is_empty() && !line.starts_with('#'));
    if says_something {
        return Vec::new();
    }
    vec![Fault::new(&file.path, 0, "the page is empty", "say the cause, the fix and whether a retry helps")]
}
