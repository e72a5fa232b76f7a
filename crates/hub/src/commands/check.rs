//! `trunkline check`: reads the configuration as `serve` would and reports every fault with its line.

use trunkline_config::{Env, Settings};

use crate::cli::ConfigArgs;
use crate::configuration;
use crate::exit::Exit;
use crate::terminal::{Terminal, Tone, cell};

/// Checks the configuration. Touches neither store nor network.
///
/// # Errors
/// Every fault found, with exit code 2.
pub fn run(args: &ConfigArgs, env: &Env, terminal: &Terminal) -> anyhow::Result<Exit> {
    let settings = configuration::load(args, None, env)?;
    configuration::prepare_sources(&settings, env)?;
    configuration::prepare_live_rules(&settings.live)?;
    let packs = crate::running::packs::load(&settings.packs.load)?;
    for warning in &settings.warnings {
        terminal.note(format_args!("{}: {warning}", cell("warning", Tone::Warn)));
    }
    terminal.line(format_args!("{} {}", cell("✓", Tone::Good), summary(&settings, packs.packs().count())));
    Ok(Exit::Done)
}

fn summary(settings: &Settings, n_packs: usize) -> String {
    let file =
        settings.file.as_ref().map_or("defaults (no file)".to_owned(), |file| file.display().to_string());
    let n_sources = settings.sources.iter().filter(|source| source.enabled).count();
    let n_warnings = settings.warnings.len();
    format!(
        "{file} is good: listens on {}, store {}, {n_sources} source{}, {n_packs} pack{}, {n_warnings} warning{}",
        settings.server.listen,
        settings.store.url.redacted(),
        if n_sources == 1 { "" } else { "s" },
        if n_packs == 1 { "" } else { "s" },
        if n_warnings == 1 { "" } else { "s" },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Fault;

    #[test]
    fn every_fault_is_reported_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trunkline.toml");
        let text = "[server]\nlisten = \"nowhere\"\n[store]\npool_size = 0\n\
                    [[sources]]\nname = \"a\"\nscheme = \"standard-webhooks\"\nsecret = \"env:MISSING\"\n";
        std::fs::write(&path, text).unwrap();
        let args = ConfigArgs { config: Some(path), data_dir: None };
        let error = run(&args, &Env::default(), &Terminal::buffer()).unwrap_err();
        assert_eq!(Fault::of(&error).0, Exit::Usage);
        let text = error.to_string();
        for part in ["toml:2:", "toml:4:", "toml:8:", "MISSING", "Fix:"] {
            assert!(text.contains(part), "{part} is missing in: {text}");
        }
    }

    #[test]
    fn a_secret_its_scheme_cannot_use_is_a_fault() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trunkline.toml");
        let text = "[[sources]]\nname = \"a\"\nscheme = \"standard-webhooks\"\nsecret = \"env:SHORT\"\n";
        std::fs::write(&path, text).unwrap();
        let args = ConfigArgs { config: Some(path), data_dir: None };
        let env: Env = [("SHORT", "whsec_c2hvcnQ=")].into_iter().collect();
        let error = run(&args, &env, &Terminal::buffer()).unwrap_err();
        assert_eq!(Fault::of(&error).0, Exit::Usage);
        assert!(!error.to_string().contains("c2hvcnQ"), "{error}");
    }
}
