//! Standard output: one JSON object per line, for pipes and for trying things out. Only for the operator: what a tenant
//! writes would stand between the hub's own lines.
//!
//! **Settings**: none (`{}`).
//!
//! **Shape** of a line: `{"id": …, "type": …, "tenant": …, "subject": …, "time": …, "content_type": …, "data": …}`.
//! `data` is the body itself when it is JSON, its digits untouched; a string when it is other text;
//! `{"base64": …}` otherwise.
//!
//! **Repeats**: `id`. A line that was begun is finished even when its send is given up, so lines never run into each other.

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::time::Instant;
use trunkline_connect::BoxFuture;

use super::{Kind, Reach};
use crate::SinkError;
use crate::factory::{Output, Tools};
use crate::message::{SinkMessage, SinkReceipt};
use crate::network::Place;
use crate::settings::{Deliver, Fields, KindSettings, Parsed};

pub(super) const KIND: Kind = Kind { name: "stdout", secrets: &[], reach: Reach::Local, parse };

fn parse(fields: Fields<'_>) -> Parsed {
    fields.finish(StdoutSettings)
}

struct StdoutSettings;

impl KindSettings for StdoutSettings {
    fn masked(&self) -> Value {
        serde_json::json!({})
    }

    fn place(&self) -> Option<Place> {
        None
    }

    fn open(&self, tools: &Tools) -> Arc<dyn Deliver> {
        Arc::new(StdoutSink { output: Arc::clone(&tools.output) })
    }
}

struct StdoutSink {
    output: Output,
}

impl Deliver for StdoutSink {
    fn deliver<'a>(
        &'a self,
        message: &'a SinkMessage,
        _: Instant,
    ) -> BoxFuture<'a, Result<SinkReceipt, SinkError>> {
        Box::pin(async move {
            let line = line(message);
            let n_bytes = line.len();
            let output = Arc::clone(&self.output);
            let written = tokio::task::spawn_blocking(move || {
                let mut output = output.lock();
                output.write_all(&line)?;
                output.flush()
            });
            written.await.map_err(|_| SinkError::Internal)?.map_err(SinkError::reset)?;
            Ok(SinkReceipt::new(format!("{n_bytes} bytes written")))
        })
    }
}

#[derive(Serialize)]
struct Line<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    event_type: &'a str,
    tenant: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    time: String,
    content_type: &'a str,
    data: Data<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Data<'a> {
    Json(&'a RawValue),
    Text(&'a str),
    Bytes { base64: String },
}

fn line(message: &SinkMessage) -> Vec<u8> {
    // JSON may hold line ends between its tokens, and only there.
    let body: Cow<'_, [u8]> = if message.body.iter().any(|b| matches!(b, b'\r' | b'\n')) {
        message.body.iter().map(|b| if matches!(b, b'\r' | b'\n') { b' ' } else { *b }).collect()
    } else {
        Cow::Borrowed(&message.body)
    };
    let data = match (serde_json::from_slice(&body), std::str::from_utf8(&message.body)) {
        (Ok(json), _) => Data::Json(json),
        (Err(_), Ok(text)) => Data::Text(text),
        (Err(_), Err(_)) => Data::Bytes { base64: BASE64.encode(&message.body) },
    };
    let line = Line {
        id: &message.id,
        event_type: message.event_type.as_str(),
        tenant: message.tenant.as_str(),
        subject: message.subject.as_deref(),
        time: message.time.to_rfc3339(),
        content_type: message.content_type_text(),
        data,
    };
    let mut out = serde_json::to_vec(&line).expect("invariant: texts and checked JSON serialise");
    out.push(b'\n');
    out
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::settings::sample;

    fn check(body: &'static [u8], expect: &str) {
        let message = SinkMessage { body: Bytes::from_static(body), ..sample() };
        let line = String::from_utf8(line(&message)).unwrap();
        let start = r#"{"id":"evt_0","type":"a.b","tenant":"default","subject":"s","time":"1970-01-01T00:00:00Z","content_type":"application/json","data":"#;
        assert_eq!(line, format!("{start}{expect}}}\n"));
    }

    #[test]
    fn one_line_per_event_whatever_the_body() {
        check(b"{\"a\":\n 1.00,\r\n\"b\": \"x\\ny\"}", r#"{"a":  1.00,  "b": "x\ny"}"#);
        check(b"two\nlines", r#""two\nlines""#);
        check(b"\xff\n", r#"{"base64":"/wo="}"#);
        check(b"", r#""""#);
    }
}
