//! `trunkline event show ID`: one event with its content.

use serde_json::Value;

use crate::cli::EventIdArgs;
use crate::client::{Api, segment};
use crate::exit::Exit;
use crate::terminal::{Terminal, Tone, cell, printable};

/// Prints the event.
///
/// # Errors
/// Those of the API.
pub async fn run(args: &EventIdArgs, terminal: &Terminal) -> anyhow::Result<Exit> {
    let api = Api::new(&args.remote)?;
    let event = api.get(&format!("api/v1/events/{}", segment(&args.id)), &[]).await?;
    if args.remote.json {
        terminal.json(&event);
        return Ok(Exit::Done);
    }
    let Value::Object(attributes) = &event else {
        terminal.json(&event);
        return Ok(Exit::Done);
    };
    let rows: Vec<_> = attributes
        .iter()
        .filter(|(name, value)| *name != "data" && !value.is_null())
        .map(|(name, value)| {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            vec![cell(name, Tone::Name), cell(value, Tone::Plain)]
        })
        .collect();
    terminal.table(&["attribute", "value"], &rows);
    if let Some(data) = attributes.get("data").filter(|data| !data.is_null()) {
        terminal.line("");
        terminal.line(cell("data", Tone::Strong));
        for line in format!("{data:#}").lines() {
            terminal.line(printable(line));
        }
    }
    Ok(Exit::Done)
}
