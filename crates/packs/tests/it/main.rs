//! Packs from folders on disk, as the hub uses them: loading, reloading, testing, importing and exporting.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod arbitrary_files;
mod catalogue;
mod dental;
mod export;
mod fixture;
mod import;
mod loading;
mod pack_tests;
mod reloading;
mod veterinary;
