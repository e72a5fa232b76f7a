//! The load generator: keep-alive connections that post signed webhooks as fast as they are answered or allowed.
//!
//! It must cost less than the server it measures: requests are built by hand into one buffer, and of an answer only the
//! status and the length are read. Every request has an id and a signature of its own, and says when it was sent.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hdrhistogram::Histogram;
use ring::hmac;
use tokio::sync::Semaphore;
use trunkline_model::{Clock as _, SystemClock};

use crate::report;
use crate::wire::Connection;

/// The signing secret that the hub under test is configured with.
pub const SECRET: &str = "whsec_dHJ1bmtsaW5lLWJlbmNoLXNlY3JldC0zMi1ieXRlcw==";

/// What each body begins with.
const HEAD: &str = r#"{"type":"order.created","timestamp":"2026-01-01T00:00:00Z","data":{"sent_us":"#;
/// Digits of a time in microseconds, until the year 2286.
const TIME_DIGITS: usize = 16;
const TAIL: &[u8] = b"\"}}";
/// The last characters of the note, which tell bodies apart.
const NUMBER_DIGITS: usize = 20;

/// A body of 1 KiB in the shape `{type, timestamp, data}`; `sent_us` is the time of sending, 0 for none.
pub fn body(n: u64, sent_us: u64) -> Vec<u8> {
    let mut body = format!("{HEAD}{sent_us},\"order\":{n},\"note\":\"").into_bytes();
    body.resize(1024 - TAIL.len(), b'x');
    body.extend_from_slice(TAIL);
    body
}

/// What to post, and how.
#[derive(Debug, Clone)]
pub struct Load {
    /// Where to.
    pub addr: SocketAddr,
    /// The path to post to.
    pub path: &'static str,
    /// How many connections.
    pub connections: usize,
    /// How long.
    pub duration: Duration,
    /// Each post takes one of these; closing them ends the run. Without, posts are made as fast as they are answered.
    pub permits: Option<Arc<Semaphore>>,
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

impl Load {
    /// Posts until the time is over or the permits are closed.
    ///
    /// Runs on a thread and runtime of its own, so that the caller's runtime does not slow it down.
    pub async fn run(self) -> anyhow::Result<Outcome> {
        tokio::task::spawn_blocking(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let local = tokio::task::LocalSet::new();
            local.block_on(&runtime, self.drive())
        })
        .await?
    }

    async fn drive(self) -> anyhow::Result<Outcome> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &BASE64.decode(SECRET.trim_start_matches("whsec_"))?);
        let requests = Arc::new(Requests {
            head: format!(
                "POST {} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\nuser-agent: trunkline-bench\r\n",
                self.path, self.addr
            ),
            key,
            next_id: AtomicU64::new(SystemClock.now().as_micros().unsigned_abs() * 1_000),
        });
        let started = Instant::now();
        let until = started + self.duration;
        let mut tasks = Vec::with_capacity(self.connections);
        for _ in 0..self.connections {
            let connection = Connection::open(self.addr).await?;
            let poster =
                Poster { connection, requests: Arc::clone(&requests), permits: self.permits.clone() };
            tasks.push(tokio::task::spawn_local(poster.post_until(until)));
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
}

/// What the requests of all connections share.
struct Requests {
    head: String,
    key: hmac::Key,
    next_id: AtomicU64,
}

impl Requests {
    /// Writes the next request: id, times and signature of its own.
    fn build(&self, body: &mut [u8], request: &mut Vec<u8>) {
        use std::io::Write as _;
        let n = self.next_id.fetch_add(1, Ordering::Relaxed);
        let now = SystemClock.now();
        // Ids grow with time, as those of the common senders do. The body differs in its number and its time.
        let number = format!("{n:020}");
        let length = body.len();
        body[length - TAIL.len() - NUMBER_DIGITS..length - TAIL.len()].copy_from_slice(number.as_bytes());
        let sent_us = format!("{:016}", now.as_micros());
        body[HEAD.len()..HEAD.len() + TIME_DIGITS].copy_from_slice(sent_us.as_bytes());
        let timestamp = now.as_secs();
        let mut context = hmac::Context::with_key(&self.key);
        context.update(format!("msg_{number}.{timestamp}.").as_bytes());
        context.update(body);
        let signature = BASE64.encode(context.sign());
        request.clear();
        write!(
            request,
            "{}webhook-id: msg_{number}\r\nwebhook-timestamp: {timestamp}\r\nwebhook-signature: v1,{signature}\r\n\
             content-length: {length}\r\n\r\n",
            self.head,
        )
        .expect("invariant: writing to memory does not fail");
        request.extend_from_slice(body);
    }
}

struct Poster {
    connection: Connection,
    requests: Arc<Requests>,
    permits: Option<Arc<Semaphore>>,
}

impl Poster {
    async fn post_until(mut self, until: Instant) -> anyhow::Result<(Histogram<u64>, u64)> {
        let mut latency = report::histogram();
        let mut n_refused = 0;
        let mut body = body(0, 10_u64.pow(TIME_DIGITS as u32 - 1));
        let mut request = Vec::with_capacity(2048);
        while self.may_post().await && Instant::now() < until {
            self.requests.build(&mut body, &mut request);
            let began = Instant::now();
            let answer = self.connection.exchange(&request).await?;
            if (200..300).contains(&answer.status) {
                latency.saturating_record(began.elapsed().as_micros() as u64);
            } else {
                n_refused += 1;
            }
        }
        Ok((latency, n_refused))
    }

    /// Waits for a permit; false when there will be none any more.
    async fn may_post(&self) -> bool {
        match &self.permits {
            None => true,
            Some(permits) => permits.acquire().await.map(tokio::sync::SemaphorePermit::forget).is_ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_has_its_own_id_and_time() {
        let requests = Requests {
            head: "POST / HTTP/1.1\r\n".into(),
            key: hmac::Key::new(hmac::HMAC_SHA256, b"key"),
            next_id: AtomicU64::new(41),
        };
        let mut body = body(0, 1_000_000_000_000_000);
        let (mut first, mut second) = (Vec::new(), Vec::new());
        requests.build(&mut body, &mut first);
        requests.build(&mut body, &mut second);
        let second = String::from_utf8(second).unwrap();
        assert!(second.contains("\r\nwebhook-id: msg_00000000000000000042\r\n"), "{second}");
        let (head, sent) = second.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with("content-length: 1024") && sent.len() == 1024, "{head}");
        assert!(sent.ends_with("x00000000000000000042\"}}"), "{sent}");
        let json: serde_json::Value = serde_json::from_str(sent).unwrap();
        let sent_us = json["data"]["sent_us"].as_u64().unwrap();
        assert!(sent_us > 1_000_000_000_000_000, "{sent_us}");
        assert!(first.windows(20).any(|window| window == b"00000000000000000041"));
    }

    #[test]
    fn bodies_are_json_of_one_kibibyte() {
        for (n, sent_us) in [(0, 0), (u64::MAX, u64::MAX)] {
            let body = body(n, sent_us);
            assert_eq!(body.len(), 1024);
            let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(json["data"]["order"], n);
        }
    }
}
