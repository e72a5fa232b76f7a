//! News of the journal between hubs on one database.
//!
//! After a commit the hub tells its own waiters at once and sends a notification to the other hubs; several commits
//! share one. Notifications are hints that may get lost with a connection: every quarter of a second the heads are read
//! as well, so that nobody waits for ever. They are sent beside the appending transactions, because PostgreSQL lets only
//! one transaction with a notification commit at a time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};
use tokio_postgres::AsyncMessage;
use trunkline_model::{Seq, Shard};

use super::connect::{Connector, SILENCE};
use crate::Heads;
use crate::error::Cause;

/// How often the heads are read.
const POLL: Duration = Duration::from_millis(250);
/// The pause after a notification, in which further commits gather for the next one.
const SPACING: Duration = Duration::from_millis(5);
/// The pause after the connection broke.
const RECONNECT: Duration = Duration::from_millis(100);

/// Where commits report which heads they moved.
pub(super) struct News {
    heads: Arc<Heads>,
    unsent: Mutex<BTreeMap<Shard, Seq>>,
    wake: Notify,
}

impl News {
    pub(super) fn new(heads: Arc<Heads>) -> Self {
        Self { heads, unsent: Mutex::default(), wake: Notify::new() }
    }

    /// Tells local waiters now and other hubs soon.
    pub(super) fn tell(&self, moved: &[(Shard, Seq)]) {
        if moved.is_empty() {
            return;
        }
        for (shard, seq) in moved {
            self.heads.advance(*shard, *seq);
        }
        let mut unsent = self.unsent.lock();
        for (shard, seq) in moved {
            let newest = unsent.entry(*shard).or_default();
            *newest = (*newest).max(*seq);
        }
        drop(unsent);
        self.wake.notify_one();
    }

    /// The payload of the next notification: `shard:seq,shard:seq`. 64 of them stay far below PostgreSQL's 8,000 bytes.
    fn payload(&self) -> Option<String> {
        let unsent = std::mem::take(&mut *self.unsent.lock());
        let parts: Vec<String> = unsent.iter().map(|(shard, seq)| format!("{shard}:{seq}")).collect();
        (!parts.is_empty()).then(|| parts.join(","))
    }

    fn hear(&self, payload: &str) {
        for part in payload.split(',') {
            if let Some((shard, seq)) = part.split_once(':')
                && let (Ok(shard), Ok(seq)) = (shard.parse(), seq.parse())
            {
                self.heads.advance(shard, seq);
            }
        }
    }
}

/// Exchanges news until the task is aborted.
pub(super) async fn run(connector: Arc<Connector>, news: Arc<News>) {
    loop {
        // The connector logs and spaces attempts; here it is enough to try again.
        if let Err(error) = exchange(&connector, &news).await {
            tracing::debug!(error = %error, "journal news interrupted");
        }
        tokio::time::sleep(RECONNECT).await;
    }
}

async fn exchange(connector: &Connector, news: &News) -> Result<(), Cause> {
    let (client, mut driver) = connector.raw().await?;
    let (sender, mut heard) = mpsc::unbounded_channel();
    let driving = async move {
        let mut messages = futures_util::stream::poll_fn(move |cx| driver.poll_message(cx));
        while let Some(message) = messages.next().await {
            if let AsyncMessage::Notification(notification) = message?
                && sender.send(notification).is_err()
            {
                break;
            }
        }
        Ok::<(), Cause>(())
    };
    let talking = async {
        answered(client.batch_execute("SET jit = off; LISTEN trunkline_journal")).await?;
        let read_heads = answered(client.prepare("SELECT shard, seq FROM journal_heads")).await?;
        let notify = answered(client.prepare("SELECT pg_notify('trunkline_journal', $1)")).await?;
        let mut polls = tokio::time::interval(POLL);
        polls.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                notification = heard.recv() => match notification {
                    Some(notification) => news.hear(notification.payload()),
                    None => return Ok(()),
                },
                () = news.wake.notified() => {
                    if let Some(payload) = news.payload() {
                        answered(client.query(&notify, &[&payload])).await?;
                        tokio::time::sleep(SPACING).await;
                    }
                }
                _ = polls.tick() => {
                    for row in answered(client.query(&read_heads, &[])).await? {
                        news.heads.advance(row.try_get(0)?, row.try_get(1)?);
                    }
                }
            }
        }
    };
    // The connection lives and dies with this task: no second task is left behind when it is aborted.
    tokio::select! {
        driven = driving => driven,
        talked = talking => talked,
    }
}

/// Waits for an answer, but not for ever: the connection may be dead without anybody having been told.
async fn answered<T>(exchange: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, Cause> {
    match tokio::time::timeout(SILENCE, exchange).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err("the server did not answer in time".into()),
    }
}
