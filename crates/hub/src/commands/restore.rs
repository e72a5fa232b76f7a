//! `trunkline restore FILE`: puts a verified backup in place of the store.

use trunkline_config::Env;
use trunkline_store::sqlite::backup::{self, Existing};

use super::backup::{backup_fault, describe};
use crate::cli::RestoreArgs;
use crate::configuration;
use crate::exit::Exit;
use crate::terminal::{Terminal, Tone, cell};

/// Restores. The old store, if there was one, is kept beside the new one.
///
/// # Errors
/// A refusal when the hub runs, when there is data and no `--force`, or when FILE is no good backup.
pub fn run(args: &RestoreArgs, env: &Env, terminal: &Terminal) -> anyhow::Result<Exit> {
    let settings = configuration::load(&args.config, None, env)?;
    let instead = "use pg_restore --clean --if-exists --dbname postgres://… FILE, with every hub stopped";
    let path = configuration::sqlite_path(&settings, instead)?;
    let existing = if args.force { Existing::Replace } else { Existing::Keep };
    let was_there = path.exists();
    let bar = terminal.progress("verifying and copying", 0);
    bar.enable_steady_tick(std::time::Duration::from_millis(200));
    let restored = backup::restore(&args.file, &path, existing);
    bar.finish_and_clear();
    let facts =
        restored.map_err(|error| backup_fault(error, "nothing was restored; the store is as it was"))?;
    terminal.line(format_args!("{} {} {}", cell("✓", Tone::Good), path.display(), describe(&facts)));
    if was_there {
        terminal.line(format_args!("  what was there before is kept as {}.replaced", path.display()));
    }
    Ok(Exit::Done)
}
