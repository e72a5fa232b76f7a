//! The configuration: any file and any variables give settings or a list of faults, each naming its place and a fix.

#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use trunkline_config::{Env, LoadOptions, Settings};

static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = ["/dev/shm", "/tmp"].into_iter().map(PathBuf::from).find(|path| path.is_dir());
    folder.unwrap_or_default().join(format!("trunkline-fuzz-{}.toml", std::process::id()))
});

fuzz_target!(|input: (String, Vec<(String, String)>)| {
    let (text, variables) = input;
    // A secret may name any file; a device would answer with surprises of its own.
    if text.contains("file:") || variables.iter().any(|(_, value)| value.contains("file:")) {
        return;
    }
    std::fs::write(&*FILE, &text).expect("the scratch file can be written");
    let env: Env = variables
        .into_iter()
        .map(|(name, value)| (format!("TRUNKLINE_{name}"), value))
        .chain([("SECRET".to_owned(), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned())])
        .collect();
    match Settings::load(LoadOptions { path: Some(FILE.clone()), env, ..LoadOptions::default() }) {
        Ok(settings) => {
            assert!(!format!("{settings:?}").contains("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"));
        }
        Err(faults) => {
            assert!(!faults.0.is_empty());
            assert!(!faults.to_string().contains("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"));
        }
    }
});
