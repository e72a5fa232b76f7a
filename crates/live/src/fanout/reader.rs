//! The one reader of the journal: shard by shard, woken by the heads, into the rooms. It sleeps while nobody is connected.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::select_all;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use trunkline_model::{EventRecord, LogSpacing, Seq, Shard};
use trunkline_store::ReadError;

use super::{Fanout, Place};
use crate::ending::Ending;
use crate::event::LiveEvent;

/// Events read at once.
const BATCH: i64 = 64;
/// The wait after the store could not be read.
const PAUSE: Duration = Duration::from_secs(1);

/// A store that is not there fails every read.
static OUTAGES: LogSpacing = LogSpacing::new();

/// Reads until stopped.
pub(crate) async fn read(fanout: Arc<Fanout>, stop: CancellationToken) {
    let journal = fanout.journal.clone();
    let mut heads: Vec<_> = (0..journal.n_shards()).map(|shard| journal.watch(shard)).collect();
    let work = async {
        loop {
            fanout.wait_for_somebody().await;
            match step(&fanout, &mut heads).await {
                Ok(true) => {}
                Ok(false) => wait(&fanout, &mut heads).await,
                Err(error) => {
                    if let Some(n_reads) = OUTAGES.note(Instant::now()) {
                        tracing::warn!(error = ?error, n_reads, "live updates cannot read the journal");
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    };
    stop.run_until_cancelled(work).await;
}

/// Reads each shard that has grown once; true when there can be more.
async fn step(fanout: &Fanout, heads: &mut [watch::Receiver<Seq>]) -> Result<bool, ReadError> {
    let Some((at, since)) = fanout.stands() else { return Ok(true) };
    let mut has_more = false;
    for (shard, head) in heads.iter_mut().enumerate() {
        let shard = shard as Shard;
        // Seen before the read: what comes later wakes the wait.
        let head = *head.borrow_and_update();
        if head <= at.at(shard) {
            continue;
        }
        let records = fanout.journal.read(shard, at.at(shard), BATCH).await?;
        has_more |= records.len() as i64 == BATCH;
        fanout.take(since, shard, head, records);
    }
    Ok(has_more)
}

/// Waits until a shard grows, or nobody is connected any more.
async fn wait(fanout: &Fanout, heads: &mut [watch::Receiver<Seq>]) {
    let mut active = fanout.active.subscribe();
    let grown = select_all(heads.iter_mut().map(|head| Box::pin(head.changed())));
    let is_closed = tokio::select! {
        (changed, ..) = grown => changed.is_err(),
        _ = active.wait_for(|is_active| !is_active) => false,
    };
    if is_closed {
        // The store is closed; the hub is stopping.
        tokio::time::sleep(PAUSE).await;
    }
}

impl Fanout {
    /// Where the reader stands, and since when it reads.
    fn stands(&self) -> Option<(Place, u64)> {
        self.state.lock().reading.as_ref().map(|reading| (reading.at.clone(), reading.since))
    }

    /// Takes what was read of a shard and puts it into the queues.
    fn take(&self, since: u64, shard: Shard, head: Seq, records: Vec<EventRecord>) {
        let is_last = (records.len() as i64) < BATCH;
        let events: Vec<_> = records.into_iter().map(LiveEvent::new).collect();
        // Rooms are found outside the lock, where somebody could want them.
        let interested: Vec<_> = self.state.lock().rooms.keys().cloned().collect();
        for event in events.iter().filter(|event| interested.contains(event.tenant())) {
            event.rooms(&self.rules);
        }
        let mut state = self.state.lock();
        let state = &mut *state;
        let Some(reading) = state.reading.as_mut().filter(|reading| reading.since == since) else { return };
        let first = reading.at.at(shard);
        for event in events.iter().filter(|event| event.seq() > first) {
            reading.at.advance(shard, event.seq());
            reading.ring.push(Arc::clone(event));
        }
        if is_last {
            // What lies between was removed by retention.
            reading.at.advance(shard, head);
        }
        for event in events.iter().filter(|event| event.seq() > first) {
            for seat in state.deliver(event, &self.rules) {
                seat.end(Ending::Slow);
                let rooms = state.seats.get_mut(&seat.id).map(|taken| std::mem::take(&mut taken.rooms));
                let n_left = state.leave(&seat, rooms.unwrap_or_default());
                self.metrics.subscriptions.dec_by(n_left);
            }
        }
        self.moved.send_modify(|n| *n += 1);
    }
}
