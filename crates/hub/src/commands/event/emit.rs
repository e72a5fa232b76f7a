//! `trunkline event emit`: appends one event, or a batch of them.
//!
//! Events get a fresh id here unless they bring one, so that a command repeated after a lost answer can be given the same
//! file and appends nothing twice.

use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;
use serde_json::{Map, Value, json};
use trunkline_model::{Clock as _, EventId, SystemClock};

use super::text;
use crate::cli::EmitArgs;
use crate::client::{Api, Content};
use crate::exit::{Exit, Fault};
use crate::terminal::{Terminal, Tone, cell};

/// Events of one call.
const BATCH_SIZE: usize = 100;
/// The largest file read.
const FILE_LIMIT_BYTES: u64 = 256 * 1024 * 1024;
const PATH: &str = "api/v1/events";

/// Emits, and prints the id of every event.
///
/// # Errors
/// Content that is no JSON, or whatever the hub refuses.
pub async fn run(args: &EmitArgs, terminal: &Terminal) -> anyhow::Result<Exit> {
    let api = Api::new(&args.remote)?;
    match &args.batch {
        Some(file) => emit_batch(args, file, &api, terminal).await,
        None => emit_one(args, &api, terminal).await,
    }
}

async fn emit_one(args: &EmitArgs, api: &Api, terminal: &Terminal) -> anyhow::Result<Exit> {
    let mut event = Map::new();
    event.insert("type".to_owned(), json!(args.event_type));
    if let Some(subject) = &args.subject {
        event.insert("subject".to_owned(), json!(subject));
    }
    if let Some(data) = &args.data {
        event.insert("data".to_owned(), parse(&content(data)?)?);
    }
    let event = completed(Value::Object(event), &args.source)?;
    let body = Content { media_type: "application/cloudevents+json", body: event.to_string().into() };
    let answer = api.post(PATH, body).await?;
    if args.remote.json {
        terminal.json(&answer);
    } else {
        terminal.line(text(&event, "id"));
    }
    Ok(Exit::Done)
}

async fn emit_batch(args: &EmitArgs, file: &Path, api: &Api, terminal: &Terminal) -> anyhow::Result<Exit> {
    let name = file.to_string_lossy();
    let bytes = content(if name == "-" { "-".to_owned() } else { format!("@{name}") }.as_str())?;
    let events = parse_batch(&bytes)?
        .into_iter()
        .map(|event| completed(event, &args.source))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let bar = terminal.progress("emitting", events.len() as u64);
    let mut n_refused = 0;
    for slice in events.chunks(BATCH_SIZE) {
        let body = serde_json::to_vec(slice)?.into();
        let content = Content { media_type: "application/cloudevents-batch+json", body };
        let answer = api.post(PATH, content).await?;
        n_refused += report(slice, &answer, args, terminal);
        bar.inc(slice.len() as u64);
    }
    bar.finish_and_clear();
    if n_refused > 0 {
        let message = format!("{n_refused} of {} events were refused; the others are stored", events.len());
        return Err(
            Fault::new(Exit::Failed, message, "mend the ones marked above and emit them again").into()
        );
    }
    Ok(Exit::Done)
}

/// Prints the answer to every event of a batch; gives how many were refused.
fn report(slice: &[Value], answer: &Value, args: &EmitArgs, terminal: &Terminal) -> usize {
    let mut n_refused = 0;
    let answers = answer["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    for (event, answer) in slice.iter().zip(answers) {
        let is_refused = text(answer, "status") == "rejected";
        n_refused += usize::from(is_refused);
        let id = cell(text(event, "id"), Tone::Name);
        if args.remote.json {
            terminal.line(answer);
        } else if is_refused {
            let faults = answer["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
            let why =
                faults.iter().map(|fault| format!("{} {}", text(fault, "pointer"), text(fault, "detail")));
            terminal.line(format_args!("{id}  {}", cell(why.collect::<Vec<_>>().join("; "), Tone::Bad)));
        } else {
            terminal.line(id);
        }
    }
    n_refused
}

/// Fills in what a CloudEvent needs and the operator may leave out.
fn completed(event: Value, source: &str) -> anyhow::Result<Value> {
    let Value::Object(mut event) = event else {
        return Err(Fault::new(
            Exit::Usage,
            "an event of the batch is no JSON object",
            "write {\"type\": …}",
        )
        .into());
    };
    let mut fill = |key: &str, value: Value| {
        event.entry(key).or_insert(value);
    };
    fill("specversion", json!("1.0"));
    fill("id", json!(EventId::fresh()));
    fill("source", json!(source));
    fill("time", json!(SystemClock.now()));
    Ok(Value::Object(event))
}

fn content(argument: &str) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match argument.strip_prefix('@') {
        None if argument == "-" => std::io::stdin().take(FILE_LIMIT_BYTES).read_to_end(&mut bytes)?,
        None => return Ok(argument.as_bytes().to_vec()),
        Some(path) => std::fs::File::open(path)
            .and_then(|file| file.take(FILE_LIMIT_BYTES).read_to_end(&mut bytes))
            .with_context(|| {
                Fault::new(Exit::Usage, format!("{path} cannot be read"), "name a readable file")
            })?,
    };
    Ok(bytes)
}

fn parse(bytes: &[u8]) -> anyhow::Result<Value> {
    serde_json::from_slice(bytes).with_context(|| {
        let fix = "write JSON, such as '{\"id\": 7}' or '\"text\"'; the shell must not take the quotes away";
        Fault::new(Exit::Usage, "the data is no JSON", fix)
    })
}

/// An array of events, or one event a line.
fn parse_batch(bytes: &[u8]) -> anyhow::Result<Vec<Value>> {
    if let Ok(Value::Array(events)) = serde_json::from_slice(bytes) {
        return Ok(events);
    }
    let parsed: Result<Vec<Value>, _> = serde_json::Deserializer::from_slice(bytes).into_iter().collect();
    parsed.with_context(|| {
        Fault::new(
            Exit::Usage,
            "the batch is no JSON",
            "write an array of CloudEvents, or one CloudEvent a line",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_arrays_or_lines() {
        assert_eq!(parse_batch(br#"[{"type":"a"},{"type":"b"}]"#).unwrap().len(), 2);
        assert_eq!(parse_batch(b"{\"type\":\"a\"}\n\n{\"type\":\"b\"}\n").unwrap().len(), 2);
        assert_eq!(Fault::of(&parse_batch(b"{\"type\":").unwrap_err()).0, Exit::Usage);
    }

    #[test]
    fn what_an_event_brings_is_kept() {
        let event = completed(json!({"id": "mine", "type": "a.b"}), "/cli").unwrap();
        assert_eq!((text(&event, "id"), text(&event, "source")), ("mine", "/cli"));
        assert_eq!(text(&event, "specversion"), "1.0");
    }
}
