//! Figures of a running hub: what happened between two moments, and how it works off a known number of deliveries.
//!
//! Deliveries are counted where they arrive. What comes before the first moment and after the last, such as starting up
//! and running dry, is in no figure.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use hdrhistogram::Histogram;

use crate::hub::Hub;
use crate::process::Running;
use crate::report::{Figures, Latency};
use crate::sink::{Sink, SinkReader};

/// How often the sink is asked.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// A hub that delivers nothing for so long has failed.
const STALL: Duration = Duration::from_mins(1);

/// What sink and system say at one moment.
pub(crate) struct Mark {
    at: Instant,
    n: u64,
    cpu_us: f64,
    stored_bytes: Option<f64>,
    latency: Histogram<u64>,
}

impl Mark {
    pub(crate) async fn take(
        (hub, server): (&Hub, &Running),
        reader: &mut SinkReader,
    ) -> anyhow::Result<Self> {
        let (n, cpu_us, at) = (reader.count().await?, server.cpu_us()?, Instant::now());
        Ok(Self { at, n, cpu_us, stored_bytes: hub.stored_bytes(), latency: reader.latency().await? })
    }

    /// What happened from `self` to `last`.
    pub(crate) fn until(&self, last: &Self) -> anyhow::Result<Figures> {
        let n = last.n.saturating_sub(self.n);
        anyhow::ensure!(n > 0, "nothing was delivered");
        let mut latency = last.latency.clone();
        latency.subtract(&self.latency).context("the sink forgot latencies")?;
        Ok(Figures {
            name: "trunkline".into(),
            rate: n as f64 / last.at.saturating_duration_since(self.at).as_secs_f64(),
            cpu_us: Some((last.cpu_us - self.cpu_us) / n as f64),
            latency: Latency::of(&latency),
            bytes: last
                .stored_bytes
                .zip(self.stored_bytes)
                .map(|(after, before)| (after - before) / n as f64),
            note: String::new(),
        })
    }
}

/// A known number of deliveries that a hub is about to make.
pub(crate) struct Backlog {
    pub(crate) n_total: u64,
    /// What the sink had received before.
    pub(crate) already: u64,
}

impl Backlog {
    /// Measures from the first to the last tenth.
    pub(crate) async fn measure(&self, hub: (&Hub, &Running), sink: &Sink) -> anyhow::Result<Figures> {
        let mut reader = sink.reader().await?;
        let (first_tenth, last_tenth) = (self.n_total / 10, self.n_total - self.n_total / 10);
        self.wait(&mut reader, first_tenth).await?;
        let first = Mark::take(hub, &mut reader).await?;
        anyhow::ensure!(first.n < self.already + last_tenth, "the backlog was too small to measure");
        self.wait(&mut reader, last_tenth).await?;
        first.until(&Mark::take(hub, &mut reader).await?)
    }

    /// Waits until `n` of them have arrived.
    async fn wait(&self, reader: &mut SinkReader, n: u64) -> anyhow::Result<()> {
        let (mut seen, mut moved_at) = (self.already, Instant::now());
        while seen < self.already + n {
            tokio::time::sleep(LOOK_EVERY).await;
            let now_seen = reader.count().await?;
            if now_seen > seen {
                (seen, moved_at) = (now_seen, Instant::now());
            }
            anyhow::ensure!(
                moved_at.elapsed() < STALL,
                "only {} of {} were delivered",
                seen - self.already,
                self.n_total
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(at: Instant, n: u64, latencies: &[u64]) -> Mark {
        let mut latency = crate::report::histogram();
        for us in latencies {
            latency.saturating_record(*us);
        }
        Mark { at, n, cpu_us: n as f64 * 50.0, stored_bytes: Some(n as f64 * 300.0), latency }
    }

    #[test]
    fn figures_are_of_the_time_between() {
        let started = Instant::now();
        let first = mark(started, 100, &[90_000, 90_000]);
        let last = mark(started + Duration::from_secs(2), 500, &[90_000, 90_000, 1_000, 1_000, 1_000]);
        let figures = first.until(&last).unwrap();
        assert!((figures.rate - 200.0).abs() < 1e-6);
        assert!((figures.cpu_us.unwrap() - 50.0).abs() < 1e-6);
        assert!((figures.bytes.unwrap() - 300.0).abs() < 1e-6);
        let latency = figures.latency.unwrap();
        assert!(latency.p99_ms < 1.1, "what came before does not count: {latency:?}");
        assert!(last.until(&first).is_err(), "nothing was delivered");
    }
}
