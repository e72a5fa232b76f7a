//! `trunkline event replay ID`: delivers an event again, under the same `webhook-id`.

use serde_json::json;

use super::text;
use crate::cli::ReplayArgs;
use crate::client::{Api, Content, segment};
use crate::exit::Exit;
use crate::terminal::{Terminal, Tone, cell};

/// Asks for the deliveries and prints their ids.
///
/// # Errors
/// Those of the API.
pub async fn run(args: &ReplayArgs, terminal: &Terminal) -> anyhow::Result<Exit> {
    let api = Api::new(&args.remote)?;
    let body = match &args.endpoint {
        Some(endpoint) => json!({ "endpoint_id": endpoint }),
        None => json!({}),
    };
    let path = format!("api/v1/events/{}/replay", segment(&args.id));
    let answer = api.post(&path, Content::json(&body)).await?;
    if args.remote.json {
        terminal.json(&answer);
        return Ok(Exit::Done);
    }
    let deliveries = answer["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    if deliveries.is_empty() {
        terminal.line(cell("no active endpoint takes events of this type", Tone::Warn));
        return Ok(Exit::Done);
    }
    let rows: Vec<_> = deliveries
        .iter()
        .map(|delivery| {
            vec![cell(text(delivery, "delivery_id"), Tone::Name), text(delivery, "endpoint_id").into()]
        })
        .collect();
    terminal.table(&["delivery", "endpoint"], &rows);
    Ok(Exit::Done)
}
