//! The sink: counts deliveries and notes how long each was under way; and the questions one can ask it.
//!
//! The load generator writes into each body when it was sent (`"sent_us":…`, microseconds since 1970). Sender and sink
//! share the machine's clock, so the difference at the first byte of a delivery is exact. Bodies that say 0 or nothing
//! are only counted.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use hdrhistogram::Histogram;
use parking_lot::Mutex;
use trunkline_model::{Clock as _, SystemClock};

use crate::process::{Running, free_addr};
use crate::wire::{Connection, find};
use crate::{Plan, report, roles};

/// The longest body.
const MAX_BODY: usize = 1 << 20;
/// The time of sending is looked for in this many bytes.
const HEAD: usize = 512;

struct Received {
    n: AtomicU64,
    latency: Mutex<Histogram<u64>>,
}

/// The sink's routes: a POST to any other path is a delivery.
pub(crate) fn router() -> axum::Router {
    let received = Received { n: AtomicU64::new(0), latency: Mutex::new(report::histogram()) };
    axum::Router::new()
        .route("/count", get(count))
        .route("/latency", get(latency))
        .fallback(post(receive))
        .with_state(Arc::new(received))
}

async fn count(State(received): State<Arc<Received>>) -> String {
    received.n.load(Ordering::Relaxed).to_string()
}

async fn latency(State(received): State<Arc<Received>>) -> String {
    to_text(&received.latency.lock())
}

async fn receive(State(received): State<Arc<Received>>, request: Request) -> StatusCode {
    let arrived_us = SystemClock.now().as_micros().unsigned_abs();
    let Ok(body) = axum::body::to_bytes(request.into_body(), MAX_BODY).await else {
        return StatusCode::BAD_REQUEST;
    };
    if let Some(sent_us) = sent_us(&body) {
        received.latency.lock().saturating_record(arrived_us.saturating_sub(sent_us));
    }
    received.n.fetch_add(1, Ordering::Relaxed);
    StatusCode::OK
}

/// When a body says that it was sent.
fn sent_us(body: &[u8]) -> Option<u64> {
    const NAME: &[u8] = b"\"sent_us\":";
    let head = &body[..body.len().min(HEAD)];
    let text = &head[find(head, NAME)? + NAME.len()..];
    let n_digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let sent_us: u64 = std::str::from_utf8(&text[..n_digits]).ok()?.parse().ok()?;
    (sent_us > 0).then_some(sent_us)
}

/// A histogram as text: a line `VALUE COUNT` for each value.
fn to_text(histogram: &Histogram<u64>) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for step in histogram.iter_recorded() {
        writeln!(text, "{} {}", step.value_iterated_to(), step.count_at_value())
            .expect("invariant: writing to a string does not fail");
    }
    text
}

fn from_text(text: &str) -> anyhow::Result<Histogram<u64>> {
    let mut histogram = report::histogram();
    for line in text.lines() {
        let (value, count) = line.split_once(' ').context("a line of the histogram has no count")?;
        histogram.saturating_record_n(value.parse()?, count.parse()?);
    }
    Ok(histogram)
}

/// A sink in a process of its own.
#[derive(Debug)]
pub(crate) struct Sink {
    running: Running,
}

impl Sink {
    pub(crate) async fn start(plan: &Plan) -> anyhow::Result<Self> {
        Ok(Self { running: roles::start(plan, "sink", free_addr()?).await? })
    }

    /// The URL of one of the endpoints it stands for.
    pub(crate) fn url(&self, endpoint: usize) -> String {
        format!("http://{}/{endpoint}", self.running.addr)
    }

    /// Opens a connection for questions.
    pub(crate) async fn reader(&self) -> anyhow::Result<SinkReader> {
        SinkReader::open(self.running.addr).await
    }
}

/// Asks a sink.
#[derive(Debug)]
pub(crate) struct SinkReader {
    connection: Connection,
}

impl SinkReader {
    async fn open(addr: SocketAddr) -> anyhow::Result<Self> {
        Ok(Self { connection: Connection::open(addr).await.context("the sink cannot be asked")? })
    }

    /// Deliveries so far.
    pub(crate) async fn count(&mut self) -> anyhow::Result<u64> {
        Ok(self.ask(b"GET /count HTTP/1.1\r\nhost: sink\r\n\r\n").await?.parse()?)
    }

    /// How long they were under way, in microseconds.
    pub(crate) async fn latency(&mut self) -> anyhow::Result<Histogram<u64>> {
        from_text(self.ask(b"GET /latency HTTP/1.1\r\nhost: sink\r\n\r\n").await?)
    }

    async fn ask(&mut self, request: &[u8]) -> anyhow::Result<&str> {
        let answer = self.connection.exchange(request).await?;
        anyhow::ensure!(answer.status == 200, "the sink answered with status {}", answer.status);
        Ok(std::str::from_utf8(answer.body)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_sending_is_read_from_the_body() {
        let check = |body: &[u8], expect| assert_eq!(sent_us(body), expect);
        check(&crate::load::body(7, 1_790_000_000_000_000), Some(1_790_000_000_000_000));
        check(&crate::load::body(7, 0), None);
        check(b"", None);
        check(br#"{"sent_us":"#, None);
        check(br#"{"sent_us":"5"}"#, None);
        check(br#"{"sent_us":99999999999999999999}"#, None);
        let late = [vec![b' '; HEAD], br#""sent_us":5"#.to_vec()].concat();
        check(&late, None);
    }

    #[test]
    fn a_histogram_survives_its_text() {
        let mut histogram = report::histogram();
        for value in [1, 1, 250, 12_345, 59_999_999, 90_000_000] {
            histogram.saturating_record(value);
        }
        assert_eq!(from_text(&to_text(&histogram)).unwrap(), histogram);
        assert_eq!(from_text("").unwrap().len(), 0);
        assert!(from_text("5").is_err() && from_text("5 x").is_err());
    }

    #[tokio::test]
    async fn deliveries_are_counted_and_timed() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let server = tokio::spawn(axum::serve(listener, router()).into_future());
        let mut sender = Connection::open(addr).await.unwrap();
        for (path, sent_us) in [("/", 0), ("/7", SystemClock.now().as_micros().unsigned_abs())] {
            let body = String::from_utf8(crate::load::body(1, sent_us)).unwrap();
            let request =
                format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            assert_eq!(sender.exchange(request.as_bytes()).await.unwrap().status, 200);
        }
        let mut reader = SinkReader::open(addr).await.unwrap();
        assert_eq!(reader.count().await.unwrap(), 2);
        assert_eq!(reader.latency().await.unwrap().len(), 1);
        server.abort();
    }
}
