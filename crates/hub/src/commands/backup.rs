//! `trunkline backup FILE`: a verified copy of the store, made while the hub runs.
//!
//! SQLite is copied by the store crate. PostgreSQL is dumped by `pg_dump` when that is installed, with the password in its
//! environment and not among its arguments; otherwise the command says how to do it.

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use trunkline_config::{Env, StoreUrl};
use trunkline_store::sqlite::backup::{self, BackupError, StoreFacts};
use url::Url;

use crate::cli::BackupArgs;
use crate::configuration;
use crate::exit::{Exit, Fault};
use crate::terminal::{Terminal, Tone, cell};

/// Makes the copy.
///
/// # Errors
/// A refusal when FILE exists, or whatever stood in the way; then there is no FILE.
pub fn run(args: &BackupArgs, env: &Env, terminal: &Terminal) -> anyhow::Result<Exit> {
    let settings = configuration::load(&args.config, None, env)?;
    match &settings.store.url {
        StoreUrl::Sqlite(path) => copy(path, &args.file, terminal),
        StoreUrl::Postgres(url) => dump(url.expose(), &args.file, terminal),
    }
}

fn copy(from: &Path, to: &Path, terminal: &Terminal) -> anyhow::Result<Exit> {
    let bar = terminal.progress("copying", 0);
    let copied = backup::copy(from, to, &mut |done, total| {
        bar.set_length(total);
        bar.set_position(done);
        if done == total {
            bar.set_message("verifying");
        }
    });
    bar.finish_and_clear();
    let facts = copied.map_err(|error| backup_fault(error, "no backup was made"))?;
    terminal.line(format_args!("{} {} {}", cell("✓", Tone::Good), to.display(), describe(&facts)));
    Ok(Exit::Done)
}

/// A store file in words.
pub(crate) fn describe(facts: &StoreFacts) -> String {
    let mib = facts.n_bytes as f64 / 1_048_576.0;
    format!("is whole: {} events, {mib:.1} MiB, schema version {}", facts.n_events, facts.schema_version)
}

/// A failure of backup or restore with the exit code it leads to.
pub(crate) fn backup_fault(error: BackupError, message: &str) -> anyhow::Error {
    let (exit, fix) = match &error {
        BackupError::Exists { .. } => (Exit::Refused, "name a new file, or for restore add --force"),
        BackupError::InUse { .. } => (Exit::Refused, "stop the hub first"),
        BackupError::Newer { .. } => (Exit::Refused, "use the trunkline that made it, or a newer one"),
        BackupError::NotAStore { .. } => (Exit::Refused, "name a file that `trunkline backup` wrote"),
        BackupError::Damaged { .. } => (Exit::Refused, "use another backup; this file cannot be relied on"),
        BackupError::Read { .. } | BackupError::Write { .. } => {
            (Exit::Failed, "check that the path is right, that it is permitted, and that there is room")
        }
    };
    anyhow::Error::from(error).context(Fault::new(exit, message, fix))
}

fn dump(url: &str, to: &Path, terminal: &Terminal) -> anyhow::Result<Exit> {
    if to.exists() {
        return Err(backup_fault(BackupError::Exists { path: to.to_owned() }, "no backup was made"));
    }
    let unusable = || Fault::new(Exit::Usage, "the URL of [store] is no PostgreSQL URL", "check [store] url");
    let mut url = Url::parse(url).with_context(unusable)?;
    let mut command = Command::new("pg_dump");
    if let Some(password) = url.password() {
        command.env("PGPASSWORD", decoded(password));
        url.set_password(None).ok().with_context(unusable)?;
    }
    let mut partial = to.as_os_str().to_owned();
    partial.push(".partial");
    command.args(["--format=custom", "--no-owner", "--file"]).arg(&partial).arg(url.as_str());
    let status = command.status().with_context(|| {
        let fix = "install PostgreSQL's client programs, or run where they are: \
                   pg_dump --format=custom --file FILE postgres://…; pg_restore brings it back";
        Fault::new(Exit::Refused, "pg_dump is needed to back up PostgreSQL and cannot be run", fix)
    })?;
    if !status.success() {
        let _ = std::fs::remove_file(&partial);
        let message = format!("pg_dump failed ({status})");
        return Err(Fault::new(Exit::Failed, message, "see what pg_dump printed above").into());
    }
    std::fs::File::open(&partial)?.sync_all()?;
    std::fs::rename(&partial, to)?;
    terminal.line(format_args!("{} {} was written by pg_dump", cell("✓", Tone::Good), to.display()));
    Ok(Exit::Done)
}

/// A password as written in a URL.
fn decoded(text: &str) -> String {
    let pair = format!("p={}", text.replace('+', "%2B"));
    url::form_urlencoded::parse(pair.as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use trunkline_store::{Store, StoreOptions};

    use super::*;
    use crate::cli::{ConfigArgs, RestoreArgs};
    use crate::commands::restore;

    #[test]
    fn passwords_are_decoded_as_urls_write_them() {
        assert_eq!(decoded("a%40b+c%25"), "a@b+c%");
    }

    #[tokio::test]
    async fn a_backup_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let db = dir.path().join("trunkline.db");
        let open =
            || async { Store::open(StoreOptions::new(format!("sqlite://{}", db.display()))).await.unwrap() };
        let store = open().await;
        let config = ConfigArgs { config: None, data_dir: Some(dir.path().to_owned()) };
        let file = dir.path().join("copy.db");
        let (terminal, env) = (Terminal::buffer(), Env::default());
        let args = BackupArgs { file: file.clone(), config: config.clone() };
        assert_eq!(run(&args, &env, &terminal).unwrap(), Exit::Done);
        assert_eq!(Fault::of(&run(&args, &env, &terminal).unwrap_err()).0, Exit::Refused);

        let back = |force| {
            restore::run(&RestoreArgs { file: file.clone(), force, config: config.clone() }, &env, &terminal)
        };
        assert_eq!(Fault::of(&back(true).unwrap_err()).0, Exit::Refused, "the hub runs");
        store.close().await;
        assert_eq!(Fault::of(&back(false).unwrap_err()).0, Exit::Refused, "data exists");
        assert_eq!(back(true).unwrap(), Exit::Done);
        open().await.close().await;
    }
}
