//! Standard output, into a buffer.

use std::io::{self, Write};
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};
use trunkline_sinks::SinkFactory;

use crate::rig::{context, loopback, send, settings};

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Small writes show whether lines can run into each other.
        let n_bytes = bytes.len().min(16);
        self.0.lock().extend_from_slice(&bytes[..n_bytes]);
        Ok(n_bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn concurrent_events_are_whole_lines() {
    let buffer = Buffer::default();
    let mut context = context(loopback(), &[]);
    context.output = Arc::new(Mutex::new(buffer.clone()));
    let sink = SinkFactory::new(context).unwrap().open(&settings("stdout", &json!({})));
    let ids: Vec<String> = (0..50).map(|n| format!("evt_{n}")).collect();
    for sent in futures_util::future::join_all(ids.iter().map(|id| send(&sink, id))).await {
        assert!(sent.unwrap().text.ends_with("bytes written"));
    }
    let text = String::from_utf8(buffer.0.lock().clone()).unwrap();
    let mut seen: Vec<String> = Vec::new();
    for line in text.lines() {
        assert!(line.contains("\"total\":1.00"), "{line}");
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!((&line["type"], &line["subject"]), (&json!("order.paid"), &json!("order/7")));
        seen.push(line["id"].as_str().unwrap().to_owned());
    }
    seen.sort();
    let mut expect = ids;
    expect.sort();
    assert_eq!(seen, expect);
}
