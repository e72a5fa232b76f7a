//! What a store promises, tested on SQLite and on PostgreSQL with the same code.
//!
//! One file per area. Tests on PostgreSQL run where a server answers; see the testkit.

#![allow(clippy::unwrap_used)] // everything here is a test

mod append;
mod atomic;
mod delivery_history;
mod delivery_stats;
mod endpoint_health;
mod event_types;
mod expiry;
mod lines;
mod lists;
mod logistics;
mod nodes;
mod plans;
mod postgres;
mod replays;
mod sqlite;
mod stored_records;
mod tables;
mod tracking;
mod workflow_limits;
mod workflows;

use trunkline_model::{EventRecord, Seq, Shard};
use trunkline_store::tables::event;
use trunkline_store::{Appended, Commit, NewEvent, Seen, Store};
use trunkline_testkit::event::new_event;

/// Appends one event and gives its place.
async fn append(store: &Store, new: NewEvent) -> Appended {
    store.commit(Commit::append(vec![new])).await.unwrap().appended()[0]
}

/// Appends `n` events about different subjects.
async fn append_some(store: &Store, n: usize) -> Vec<NewEvent> {
    let mut events = Vec::new();
    for index in 0..n {
        let new = new_event("test.made", &format!("subject-{index}"), index as i64);
        append(store, new.clone()).await;
        events.push(new);
    }
    events
}

/// Every event of every shard, in order.
async fn read_all(store: &Store) -> Vec<EventRecord> {
    let mut all = Vec::new();
    for shard in 0..store.n_shards() {
        let mut after = 0;
        loop {
            let page = event::event_read(store, shard, after, 500).await.unwrap();
            let Some(last) = page.last() else { break };
            after = last.seq;
            all.extend(page);
        }
    }
    all
}

/// Asserts that each shard has the seqs 1, 2, 3 … and that the stored heads agree.
async fn assert_gapless(store: &Store) {
    let heads = event::head_list(store).await.unwrap();
    let mut next: Vec<(Shard, Seq)> = heads.iter().map(|(shard, _)| (*shard, 0)).collect();
    for record in read_all(store).await {
        let head = &mut next[record.shard as usize];
        assert_eq!(record.seq, head.1 + 1, "shard {}", record.shard);
        head.1 = record.seq;
    }
    assert_eq!(next, heads);
}

/// A dedupe key of the source `portal`.
fn seen(key: &str, inbound_id: &str) -> Seen {
    Seen {
        source: "portal".to_owned(),
        key: key.to_owned(),
        inbound_id: inbound_id.to_owned(),
        seen_at: trunkline_model::Timestamp::from_secs(1_700_000_000),
    }
}
