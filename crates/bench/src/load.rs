//! The load generator: keep-alive connections that post signed webhooks as fast as they are answered.
//!
//! It must cost less than the server it measures: requests are built by hand into one buffer, and of an answer only the
//! status and the length are read. Every request has an id and a signature of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hdrhistogram::Histogram;
use ring::hmac;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use trunkline_model::{Clock as _, SystemClock};

use crate::{process, report};

/// The signing secret that the hub under test is configured with.
pub const SECRET: &str = "whsec_dHJ1bmtsaW5lLWJlbmNoLXNlY3JldC0zMi1ieXRlcw==";

/// A body of 1 KiB in the shape `{type, timestamp, data}`.
pub fn body(n: u64) -> Vec<u8> {
    let head = format!(
        "{{\"type\":\"order.created\",\"timestamp\":\"2026-01-01T00:00:00Z\",\"data\":{{\"order\":{n},\"note\":\""
    );
    let mut body = head.into_bytes();
    body.resize(1024 - 3, b'x');
    body.extend_from_slice(b"\"}}");
    body
}

/// What a run of the load generator found.
#[derive(Debug)]
pub struct Outcome {
    /// Latencies of answers with a 2xx status, in microseconds.
    pub latency: Histogram<u64>,
    /// Other answers.
    pub n_refused: u64,
    /// How long it ran.
    pub elapsed: Duration,
}

/// Posts to `path` at `addr` over `connections` connections for `duration`.
///
/// Runs on a thread and runtime of its own, so that the caller's runtime does not slow it down.
pub async fn run(
    addr: SocketAddr,
    path: &str,
    connections: usize,
    duration: Duration,
) -> anyhow::Result<Outcome> {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, drive(addr, path, connections, duration))
    })
    .await?
}

async fn drive(
    addr: SocketAddr,
    path: String,
    connections: usize,
    duration: Duration,
) -> anyhow::Result<Outcome> {
    let key =
        Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &BASE64.decode(SECRET.trim_start_matches("whsec_"))?));
    let next_id = Arc::new(AtomicU64::new(SystemClock.now().as_micros().unsigned_abs() * 1_000));
    let started = Instant::now();
    let until = started + duration;
    let mut tasks = Vec::with_capacity(connections);
    for _ in 0..connections {
        let stream = process::connect(addr).await?;
        let connection = Connection {
            stream,
            addr,
            path: path.clone(),
            key: Arc::clone(&key),
            next_id: Arc::clone(&next_id),
            request: Vec::with_capacity(2048),
            answer: vec![0; 4096],
        };
        tasks.push(tokio::task::spawn_local(connection.post_until(until)));
    }
    let mut outcome = Outcome { latency: report::histogram(), n_refused: 0, elapsed: Duration::ZERO };
    for task in tasks {
        let (latency, n_refused) = task.await??;
        outcome.latency.add(latency)?;
        outcome.n_refused += n_refused;
    }
    outcome.elapsed = started.elapsed();
    Ok(outcome)
}

struct Connection {
    stream: tokio::net::TcpStream,
    addr: SocketAddr,
    path: String,
    key: Arc<hmac::Key>,
    next_id: Arc<AtomicU64>,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Connection {
    async fn post_until(mut self, until: Instant) -> anyhow::Result<(Histogram<u64>, u64)> {
        let mut latency = report::histogram();
        let mut n_refused = 0;
        let mut body = body(0);
        while Instant::now() < until {
            self.build(&mut body);
            let began = Instant::now();
            self.stream.write_all(&self.request).await?;
            let status = self.read_answer().await?;
            if (200..300).contains(&status) {
                latency.saturating_record(began.elapsed().as_micros() as u64);
            } else {
                n_refused += 1;
            }
        }
        Ok((latency, n_refused))
    }

    fn build(&mut self, body: &mut [u8]) {
        use std::io::Write as _;
        let n = self.next_id.fetch_add(1, Ordering::Relaxed);
        // Ids grow with time, as those of the common senders do. The body differs in sixteen digits.
        let digits = format!("{n:020}");
        let length = body.len();
        body[length - 23..length - 3].copy_from_slice(digits.as_bytes());
        let timestamp = SystemClock.now().as_secs();
        let mut context = hmac::Context::with_key(&self.key);
        let signed = format!("msg_{digits}.{timestamp}.");
        context.update(signed.as_bytes());
        context.update(body);
        let signature = BASE64.encode(context.sign());
        self.request.clear();
        write!(
            self.request,
            "POST {} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\nuser-agent: trunkline-bench\r\n\
             webhook-id: msg_{digits}\r\nwebhook-timestamp: {timestamp}\r\nwebhook-signature: v1,{signature}\r\n\
             content-length: {length}\r\n\r\n",
            self.path, self.addr,
        )
        .expect("invariant: writing to memory does not fail");
        self.request.extend_from_slice(body);
    }

    /// Reads one answer; gives its status.
    async fn read_answer(&mut self) -> anyhow::Result<u16> {
        let mut filled = 0;
        loop {
            let n = self.stream.read(&mut self.answer[filled..]).await?;
            anyhow::ensure!(n > 0, "the server closed the connection");
            filled += n;
            let text = &self.answer[..filled];
            if let Some(end) = find(text, b"\r\n\r\n") {
                let head = std::str::from_utf8(&text[..end])?;
                let length =
                    head.split("\r\n").find_map(content_length).map_or(Ok(0), str::parse::<usize>)?;
                if filled >= end + 4 + length {
                    return Ok(head.get(9..12).unwrap_or("0").parse()?);
                }
            }
            anyhow::ensure!(filled < self.answer.len(), "the answer is too long");
        }
    }
}

fn content_length(line: &str) -> Option<&str> {
    const NAME: &str = "content-length:";
    line.get(..NAME.len()).filter(|name| name.eq_ignore_ascii_case(NAME)).map(|_| line[NAME.len()..].trim())
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}
