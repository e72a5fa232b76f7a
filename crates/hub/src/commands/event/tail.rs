//! `trunkline event tail`: the newest events, and with `--follow` those that come.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use tokio::signal::ctrl_c;
use trunkline_model::{EventType, Pattern};

use super::{line, text};
use crate::cli::TailArgs;
use crate::client::Api;
use crate::client::follow::Follower;
use crate::exit::{Exit, Fault};
use crate::terminal::Terminal;

/// How often the hub is asked for new events.
const POLL_EVERY: Duration = Duration::from_millis(500);

/// Prints events, oldest first.
///
/// # Errors
/// Those of the API.
pub async fn run(args: &TailArgs, terminal: &Terminal) -> anyhow::Result<Exit> {
    let api = Api::new(&args.remote)?;
    let pattern = args.pattern.as_deref().map(pattern).transpose()?;
    let print = |events: &[Value]| {
        for event in events.iter().filter(|event| pattern.as_ref().is_none_or(|pattern| fits(pattern, event)))
        {
            if args.remote.json {
                terminal.line(event);
            } else {
                terminal.line(line(event));
            }
        }
    };
    let (mut follower, first) = Follower::start(&api, usize::from(args.lines)).await?;
    print(&first);
    let mut stop = std::pin::pin!(ctrl_c());
    while args.follow && !terminal.is_closed() {
        tokio::select! {
            _ = &mut stop => break,
            () = tokio::time::sleep(POLL_EVERY) => print(&follower.poll().await?),
        }
    }
    Ok(Exit::Done)
}

/// Reads a pattern of event types.
pub(crate) fn pattern(text: &str) -> anyhow::Result<Pattern> {
    Pattern::parse(text).with_context(|| {
        Fault::new(
            Exit::Usage,
            "the pattern of types cannot be read",
            "write for example 'appointment.*' or '**'",
        )
    })
}

/// Whether an event's type fits.
pub(crate) fn fits(pattern: &Pattern, event: &Value) -> bool {
    pattern.matches(&EventType::from_stored(text(event, "type")))
}
