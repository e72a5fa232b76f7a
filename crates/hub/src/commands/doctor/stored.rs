//! Checks of what is stored: structure, schema, consumers that lag, deliveries that are stuck, dead letters.

use std::time::Duration;

use trunkline_config::Settings;
use trunkline_model::{Clock as _, SystemClock};
use trunkline_store::sqlite::backup::{self, Depth};
use trunkline_store::tables::consumer::cursor_list;
use trunkline_store::tables::dead_letter::dead_letter_list;
use trunkline_store::tables::delivery::delivery_count_stuck;
use trunkline_store::tables::event::head_list;
use trunkline_store::tables::usage::usage_list;
use trunkline_store::{OpenError, ReadError, Store, StoreOptions};

use super::Finding;
use crate::configuration;

/// A delivery due for so long is stuck: a hub at work is never that late.
const STUCK_AFTER: Duration = Duration::from_mins(1);
/// Events a consumer may be behind before it is worth a word.
const LAG_WARN: i64 = 10_000;
/// Dead letters looked at per tenant.
const MAX_DEAD_LETTERS: i64 = 1000;

/// Runs the checks of the store.
pub(super) async fn check(settings: &Settings) -> Vec<Finding> {
    let (mut findings, store) = open(settings).await;
    let Some(store) = store else { return findings };
    let is_running = settings.store_path().is_none_or(backup::is_in_use);
    for (check, finding) in [
        ("consumers", lag(&store).await),
        ("deliveries", stuck(&store, is_running).await),
        ("dead letters", dead_letters(&store).await),
    ] {
        findings.push(finding.unwrap_or_else(|error| {
            Finding::fail(check, format!("cannot be read: {error}"), "see the store's finding above")
        }));
    }
    store.close().await;
    findings
}

async fn open(settings: &Settings) -> (Vec<Finding>, Option<Store>) {
    let check = "store";
    let name = settings.store.url.redacted();
    let opened = match settings.store_path() {
        Some(path) if !path.exists() => {
            let finding =
                Finding::warn(check, format!("{name} does not exist yet"), "`trunkline serve` makes it");
            return (vec![finding], None);
        }
        Some(path) => match backup::check(path, Depth::Quick) {
            Ok(()) => match backup::schema_version(path) {
                Ok(version) if version.is_some_and(|found| found == backup::newest_schema_version()) => {
                    Store::open_read_only(path)
                }
                Ok(version) => {
                    let (found, known) = (version.unwrap_or(0), backup::newest_schema_version());
                    let text = format!("{name} has schema version {found}, this program {known}");
                    let fix = "`trunkline migrate` brings an older one up; a newer one needs a newer program";
                    let is_older = found < known;
                    let finding = if is_older { Finding::warn } else { Finding::fail };
                    return (vec![finding(check, text, fix.to_owned())], None);
                }
                Err(error) => return (vec![damaged(check, &error.to_string())], None),
            },
            Err(error) => return (vec![damaged(check, &error.to_string())], None),
        },
        None => Store::open(StoreOptions { migrate: false, ..configuration::store_options(settings) }).await,
    };
    match opened {
        Ok(store) => (vec![Finding::ok(check, format!("{name} is sound"))], Some(store)),
        Err(error @ OpenError::Migration { .. }) => {
            (vec![Finding::warn(check, error.to_string(), "run `trunkline migrate`")], None)
        }
        Err(error) => (vec![Finding::fail(check, error.to_string(), "check [store] url")], None),
    }
}

fn damaged(check: &'static str, text: &str) -> Finding {
    Finding::fail(check, text, "stop the hub and put a backup in place: `trunkline restore FILE --force`")
}

async fn lag(store: &Store) -> Result<Finding, ReadError> {
    let check = "consumers";
    let heads = head_list(store).await?;
    let cursors = cursor_list(store).await?;
    let mut worst = (0, String::new());
    for cursor in &cursors {
        let head = heads.iter().find(|(shard, _)| *shard == cursor.shard).map_or(0, |(_, seq)| *seq);
        let behind = head - cursor.seq;
        if behind > worst.0 {
            worst =
                (behind, format!("{} is {behind} events behind in shard {}", cursor.consumer, cursor.shard));
        }
    }
    Ok(match worst {
        (0, _) => Finding::ok(check, "all are up to date"),
        (n, text) if n < LAG_WARN => Finding::ok(check, text),
        (_, text) => Finding::warn(check, text, "is the hub running? if so, look at its log and at /metrics"),
    })
}

async fn stuck(store: &Store, is_running: bool) -> Result<Finding, ReadError> {
    let check = "deliveries";
    let n_stuck = delivery_count_stuck(store, SystemClock.now().minus(STUCK_AFTER)).await?;
    let text = format!("{n_stuck} are overdue for more than {} s", STUCK_AFTER.as_secs());
    Ok(match n_stuck {
        0 => Finding::ok(check, "none is stuck"),
        _ if is_running => Finding::fail(check, text, "look at the hub's log; a restart takes them up again"),
        _ => Finding::warn(check, text, "start the hub: it makes them at once"),
    })
}

async fn dead_letters(store: &Store) -> Result<Finding, ReadError> {
    let check = "dead letters";
    let mut n_letters = 0;
    let mut newest = String::new();
    for usage in usage_list(store).await? {
        let letters = dead_letter_list(store, &usage.tenant, None, MAX_DEAD_LETTERS).await?;
        n_letters += letters.len();
        if let Some(letter) = letters.first() {
            newest = format!(
                "; newest of {}: {} could not handle {}",
                usage.tenant, letter.consumer, letter.event_id
            );
        }
    }
    Ok(match n_letters {
        0 => Finding::ok(check, "none"),
        n => {
            Finding::warn(check, format!("{n} events were put aside{newest}"), "see GET /api/v1/dead-letters")
        }
    })
}
