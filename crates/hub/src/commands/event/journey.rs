//! `trunkline event journey ID`: what led to an event and what became of it, as a tree.

use anyhow::Context as _;
use serde_json::Value;
use trunkline_api::journey::{Journey, Part, render};

use crate::cli::EventIdArgs;
use crate::client::{Api, segment};
use crate::exit::Exit;
use crate::terminal::{Terminal, Tone, cell};

/// Prints the journey.
///
/// # Errors
/// Those of the API.
pub async fn run(args: &EventIdArgs, terminal: &Terminal) -> anyhow::Result<Exit> {
    let api = Api::new(&args.remote)?;
    let journey = fetch(&api, &args.id).await?;
    if args.remote.json {
        terminal.json(&journey);
    } else {
        draw(journey, terminal)?;
    }
    Ok(Exit::Done)
}

/// Asks the hub for a journey.
///
/// # Errors
/// Those of the API.
pub(crate) async fn fetch(api: &Api, id: &str) -> anyhow::Result<Value> {
    api.get(&format!("api/v1/events/{}/journey", segment(id)), &[]).await
}

/// Draws a journey as the API answers it.
///
/// # Errors
/// An answer that is no journey: a hub of another version.
pub(crate) fn draw(journey: Value, terminal: &Terminal) -> anyhow::Result<()> {
    let journey: Journey =
        serde_json::from_value(journey).context("the hub's journey has an unknown shape")?;
    let text = render(&journey, &|part, text| {
        let tone = match part {
            Part::Faint => Tone::Dim,
            Part::Kind => Tone::Strong,
            Part::Good => Tone::Good,
            Part::Bad => Tone::Bad,
            Part::Waiting => Tone::Warn,
        };
        cell(text, tone).to_string()
    });
    for line in text.lines() {
        terminal.line(line);
    }
    Ok(())
}
