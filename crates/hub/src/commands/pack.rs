//! `trunkline pack list|check|test`: packs in their folders, without a hub.

use std::path::PathBuf;
use std::sync::Arc;

use trunkline_config::Env;
use trunkline_flow::testing::{WorkflowJudge, run_workflow_tests};
use trunkline_packs::{Pack, PackFault, PackSet, run_tests};

use crate::cli::{PackArgs, PackCommand};
use crate::configuration;
use crate::exit::{Exit, Fault};
use crate::terminal::{Terminal, Tone, cell};

/// Runs one of the pack commands.
///
/// # Errors
/// Faults of the configuration; packs that cannot be read are reported and answered with an exit code.
pub fn run(command: &PackCommand, env: &Env, terminal: &Terminal) -> anyhow::Result<Exit> {
    match command {
        PackCommand::List(args) => list(args, env, terminal),
        PackCommand::Check(args) => check(args, env, terminal),
        PackCommand::Test(args) => test(args, env, terminal),
    }
}

/// The folders named, else those of the configuration.
fn folders(args: &PackArgs, env: &Env) -> anyhow::Result<Vec<PathBuf>> {
    if !args.folders.is_empty() {
        return Ok(args.folders.clone());
    }
    let folders = configuration::load(&args.config, None, env)?.packs.load;
    if folders.is_empty() {
        let fix = "name a pack's folder, or list it in [packs] load";
        return Err(Fault::new(Exit::Usage, "there is no pack to look at", fix).into());
    }
    Ok(folders)
}

fn list(args: &PackArgs, env: &Env, terminal: &Terminal) -> anyhow::Result<Exit> {
    let packs = PackSet::load_judged(folders(args, env)?, Arc::new(WorkflowJudge));
    for pack in packs.packs() {
        terminal.line(format_args!("{}", summary(pack)));
    }
    Ok(report(packs.faults(), terminal))
}

fn check(args: &PackArgs, env: &Env, terminal: &Terminal) -> anyhow::Result<Exit> {
    let packs = PackSet::load_judged(folders(args, env)?, Arc::new(WorkflowJudge));
    for pack in packs.packs() {
        terminal.line(format_args!("{} {}", cell("✓", Tone::Good), summary(pack)));
    }
    Ok(report(packs.faults(), terminal))
}

fn summary(pack: &Pack) -> String {
    let manifest = pack.manifest();
    format!(
        "{} {}: {} event types, {} workflows, {} samples, {} tests in {}",
        cell(&manifest.name, Tone::Name),
        manifest.version,
        pack.types().count(),
        pack.workflows().count(),
        pack.samples().len(),
        pack.tests().len() + pack.workflow_tests().len(),
        cell(pack.dir().display(), Tone::Dim),
    )
}

fn report<'a>(faults: impl Iterator<Item = &'a PackFault>, terminal: &Terminal) -> Exit {
    let mut exit = Exit::Done;
    for fault in faults {
        terminal.line(format_args!("{} {}", cell("✗", Tone::Bad), cell(fault, Tone::Plain)));
        exit = Exit::Refused;
    }
    exit
}

fn test(args: &PackArgs, env: &Env, terminal: &Terminal) -> anyhow::Result<Exit> {
    let (mut n_passed, mut n_failed) = (0, 0);
    let mut exit = Exit::Done;
    for folder in folders(args, env)? {
        let pack = match Pack::load_judged(&folder, Arc::new(WorkflowJudge)) {
            Ok(pack) => pack,
            Err(faults) => {
                exit = report(faults.iter(), terminal);
                continue;
            }
        };
        for outcome in run_tests(&pack).into_iter().chain(run_workflow_tests(&pack)) {
            if outcome.passed() {
                n_passed += 1;
                continue;
            }
            n_failed += 1;
            terminal.line(format_args!("{} {}", cell("✗", Tone::Bad), cell(&outcome.name, Tone::Strong)));
            for failure in &outcome.failures {
                terminal.line(format_args!("    {}", cell(failure, Tone::Plain)));
            }
        }
    }
    terminal.line(format_args!("{n_passed} passed, {n_failed} failed"));
    Ok(if n_failed > 0 { Exit::Refused } else { exit })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn veterinary() -> PathBuf {
        PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../packs/veterinary"))
    }

    fn args(folders: Vec<PathBuf>) -> PackArgs {
        PackArgs { folders, ..PackArgs::default() }
    }

    #[test]
    fn the_shipped_pack_is_good() {
        let terminal = Terminal::buffer();
        for command in [PackCommand::Check, PackCommand::Test, PackCommand::List] {
            let exit = run(&command(args(vec![veterinary()])), &Env::default(), &terminal).unwrap();
            assert_eq!(exit, Exit::Done, "{}", terminal.printed());
        }
        assert!(terminal.printed().contains("veterinary"));
    }

    #[test]
    fn a_broken_pack_is_refused_with_file_and_line() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("pack.yaml"), "name: Broken\nversion: one\n").unwrap();
        let terminal = Terminal::buffer();
        let command = PackCommand::Check(args(vec![dir.path().to_owned()]));
        assert_eq!(run(&command, &Env::default(), &terminal).unwrap(), Exit::Refused);
        for part in ["pack.yaml:1:", "pack.yaml:2:", "Fix:"] {
            assert!(terminal.printed().contains(part), "{part}: {}", terminal.printed());
        }
        let none = PackCommand::Test(args(vec![]));
        assert_eq!(Fault::of(&run(&none, &Env::default(), &terminal).unwrap_err()).0, Exit::Usage);
    }
}
