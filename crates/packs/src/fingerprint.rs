//! Tells cheaply whether a pack's folder may have changed: a hash of names, sizes and times, no file is opened.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;

use crate::folder::MAX_FILES;

/// What a folder looked like. Comparable within one run of the program only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(u64);

/// The deepest folder that belongs to a pack is `schemas/defs`.
const MAX_DEPTH: usize = 3;

/// Looks at a folder's names, sizes and times of change, links followed. Cheap enough for every second; a folder
/// that cannot be read has a fingerprint too, so that its return is noticed.
pub fn fingerprint(dir: &Path) -> Fingerprint {
    let mut hasher = DefaultHasher::new();
    let mut left = MAX_FILES * 2;
    look(dir, MAX_DEPTH, &mut left, &mut hasher);
    Fingerprint(hasher.finish())
}

fn look(dir: &Path, depth: usize, left: &mut usize, hasher: &mut DefaultHasher) {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) => {
            error.kind().hash(hasher);
            return;
        }
    };
    let mut names: Vec<_> = entries.take(*left).flatten().map(|entry| entry.file_name()).collect();
    names.retain(|name| !name.as_encoded_bytes().starts_with(b"."));
    names.sort();
    *left = left.saturating_sub(names.len());
    names.len().hash(hasher);
    for name in names {
        let path = dir.join(&name);
        name.hash(hasher);
        match fs::metadata(&path) {
            Ok(meta) if meta.is_dir() && depth > 1 => look(&path, depth - 1, left, hasher),
            Ok(meta) => mark(&meta, hasher),
            Err(error) => error.kind().hash(hasher),
        }
    }
}

#[cfg(unix)]
fn mark(meta: &fs::Metadata, hasher: &mut DefaultHasher) {
    use std::os::unix::fs::MetadataExt as _;
    // The inode catches a file that was replaced by one of the same size within the clock's resolution.
    (meta.len(), meta.ino(), meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()).hash(hasher);
}

#[cfg(not(unix))]
fn mark(meta: &fs::Metadata, hasher: &mut DefaultHasher) {
    (meta.len(), meta.modified().ok()).hash(hasher);
}
