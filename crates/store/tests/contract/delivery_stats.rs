//! Sums of attempts and deliveries: added once, rolled up without a loss, read by group.

use std::collections::BTreeMap;
use std::time::Duration;

use trunkline_model::{EndpointId, EventType, Tenant, Timestamp};
use trunkline_store::tables::delivery_stats::{
    StatsCounts, StatsDelta, StatsFilter, StatsGroup, StatsKey, StatsWidth, delivery_stats_cancel_endpoint,
    delivery_stats_list, delivery_stats_oldest, delivery_stats_roll_up, stats_delta_list,
};
use trunkline_store::{Commit, CommitError, Statement, Store};
use trunkline_testkit::event::tenant;
use trunkline_testkit::for_each_store;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_100);

async fn commit(store: &Store, statements: Vec<Statement>) -> Result<(), CommitError> {
    store.commit(Commit::statements(statements)).await.map(drop)
}

fn delta(endpoint: &str, event_type: &str, at: Timestamp, n: i64) -> StatsDelta {
    let mut delta = StatsDelta::default();
    let counts =
        delta.entry(&tenant(), &EndpointId::from_text(endpoint), &EventType::from_stored(event_type), at);
    counts.n_successes = n;
    counts.failures[3] = 1;
    counts.ended[0] = n;
    counts.note_latency(1_700);
    delta
}

async fn list(store: &Store, filter: &StatsFilter, group: StatsGroup) -> BTreeMap<StatsKey, StatsCounts> {
    delivery_stats_list(store, &tenant(), filter, group).await.unwrap()
}

fn all() -> StatsFilter {
    let until = NOW.plus(Duration::from_hours(1));
    StatsFilter { endpoint_ids: None, event_type: None, since: Timestamp::default(), until }
}

fn total(groups: &BTreeMap<StatsKey, StatsCounts>) -> StatsCounts {
    let mut total = StatsCounts::default();
    for counts in groups.values() {
        total.add(counts);
    }
    total
}

#[test]
fn a_delta_counts_once() {
    for_each_store(async |home| {
        let store = &home.store;
        for (id, endpoint, event_type, n) in
            [("1", "ep_a", "x", 1), ("2", "ep_b", "x", 2), ("3", "ep_a", "y", 4)]
        {
            let delta = delta(endpoint, event_type, NOW.minus(Duration::from_secs(1)), n);
            commit(store, vec![delta.to_statement(id)]).await.unwrap();
        }
        let [fold, late] =
            [stats_delta_list(store, 2).await.unwrap(), stats_delta_list(store, 2).await.unwrap()];
        assert_eq!(fold.n_deltas, 2);
        commit(store, fold.into_statements(NOW)).await.unwrap();
        let refused = commit(store, late.into_statements(NOW)).await;
        assert!(matches!(refused, Err(CommitError::Guard { .. })), "{refused:?}");
        assert_eq!(total(&list(store, &all(), StatsGroup::Endpoint).await).n_successes, 3);
        let rest = stats_delta_list(store, 9).await.unwrap();
        commit(store, rest.into_statements(NOW)).await.unwrap();

        let named = |groups: BTreeMap<StatsKey, StatsCounts>| -> Vec<(StatsKey, i64)> {
            groups.into_iter().map(|(key, counts)| (key, counts.n_attempts())).collect()
        };
        let name = |text: &str| StatsKey::Name(text.to_owned());
        let found = named(list(store, &all(), StatsGroup::Endpoint).await);
        assert_eq!(found, [(name("ep_a"), 7), (name("ep_b"), 3)]);
        let found = named(list(store, &all(), StatsGroup::EventType).await);
        assert_eq!(found, [(name("x"), 5), (name("y"), 5)]);
        let some =
            StatsFilter { endpoint_ids: Some(vec!["ep_a".into()]), event_type: Some("y".into()), ..all() };
        let found = list(store, &some, StatsGroup::Time(StatsWidth::Hour)).await;
        assert_eq!(found.keys().collect::<Vec<_>>(), [&StatsKey::Time(StatsWidth::Hour.floor(NOW))]);
        assert_eq!((total(&found).ended, total(&found).latency[2]), ([4, 0, 0], 1));
        let nobody = StatsFilter { endpoint_ids: Some(vec![]), ..all() };
        assert!(list(store, &nobody, StatsGroup::Endpoint).await.is_empty());
        let other = Tenant::from_stored("clinic-2");
        let theirs = delivery_stats_list(store, &other, &all(), StatsGroup::Endpoint).await.unwrap();
        assert!(theirs.is_empty());
    });
}

#[test]
fn old_buckets_become_wider_ones() {
    for_each_store(async |home| {
        let store = &home.store;
        let start = StatsWidth::Day.floor(NOW.minus(Duration::from_hours(3 * 24)));
        for index in 0..40_i64 {
            let at = start.plus(Duration::from_secs(index.unsigned_abs() * 150));
            let delta = delta(["ep_a", "ep_b"][index as usize % 2], "x", at, index);
            commit(store, vec![delta.to_statement(&format!("{index:03}"))]).await.unwrap();
            // As if it were folded at once, and half of it only when it is old.
            if index % 3 > 0 {
                let fold = stats_delta_list(store, 99).await.unwrap();
                commit(store, fold.into_statements(at)).await.unwrap();
            }
        }
        let rest = stats_delta_list(store, 99).await.unwrap();
        commit(store, rest.into_statements(NOW)).await.unwrap();
        let before = total(&list(store, &all(), StatsGroup::EventType).await);
        assert_eq!((before.n_successes, before.n_failures()), ((0..40).sum(), 40));
        for width in [StatsWidth::FiveMinutes, StatsWidth::Hour] {
            while let Some((owner, at, n_rows)) = delivery_stats_oldest(store, width, NOW).await.unwrap() {
                assert_eq!(owner, tenant());
                let refused = commit(store, delivery_stats_roll_up(&owner, width, at, n_rows + 1)).await;
                assert!(matches!(refused, Err(CommitError::Guard { .. })));
                commit(store, delivery_stats_roll_up(&owner, width, at, n_rows)).await.unwrap();
            }
            assert_eq!(total(&list(store, &all(), StatsGroup::EventType).await), before, "{width:?}");
        }
        let days = list(store, &all(), StatsGroup::Time(StatsWidth::FiveMinutes)).await;
        assert_eq!(days.keys().collect::<Vec<_>>(), [&StatsKey::Time(start)]);
        let (owner, at, n_rows) = delivery_stats_oldest(store, StatsWidth::Day, NOW).await.unwrap().unwrap();
        commit(store, delivery_stats_roll_up(&owner, StatsWidth::Day, at, n_rows)).await.unwrap();
        assert!(list(store, &all(), StatsGroup::EventType).await.is_empty());
    });
}

#[test]
fn deliveries_given_up_together_are_counted() {
    for_each_store(async |home| {
        let store = &home.store;
        let [id, other] = [EndpointId::fresh(), EndpointId::fresh()];
        let mut rows: Vec<_> = (1..=4).map(|seq| crate::tables::pending(&id, seq)).collect();
        rows.push(crate::tables::pending(&other, 5));
        store.commit(Commit::deliveries(rows)).await.unwrap();
        for _ in 0..2 {
            let cancel = delivery_stats_cancel_endpoint(store.dialect(), &id, "endpoint deleted", NOW);
            commit(store, cancel).await.unwrap();
        }
        let found = list(store, &all(), StatsGroup::Endpoint).await;
        assert_eq!(found.len(), 1);
        assert_eq!(found[&StatsKey::Name(id.into_string())].ended, [0, 0, 4]);
        let left = trunkline_store::tables::delivery::delivery_count_pending(store, other.as_str(), 9).await;
        assert_eq!(left.unwrap(), 1);
    });
}

#[test]
fn latencies_have_buckets() {
    let bucket = |duration_us| {
        let mut counts = StatsCounts::default();
        counts.note_latency(duration_us);
        counts.latency.iter().position(|n| *n == 1)
    };
    assert_eq!([0, 999, 1_000, 1_599, 1_600].map(bucket), [0, 0, 1, 1, 2].map(Some));
    assert_eq!([24_999_999, 25_000_000, i64::MAX].map(bucket), [22, 23, 23].map(Some));
}
