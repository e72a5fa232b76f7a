//! A consumer that counts: exactly-once state, dead letters, and going on from the cursor.

use trunkline_model::{Event, EventType, SystemClock, Tenant, Timestamp};
use trunkline_store::{NewEvent, Statement, Store, params};

use super::*;
use crate::ownership::{self, OwnershipOptions};

/// Writes one row per event and refuses events with the subject `bad`.
struct Recorder;

impl Consumer for Recorder {
    fn name(&self) -> &'static str {
        "recorder"
    }

    fn handle<'a>(&'a self, batch: &'a [EventRecord]) -> BoxFuture<'a, Result<Commit, HandleError>> {
        Box::pin(async move {
            let mut commit = Commit::default();
            for record in batch {
                if record.event.subject.as_deref() == Some("bad") {
                    return Err(HandleError { reason: "bad subject".into(), is_transient: true });
                }
                commit.statements.push(Statement::one(
                    "INSERT INTO hub_facts (name, value) VALUES ($1, $2)",
                    params![record.event.id.as_str(), "1"],
                ));
            }
            Ok(commit)
        })
    }
}

async fn append(journal: &Journal, subject: &str) -> String {
    let mut event =
        Event::new(Tenant::default(), "/test", EventType::parse("a.b").unwrap(), Timestamp::from_secs(1));
    event.subject = Some(subject.into());
    event.partitionkey = Some("one".into());
    let id = event.id.as_str().to_owned();
    journal.append(vec![NewEvent::new(event, journal.now())]).await.unwrap();
    id
}

async fn wait_for_cursor(store: &Store, shard: Shard, seq: Seq) {
    while cursors::cursor_get(store, "recorder", shard).await.unwrap() < seq {
        tokio::task::yield_now().await;
    }
}

async fn recorded(store: &Store) -> Vec<String> {
    let rows =
        store.query("SELECT name FROM hub_facts WHERE value = '1' ORDER BY name", vec![]).await.unwrap();
    rows.into_iter().map(|mut row| row.text().unwrap()).collect()
}

async fn check_going_on(store: Store) {
    let journal = Journal::new(store.clone(), Arc::new(SystemClock));
    let shard = {
        let mut probe = Event::new(Tenant::default(), "", EventType::from_stored("t"), Timestamp::default());
        probe.partitionkey = Some("one".into());
        probe.shard(journal.n_shards())
    };
    let options = RunOptions { max_attempts: 2, backoff: Duration::from_millis(1), ..RunOptions::default() };
    let mut good = vec![append(&journal, "x").await];
    let bad = append(&journal, "bad").await;
    good.push(append(&journal, "y").await);

    for round in 0..2 {
        let stop = CancellationToken::new();
        let (owner, keeper) =
            ownership::keep(journal.clone(), "n".into(), OwnershipOptions::default(), stop.clone());
        let task = run(journal.clone(), &owner, Arc::new(Recorder), options, stop.clone());
        wait_for_cursor(&store, shard, 3 + round).await;
        stop.cancel();
        task.await.unwrap();
        keeper.await.unwrap();
        assert_eq!(recorded(&store).await, good);
        good.push(append(&journal, "z").await);
    }
    let letters = dead_letter::dead_letter_list(&store, &Tenant::default(), None, 10).await.unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!((letters[0].event_id.as_str(), letters[0].error.as_str()), (bad.as_str(), "bad subject"));
}

#[test]
fn a_bad_event_is_put_aside_and_the_rest_goes_on() {
    trunkline_testkit::for_each_store(async |test| check_going_on(test.store.clone()).await);
}

#[test]
fn backoff_doubles_up_to_a_minute() {
    let first = Duration::from_millis(200);
    assert_eq!(backoff(first, 1), first);
    assert_eq!(backoff(first, 3), first * 4);
    assert_eq!(backoff(first, u32::MAX), Duration::from_mins(1));
}
