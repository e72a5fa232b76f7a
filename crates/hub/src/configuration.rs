//! Loads the settings for a command: flags, variables, file. Faults end with exit code 2.

use std::path::PathBuf;

use trunkline_config::{ConfigError, ConfigErrors, Env, LiveSettings, LoadOptions, Overrides, Settings};
use trunkline_ingest::Source;
use trunkline_live::{PublishRule, RoomRule, Rules, TemplateFault};
use trunkline_store::StoreOptions;

use crate::cli::ConfigArgs;
use crate::exit::{Exit, Fault};

/// Loads the settings a command line asks for.
///
/// # Errors
/// Every fault of the configuration, as one [`Fault`].
pub(crate) fn load(args: &ConfigArgs, listen: Option<String>, env: &Env) -> Result<Settings, Fault> {
    let overrides = Overrides { listen, data_dir: args.data_dir.clone() };
    let options = LoadOptions { path: args.config.clone(), env: env.clone(), overrides };
    Settings::load(options).map_err(|errors| fault(&errors))
}

/// Prepares the sources, which finds secrets that their scheme cannot use.
///
/// # Errors
/// Every such secret, as one [`Fault`].
pub(crate) fn prepare_sources(settings: &Settings, env: &Env) -> Result<Vec<Source>, Fault> {
    Source::prepare_all(&settings.sources, env)
        .map_err(|faults: Vec<ConfigError>| fault(&ConfigErrors(faults)))
}

/// Prepares the rules of live updates.
///
/// # Errors
/// The first rule that cannot be used.
pub(crate) fn prepare_live_rules(settings: &LiveSettings) -> Result<Rules, Fault> {
    let wrong = |what: String| {
        move |TemplateFault(why)| {
            Fault::new(Exit::Usage, format!("{what}: {why}"), "see [live] in docs/config.md")
        }
    };
    let rooms = settings.rules.iter().enumerate().map(|(i, rule)| {
        RoomRule::new(&rule.events, &rule.room, rule.roles.clone()).map_err(wrong(format!("live.rules[{i}]")))
    });
    let publish = settings.publish.iter().enumerate().map(|(i, rule)| {
        PublishRule::new(&rule.events, rule.roles.clone()).map_err(wrong(format!("live.publish[{i}]")))
    });
    Ok(Rules::new(rooms.collect::<Result<_, _>>()?, publish.collect::<Result<_, _>>()?))
}

/// How the store of these settings is opened.
pub(crate) fn store_options(settings: &Settings) -> StoreOptions {
    let (url, n_connections) = match &settings.store.url {
        trunkline_config::StoreUrl::Sqlite(path) => {
            (format!("sqlite://{}", path.display()), settings.store.read_connections)
        }
        trunkline_config::StoreUrl::Postgres(url) => (url.expose().to_owned(), settings.store.pool_size),
    };
    StoreOptions { max_bytes: settings.store.max_bytes, n_connections, ..StoreOptions::new(url) }
}

/// The SQLite file of these settings.
///
/// # Errors
/// A refusal when the store is PostgreSQL.
pub(crate) fn sqlite_path(settings: &Settings, instead: &str) -> Result<PathBuf, Fault> {
    settings.store_path().map(PathBuf::from).ok_or_else(|| {
        Fault::new(Exit::Refused, "the store is PostgreSQL, which has tools of its own", instead)
    })
}

fn fault(errors: &ConfigErrors) -> Fault {
    Fault::new(Exit::Usage, errors.to_string(), "mend the lines named above; `trunkline check` looks again")
}
