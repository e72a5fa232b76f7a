//! Events posted to a running hub, which delivers them at the same time: the whole way, measured at the sink.
//!
//! The load generator posts in a closed loop: it has only so many events under way, or the latencies would only tell how
//! long the queue has grown. Or it posts evenly, which shows the hub when it is not busy. Latency is the time from the
//! sending of the event to the first byte of its delivery, so the answer that it was accepted falls in between.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::Plan;
use crate::backlog::Mark;
use crate::hub::{Hub, set_endpoints};
use crate::load::Load;
use crate::report::Figures;
use crate::sink::{Sink, SinkReader};

/// What is not measured at the beginning.
const WARM_UP: Duration = Duration::from_secs(1);
/// Deliveries under way in the closed loop, shared by the endpoints.
const WINDOW: usize = 1024;
/// Events under way at least, however many endpoints get them. With more, deliveries to many endpoints would wait so long
/// that the hub stores them as pending.
const MIN_WINDOW: usize = 16;
/// How often the closed loop asks the sink.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// When the load generator may post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// As soon as an earlier event has reached every endpoint.
    Closed,
    /// Evenly, so often a second.
    Even(u32),
}

/// Which way events go.
#[derive(Debug, Clone)]
pub(crate) struct Flow {
    /// Endpoints at the sink.
    pub(crate) n_live: usize,
    /// URLs of endpoints that are not.
    pub(crate) others: Vec<String>,
    pub(crate) pace: Pace,
}

impl Flow {
    /// So many endpoints at the sink, in a closed loop.
    pub(crate) fn closed(n_live: usize) -> Self {
        Self { n_live, others: Vec::new(), pace: Pace::Closed }
    }

    /// Starts a hub and measures it. The figures are of deliveries to the sink.
    pub(crate) async fn measure(&self, plan: &Plan, sink: &Sink) -> anyhow::Result<Figures> {
        let folder = tempfile::tempdir_in(&plan.folder)?;
        let hub = Hub::new(plan, folder.path())?;
        let store = hub.open_store().await?;
        let urls = (0..self.n_live).map(|n| sink.url(n)).chain(self.others.iter().cloned());
        set_endpoints(&store, urls).await?;
        store.close().await;
        let server = hub.start().await?;

        let permits = Arc::new(Semaphore::new(0));
        let mut reader = sink.reader().await?;
        let pacing = tokio::spawn(self.clone().pace(Arc::clone(&permits), sink.reader().await?));
        let load = Load {
            addr: server.addr,
            path: "/in/bench",
            connections: plan.connections,
            duration: WARM_UP + plan.duration + Duration::from_mins(1),
            permits: Some(Arc::clone(&permits)),
        };
        let load = tokio::spawn(load.run());
        tokio::time::sleep(WARM_UP).await;
        let first = Mark::take((&hub, &server), &mut reader).await?;
        tokio::time::sleep(plan.duration).await;
        let last = Mark::take((&hub, &server), &mut reader).await?;
        permits.close();
        let n_refused = load.await??.n_refused;
        pacing.await??;
        let figures = first.until(&last)?;
        let note = format!("{:.0} events/s", figures.rate / self.n_live as f64);
        let note = if n_refused > 0 { format!("{note}, {n_refused} REFUSED") } else { note };
        Ok(Figures { note, ..figures })
    }

    /// Hands out permits until they are closed.
    async fn pace(self, permits: Arc<Semaphore>, reader: SinkReader) -> anyhow::Result<()> {
        match self.pace {
            Pace::Closed => self.follow(&permits, reader).await,
            Pace::Even(per_second) => {
                let mut ticks = tokio::time::interval(Duration::from_secs(1) / per_second.max(1));
                while !permits.is_closed() {
                    ticks.tick().await;
                    permits.add_permits(1);
                }
                Ok(())
            }
        }
    }

    async fn follow(&self, permits: &Semaphore, mut reader: SinkReader) -> anyhow::Result<()> {
        permits.add_permits(window(self.n_live));
        let already = reader.count().await?;
        let mut n_replaced = 0;
        while !permits.is_closed() {
            tokio::time::sleep(LOOK_EVERY).await;
            let n_events = (reader.count().await? - already) / self.n_live as u64;
            permits.add_permits((n_events - n_replaced) as usize);
            n_replaced = n_events;
        }
        Ok(())
    }
}

/// Events under way in the closed loop.
fn window(n_endpoints: usize) -> usize {
    (WINDOW / n_endpoints.max(1)).max(MIN_WINDOW)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_is_of_deliveries_but_never_too_small() {
        assert_eq!([1, 10, 100].map(window), [1024, 102, 16]);
    }
}
