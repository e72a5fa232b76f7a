//! JSON-RPC 2.0 answers, as MCP and A2A servers give them: over HTTP as JSON or a stream of events that the server ends,
//! over the output of a process a line each.

use http::header::CONTENT_TYPE;
use serde_json::Value;
use trunkline_connect::OutboundResponse;

use crate::dsl::error::StandardError;
use crate::engine::input::Failure;

/// The result in an answer to a request.
pub(super) fn result(answer: &OutboundResponse, id: i64) -> Result<Value, Failure> {
    results(answer, id)?.pop().ok_or_else(|| broken("there is no answer to the request"))
}

/// All results in an answer: a stream may have several.
pub(super) fn results(answer: &OutboundResponse, id: i64) -> Result<Vec<Value>, Failure> {
    let is_ours = |message: &Value| message.get("id").and_then(Value::as_i64) == Some(id);
    messages(answer)?.into_iter().filter(is_ours).map(result_of).collect()
}

fn messages(answer: &OutboundResponse) -> Result<Vec<Value>, Failure> {
    let status = answer.status.as_u16();
    if !answer.status.is_success() {
        let detail = format!("the answer has status {status}");
        return Err(Failure::standard(StandardError::Communication, detail).with_status(status));
    }
    if answer.truncated {
        return Err(broken("the answer is too long"));
    }
    let kind = answer.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if kind.starts_with("text/event-stream") {
        let text = String::from_utf8_lossy(&answer.body_head);
        return Ok(events(&text).iter().filter_map(|data| serde_json::from_str(data).ok()).collect());
    }
    match serde_json::from_slice(&answer.body_head) {
        Ok(Value::Array(messages)) => Ok(messages),
        Ok(message) => Ok(vec![message]),
        Err(_) => Err(broken("the answer is no JSON")),
    }
}

/// The result in a message that answers a request.
pub(super) fn result_of(mut message: Value) -> Result<Value, Failure> {
    if let Some(error) = message.get("error") {
        let code = error.get("code").and_then(Value::as_i64).unwrap_or_default();
        let mut text = error.get("message").and_then(Value::as_str).unwrap_or("no reason").to_owned();
        text.truncate(text.floor_char_boundary(500));
        return Err(broken(&format!("the server refuses: {text} ({code})")));
    }
    message.get_mut("result").map(Value::take).ok_or_else(|| broken("the answer has no result"))
}

fn broken(detail: &str) -> Failure {
    Failure::standard(StandardError::Communication, detail)
}

/// The data of a stream of events (WHATWG HTML, 9.2.6), one text for each.
fn events(text: &str) -> Vec<String> {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    text.split("\n\n").map(data_of).filter(|data| !data.is_empty()).collect()
}

fn data_of(event: &str) -> String {
    let lines = event.lines().filter_map(|line| line.strip_prefix("data:"));
    lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_taken_apart() {
        let text = ": hello\r\ndata: {\"a\":\r\ndata: 1}\r\n\r\nevent: x\ndata:2\n\n\n";
        assert_eq!(events(text), ["{\"a\":\n1}", "2"]);
    }
}
