//! A pack's files: no texts make the loader panic, each fault names its file, and a pack that loads can run its own tests.
//!
//! The input is the manifest, a schema, a sample and a test file, with a zero byte between them.

#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use trunkline_packs::{Pack, run_tests};

const FILES: [&str; 5] =
    ["pack.yaml", "schemas/a.made.json", "samples/one.json", "tests/all.yaml", "schemas/defs/shared.json"];

/// A folder of this process, in memory where the system has such a place.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    let base = if memory.is_dir() { memory } else { std::env::temp_dir() };
    let folder = base.join(format!("trunkline-fuzz-pack-{}", std::process::id()));
    for part in ["schemas/defs", "samples", "tests"] {
        fs::create_dir_all(folder.join(part)).expect("a folder can be made");
    }
    folder
});

fuzz_target!(|bytes: &[u8]| {
    let mut texts = bytes.split(|byte| *byte == 0);
    for name in FILES {
        let path = FOLDER.join(name);
        match texts.next() {
            Some(text) => fs::write(path, text).expect("a file can be written"),
            None => drop(fs::remove_file(path)),
        }
    }
    match Pack::load(&FOLDER) {
        Ok(pack) => {
            assert!(!pack.manifest().name.is_empty());
            assert!(pack.types().all(|one| one.event_type().as_str() == "a.made"));
            assert_eq!(run_tests(&pack).len(), pack.tests().len());
        }
        Err(faults) => {
            assert!(!faults.is_empty());
            assert!(faults.iter().all(|fault| fault.file.starts_with(&*FOLDER) && !fault.problem.is_empty()));
        }
    }
});
