//! Walks the repository's own files: what is committed, without what tools leave behind.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// Folders that no check enters, by name or by path from the root.
const SKIPPED_NAMES: &[&str] = &["target", "node_modules", "__pycache__"];
/// Hidden folders belong to tools, but for these.
const OUR_HIDDEN_FOLDERS: &[&str] = &[".ci", ".cargo", ".github"];
const SKIPPED_PATHS: &[&str] = &["data", "fuzz/corpus", "fuzz/artifacts"];

/// A text file of the repository.
#[derive(Debug, Clone)]
pub struct TextFile {
    /// From the root of the repository.
    pub path: PathBuf,
    /// Its content.
    pub text: String,
}

impl TextFile {
    /// Makes a file that exists in memory only.
    pub fn in_memory(path: &str, text: &str) -> Self {
        Self { path: path.into(), text: text.to_owned() }
    }

    /// Tells whether the file's name ends so, dot included.
    pub fn has_extension(&self, extension: &str) -> bool {
        self.path.extension().is_some_and(|found| found == extension)
    }

    /// The lines with their numbers, from 1.
    pub fn numbered_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }
}

/// Reads every text file below `root`, in the order of their paths. Files that are no UTF-8 text are left out.
pub fn text_files(root: &Path) -> anyhow::Result<Vec<TextFile>> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
            let path = entry?.path();
            let relative = path.strip_prefix(root).expect("invariant: the walk starts at the root");
            if path.is_symlink() {
                continue;
            }
            if path.is_dir() {
                if !is_skipped(relative) {
                    folders.push(path);
                }
            } else if relative == Path::new(".git") {
                // In a second working tree it is a file that says where the repository is.
            } else if let Ok(text) = fs::read_to_string(&path) {
                files.push(TextFile { path: relative.to_owned(), text });
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// Tells whether a folder, by its path from the root, holds what tools leave behind.
fn is_skipped(folder: &Path) -> bool {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    SKIPPED_NAMES.contains(&&*name)
        || SKIPPED_PATHS.iter().any(|skip| folder == Path::new(skip))
        || name.starts_with('.') && !OUR_HIDDEN_FOLDERS.contains(&&*name)
}
