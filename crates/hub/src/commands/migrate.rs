//! `trunkline migrate`: brings the store's schema up to this program's version, apart from `serve`.

use anyhow::Context as _;
use trunkline_config::Env;
use trunkline_store::sqlite::backup;
use trunkline_store::{OpenError, Store, StoreOptions};

use crate::cli::MigrateArgs;
use crate::configuration;
use crate::exit::{Exit, Fault};
use crate::terminal::{Terminal, Tone, cell};

/// Migrates, or says what would be done.
///
/// # Errors
/// A store that cannot be opened.
pub async fn run(args: &MigrateArgs, env: &Env, terminal: &Terminal) -> anyhow::Result<Exit> {
    let settings = configuration::load(&args.config, None, env)?;
    let options = configuration::store_options(&settings);
    let newest = backup::newest_schema_version();
    let found = match settings.store_path() {
        Some(path) => backup::schema_version(path)?.unwrap_or(0),
        None => postgres_version(options.clone()).await?,
    };
    let store = settings.store.url.redacted();
    if found >= newest {
        // Also refuses a newer schema, in the store's own words.
        if found > newest {
            return Err(opened(options).await.err().context("a newer schema is refused")?);
        }
        terminal
            .line(format_args!("{} {store} has schema version {newest}, the newest", cell("✓", Tone::Good)));
        return Ok(Exit::Done);
    }
    if args.dry_run {
        terminal.line(format_args!(
            "{} {store} would go from schema version {found} to {newest}",
            cell("•", Tone::Warn)
        ));
        return Ok(Exit::Refused);
    }
    terminal.note(format_args!("schema version {found} → {newest} …"));
    opened(options).await?.close().await;
    terminal
        .line(format_args!("{} {store} went from schema version {found} to {newest}", cell("✓", Tone::Good)));
    Ok(Exit::Done)
}

async fn opened(options: StoreOptions) -> anyhow::Result<Store> {
    Store::open(options).await.map_err(open_fault)
}

/// An open error with the exit code it leads to.
pub(crate) fn open_fault(error: OpenError) -> anyhow::Error {
    let (exit, fix) = match &error {
        OpenError::Url => (Exit::Usage, "write sqlite://PATH or postgres://… into [store] url"),
        OpenError::InUse { .. } => (Exit::Refused, "stop the hub that runs on it, or ask it through its API"),
        OpenError::Newer { .. } => (Exit::Refused, "run the newer trunkline"),
        OpenError::Corrupt { .. } => {
            (Exit::Failed, "`trunkline restore FILE --force` puts a backup in its place")
        }
        OpenError::Connect(_) => {
            (Exit::Failed, "check that PostgreSQL runs and that the URL of [store] is right")
        }
        OpenError::File { .. } | OpenError::Migration { .. } => (Exit::Failed, "see the cause"),
    };
    anyhow::Error::from(error).context(Fault::new(exit, "the store cannot be opened", fix))
}

/// The version below the first pending migration.
async fn postgres_version(options: StoreOptions) -> anyhow::Result<i64> {
    match Store::open(StoreOptions { migrate: false, ..options }).await {
        Ok(store) => {
            store.close().await;
            Ok(backup::newest_schema_version())
        }
        Err(OpenError::Migration { version, .. }) => Ok(version - 1),
        Err(error) => Err(open_fault(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::ConfigArgs;

    #[tokio::test]
    async fn shows_from_and_to_and_then_nothing_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let config = ConfigArgs { config: None, data_dir: Some(dir.path().to_owned()) };
        let terminal = Terminal::buffer();
        let migrate = async |dry_run| {
            let args = MigrateArgs { config: config.clone(), dry_run };
            run(&args, &Env::default(), &terminal).await.unwrap()
        };
        assert_eq!(migrate(true).await, Exit::Refused);
        assert_eq!(migrate(false).await, Exit::Done);
        assert_eq!(migrate(true).await, Exit::Done);
        let newest = backup::newest_schema_version();
        assert!(terminal.printed().contains(&format!("went from schema version 0 to {newest}")));
    }
}
