//! Work cut off at every commit: nothing is lost, and what is done twice is done under the same key.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use trunkline_store::tables::event::{EventFilter, event_list};
use trunkline_testkit::for_each_store;

use super::super::*;
use super::json_of;
use super::rig::{Rig, tenant};

const WORKFLOWS: [(&str, &str); 6] = [
    (
        "line",
        "do:\n- a: {call: http, with: {method: post, endpoint: 'http://a.test/a', body: {n: '${ .n }'}}}\n- e: {emit: {event: {with: {type: crash.seen, data: '${ . }'}}}}\n- b: {call: http, with: {method: post, endpoint: 'http://a.test/b', body: {n: 2}}}\n- w: {wait: PT3S}\n- s: {set: {done: true}}",
    ),
    (
        "undo",
        "do: [{t: {try: [{a: {metadata: {trunkline: {compensate: [{u: {call: http, with: {method: delete, endpoint: 'http://a.test/a'}}}, {e: {emit: {event: {with: {type: crash.seen, data: a}}}}}]}}, call: http, with: {method: post, endpoint: 'http://a.test/a'}}}, {b: {metadata: {trunkline: {compensate: [{w: {wait: PT2S}}, {e: {emit: {event: {with: {type: crash.seen, data: b}}}}}]}}, call: http, with: {method: post, endpoint: 'http://a.test/b'}}}, {r: {raise: {error: {type: 'https://a.test/bad', status: 500}}}}], catch: {do: [{s: {set: {undone: true}}}]}}}]",
    ),
    (
        "limited",
        "do: [{f: {fork: {branches: [{x: {metadata: {trunkline: {concurrency: {key: k}, rateLimit: {limit: 1, per: PT2S}}}, call: http, with: {method: get, endpoint: 'http://a.test/x'}}}, {y: {do: [{c: {metadata: {trunkline: {concurrency: {key: k}}}, call: http, with: {method: get, endpoint: 'http://a.test/y'}}}, {e: {emit: {event: {with: {type: crash.seen, data: 1}}}}}]}}]}}}, {s: {set: {n: 1}}}]",
    ),
    (
        "loop",
        "do: [{l: {for: {each: it, in: '[1,2,3]'}, do: [{c: {call: http, with: {method: post, endpoint: 'http://a.test/c', body: '${ $it }'}}}]}}, {s: {set: {echo: '${ .echo }'}}}]",
    ),
    (
        "fork",
        "do: [{f: {fork: {branches: [{x: {do: [{c: {call: http, with: {method: get, endpoint: 'http://a.test/x'}}}, {e: {emit: {event: {with: {type: crash.seen, data: 1}}}}}, {s: {set: {x: 1}}}]}}, {y: {do: [{w: {wait: PT2S}}, {c: {call: http, with: {method: get, endpoint: 'http://a.test/y'}}}, {s: {set: {y: 1}}}]}}]}}}]",
    ),
    (
        "retry",
        "do: [{t: {try: [{c: {call: http, with: {method: post, endpoint: 'http://a.test/refuse'}}}], catch: {retry: {delay: PT2S, limit: {attempt: {count: 2}}}, do: [{c: {run: {workflow: {namespace: test, name: line, version: latest, input: {n: 7}}}}}]}}}]",
    ),
];

/// What an instance came to: its output, what it called, and the events of its journey.
#[derive(Debug, PartialEq)]
struct Came {
    output: Value,
    calls: BTreeSet<String>,
    n_keys: usize,
    n_events: usize,
}

async fn came(rig: &Rig, id: &WorkflowId) -> Came {
    let seen = rig.outside.seen();
    let filter = EventFilter { event_type: Some("crash.seen".into()), limit: 99, ..EventFilter::default() };
    let events = event_list(&rig.store, &tenant(), &filter).await.unwrap();
    Came {
        output: json_of(rig.row(id).await.output.as_ref()),
        calls: seen.iter().map(|it| format!("{} {:?}", it.url, it.body)).collect(),
        n_keys: rig.outside.by_key().len(),
        n_events: events.iter().filter(|it| &*it.event.correlationid == id.as_str()).count(),
    }
}

/// Runs one instance, cut off at the `n`-th commit; `None` when it had ended before.
async fn run_cut(rig: &mut Rig, name: &str, cut: Option<(CommitPoint, usize)>) -> Option<Came> {
    rig.outside = Arc::default();
    let engine = rig.start();
    let store = &rig.store;
    let found = resolve(store, &tenant(), "test", name, None).await.unwrap().unwrap();
    if let Some((point, n)) = cut {
        engine.cut_at(point, n);
    }
    let id = rig.begin(&engine, &found, json!({"n": 1})).await;
    let ended = tokio::select! {
        () = engine.tripped() => false,
        _ = rig.reaches(&engine, &id, "completed") => true,
    };
    let engine = if ended {
        engine
    } else {
        engine.crash().await;
        rig.start()
    };
    rig.reaches(&engine, &id, "completed").await;
    let came = came(rig, &id).await;
    engine.stop().await;
    (cut.is_none() || !ended).then_some(came)
}

#[test]
fn nothing_is_lost_at_any_commit() {
    for_each_store(async |home| {
        let mut rig = Rig::new(home).await;
        let engine = rig.start();
        for (name, tasks) in WORKFLOWS {
            rig.define(&engine, name, tasks).await;
        }
        engine.stop().await;
        // A cut costs a start of every shard: all of them on one shard, two on many.
        let n_workflows = if rig.store.n_shards() == 1 { WORKFLOWS.len() } else { 3 };
        for (name, _) in &WORKFLOWS[..n_workflows] {
            let whole = run_cut(&mut rig, name, None).await.unwrap();
            let mut n_cuts = 0;
            for n in 1.. {
                let mut is_over = true;
                for point in [CommitPoint::Before, CommitPoint::After] {
                    if let Some(came) = run_cut(&mut rig, name, Some((point, n))).await {
                        assert_eq!(came, whole, "{name} cut {point:?} commit {n}");
                        (is_over, n_cuts) = (false, n_cuts + 1);
                    }
                }
                if is_over {
                    break;
                }
            }
            assert!(n_cuts >= 6, "{name} was cut {n_cuts} times only");
        }
    });
}

#[test]
fn what_is_cut_off_three_times_in_a_row_is_held() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        rig.outside.shut.lock().push("http://a.test/deadly".to_owned());
        let mut engine = rig.start();
        let tasks = "do: [{c: {call: http, with: {method: get, endpoint: 'http://a.test/deadly'}}}]";
        let definition = rig.define(&engine, "deadly", tasks).await;
        let id = rig.begin(&engine, &definition, json!({})).await;
        for n in 1..=3 {
            rig.until("the call is made", async || rig.outside.seen().len() == n).await;
            engine.crash().await;
            engine = rig.start();
        }
        let row = rig.reaches(&engine, &id, "suspended").await;
        assert!(row.error.unwrap().contains("three times"));
        assert_eq!(rig.outside.by_key().into_values().collect::<Vec<_>>(), [3]);
        rig.outside.shut.lock().clear();
        engine.resume(&tenant(), id.as_str()).await.unwrap();
        rig.reaches(&engine, &id, "completed").await;
        engine.stop().await;
    });
}

#[test]
fn stopping_in_order_is_no_crash() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        rig.outside.shut.lock().push("http://a.test/slow".to_owned());
        let mut engine = rig.start();
        let tasks = "do: [{c: {call: http, with: {method: get, endpoint: 'http://a.test/slow'}}}]";
        let definition = rig.define(&engine, "slow", tasks).await;
        let id = rig.begin(&engine, &definition, json!({})).await;
        for n in 1..=5 {
            rig.until("the call is made", async || rig.outside.seen().len() == n).await;
            engine.stop().await;
            engine = rig.start();
        }
        rig.outside.shut.lock().clear();
        engine.stop().await;
        let engine = rig.start();
        rig.reaches(&engine, &id, "completed").await;
        engine.stop().await;
    });
}

#[test]
fn a_call_that_may_not_be_repeated_is_not() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        rig.outside.shut.lock().push("http://a.test/pay".to_owned());
        let engine = rig.start();
        let tasks = "do: [{c: {metadata: {trunkline: {idempotency: {mode: at-most-once}}}, call: http, with: {method: post, endpoint: 'http://a.test/pay'}}}]";
        let definition = rig.define(&engine, "pay", tasks).await;
        let id = rig.begin(&engine, &definition, json!({})).await;
        rig.until("the call is made", async || rig.outside.seen().len() == 1).await;
        engine.crash().await;
        let engine = rig.start();
        let row = rig.reaches(&engine, &id, "faulted").await;
        assert!(row.error.unwrap().contains("unknown"));
        assert_eq!(rig.outside.seen().len(), 1);
        engine.stop().await;
    });
}
