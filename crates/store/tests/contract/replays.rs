//! What was missed, the jobs that send it again, and consumers that fetch.

use trunkline_model::{DeliveryId, EndpointId, PollerId, ReplayId, Tenant, Timestamp};
use trunkline_store::tables::delivery::{
    self, DeliveryRow, DeliveryState, OwedFilter, OwedPage, delivery_list_event_between, delivery_list_owed,
};
use trunkline_store::tables::event::EventPlace;
use trunkline_store::tables::poll::{self, PollerRow, Stretch, event_behind, event_scan};
use trunkline_store::tables::replay::{self, ReplayRow, ReplayState, replay_list, replay_list_turns};
use trunkline_store::{Commit, CommitError, Statement, Store};
use trunkline_testkit::event::{new_event, tenant};
use trunkline_testkit::for_each_store;

use crate::append;

const BASE: i64 = 1_700_000_000_000_000;

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(BASE + micros)
}

pub(crate) fn job() -> ReplayRow {
    ReplayRow {
        id: ReplayId::fresh(),
        tenant: tenant(),
        endpoint_id: None,
        event_types: "[\"**\"]".to_owned(),
        states: "[\"missed\"]".to_owned(),
        since: at(0),
        until: at(100),
        rate_per_s: 10,
        state: ReplayState::Running,
        reason: None,
        place: EventPlace { recorded_at: at(0), shard: -1, seq: 0 },
        next_due_at: at(0),
        n_scanned: 0,
        n_planned: 0,
        n_skipped: 0,
        created_at: at(1),
        started_at: None,
        updated_at: at(1),
        finished_at: None,
    }
}

async fn run(store: &Store, statement: Statement) -> Result<(), CommitError> {
    store.commit(Commit::statements(vec![statement])).await.map(drop)
}

#[test]
fn what_was_missed_comes_in_order_with_its_deliveries() {
    for_each_store(async |test| {
        let endpoints = [EndpointId::fresh(), EndpointId::fresh()];
        for index in 0..23 {
            let new = new_event(["a.b", "a.c"][index % 2], &format!("s{}", index % 5), index as i64);
            let place = append(&test.store, new.clone()).await;
            let mut rows: Vec<DeliveryRow> = Vec::new();
            for (nth, endpoint_id) in endpoints.iter().enumerate().take(index % 3) {
                for state in [DeliveryState::Exhausted, DeliveryState::Pending] {
                    let mut row = crate::tables::pending(endpoint_id, place.seq);
                    (row.shard, row.id, row.state) = (place.shard, DeliveryId::fresh(), state);
                    row.n_attempts = nth as i64;
                    rows.push(row);
                }
            }
            test.store.commit(Commit::deliveries(rows)).await.unwrap();
        }
        let filter = OwedFilter {
            endpoint_id: None,
            event_type: None,
            since: at(3),
            until: at(20),
            after: None,
            page: OwedPage::Small,
        };
        let walk = async |mut filter: OwedFilter| {
            let mut all = Vec::new();
            loop {
                let page = delivery_list_owed(&test.store, &tenant(), &filter).await.unwrap();
                assert!(page.len() <= 10);
                filter.after = page.last().map(|event| event.place);
                let is_last = page.len() < 10;
                all.extend(page);
                if is_last {
                    break;
                }
            }
            let micros: Vec<i64> =
                all.iter().map(|event| event.place.recorded_at.as_micros() - BASE).collect();
            let n_deliveries: Vec<usize> = all.iter().map(|event| event.deliveries.len()).collect();
            (micros, n_deliveries)
        };
        let (micros, n_deliveries) = walk(filter.clone()).await;
        assert_eq!(micros, (3..20).collect::<Vec<i64>>());
        assert_eq!(n_deliveries, (3..20).map(|index| 2 * (index % 3)).collect::<Vec<usize>>());
        let one = OwedFilter { endpoint_id: Some(endpoints[1].to_string()), ..filter.clone() };
        let (micros, n_deliveries) = walk(one).await;
        assert_eq!(micros.len(), 17);
        let expected: Vec<usize> = (3..20).map(|index| if index % 3 == 2 { 2 } else { 0 }).collect();
        assert_eq!(n_deliveries, expected);
        let typed = OwedFilter { event_type: Some("a.c".to_owned()), ..filter.clone() };
        assert_eq!(walk(typed).await.0, [3, 5, 7, 9, 11, 13, 15, 17, 19]);
        let other = Tenant::from_stored("clinic-2");
        assert!(delivery_list_owed(&test.store, &other, &filter).await.unwrap().is_empty());

        let all = delivery_list_owed(&test.store, &tenant(), &filter).await.unwrap();
        let event = all.iter().find(|event| event.deliveries.len() == 4).unwrap();
        let place = (event.place.shard, event.place.seq);
        let mut ids: Vec<&str> = endpoints.iter().map(EndpointId::as_str).collect();
        ids.sort_unstable();
        let n_found = async |range: (&str, &str)| {
            delivery_list_event_between(&test.store, place, range).await.unwrap().len()
        };
        assert_eq!([n_found((ids[0], ids[1])).await, n_found((ids[0], ids[0])).await], [4, 2]);
    });
}

#[test]
fn a_step_counts_once() {
    for_each_store(async |test| {
        let before = job();
        run(&test.store, replay::replay_insert(&before)).await.unwrap();
        let mut after = before.clone();
        after.place = EventPlace { recorded_at: at(5), shard: 0, seq: 5 };
        (after.n_scanned, after.n_planned, after.started_at) = (5, 2, Some(at(7)));
        let row = crate::tables::pending(&EndpointId::fresh(), 5);
        let step = || Commit {
            statements: vec![replay::replay_step(&before, &after)],
            ..Commit::deliveries(vec![row.clone()])
        };
        test.store.commit(step()).await.unwrap();
        assert!(matches!(test.store.commit(step()).await, Err(CommitError::Guard { .. })));
        let found = replay::replay_get(&test.store, &tenant(), before.id.as_str()).await.unwrap();
        assert_eq!(found.as_ref(), Some(&after));
        assert!(delivery::delivery_get(&test.store, &tenant(), row.id.as_str()).await.unwrap().is_some());

        // A paused job takes no step, wherever it stands.
        let id = before.id.as_str();
        let set = async |from, to| {
            run(&test.store, replay::replay_set_state(&tenant(), id, (from, to), at(9))).await
        };
        set(ReplayState::Running, ReplayState::Paused).await.unwrap();
        assert!(set(ReplayState::Running, ReplayState::Paused).await.is_err());
        assert!(run(&test.store, replay::replay_step(&after, &after)).await.is_err());
        set(ReplayState::Paused, ReplayState::Cancelled).await.unwrap();
        let found = replay::replay_get(&test.store, &tenant(), id).await.unwrap().unwrap();
        assert_eq!((found.state, found.finished_at), (ReplayState::Cancelled, Some(at(9))));
        let other = Tenant::from_stored("clinic-2");
        assert_eq!(replay::replay_get(&test.store, &other, id).await.unwrap(), None);
    });
}

#[test]
fn each_tenants_oldest_job_is_next() {
    for_each_store(async |test| {
        let mut jobs: Vec<ReplayRow> = (0..5).map(|_| job()).collect();
        jobs[0].state = ReplayState::Completed;
        jobs[3].tenant = Tenant::from_stored("clinic-2");
        for job in &jobs {
            run(&test.store, replay::replay_insert(job)).await.unwrap();
        }
        let mut turns = replay_list_turns(&test.store).await.unwrap();
        turns.sort_by(|a, b| a.id.cmp(&b.id));
        assert_eq!(turns, [jobs[1].clone(), jobs[3].clone()]);
        let list = async |state, before: Option<&str>| {
            let rows = replay_list(&test.store, &tenant(), (state, None), before, 10).await.unwrap();
            rows.into_iter().map(|row| row.id).collect::<Vec<_>>()
        };
        let ids = |picked: &[usize]| picked.iter().map(|index| jobs[*index].id.clone()).collect::<Vec<_>>();
        assert_eq!(list(None, None).await, ids(&[4, 2, 1, 0]));
        assert_eq!(list(Some(ReplayState::Running), None).await, ids(&[4, 2, 1]));
        assert_eq!(list(None, Some(jobs[2].id.as_str())).await, ids(&[1, 0]));
        for endpoint_ids in [vec![], vec!["ep_none".to_owned()]] {
            let some = (None, Some(endpoint_ids.as_slice()));
            assert_eq!(replay_list(&test.store, &tenant(), some, None, 10).await.unwrap(), []);
        }
    });
}

#[test]
fn a_poller_keeps_its_place() {
    for_each_store(async |test| {
        let row = |name: &str| PollerRow {
            id: PollerId::fresh(),
            tenant: tenant(),
            name: name.to_owned(),
            events: "[\"a.*\"]".to_owned(),
            position: "p0".to_owned(),
            created_at: at(1),
            updated_at: at(1),
        };
        let rows = [row("first"), row("second")];
        for row in &rows {
            run(&test.store, poll::poller_insert(row)).await.unwrap();
        }
        let id = rows[0].id.as_str();
        let other = Tenant::from_stored("clinic-2");
        assert!(run(&test.store, poll::poller_move(&other, id, "p1", at(2))).await.is_err());
        run(&test.store, poll::poller_move(&tenant(), id, "p1", at(2))).await.unwrap();
        let found = poll::poller_get(&test.store, &tenant(), id).await.unwrap().unwrap();
        assert_eq!((found.position.as_str(), found.updated_at), ("p1", at(2)));
        assert_eq!(poll::poller_get(&test.store, &other, id).await.unwrap(), None);
        let list = poll::poller_list(&test.store, &tenant(), None, 10).await.unwrap();
        assert_eq!(list, [rows[1].clone(), found]);
        assert!(run(&test.store, poll::poller_delete(&other, id)).await.is_err());
        run(&test.store, poll::poller_delete(&tenant(), id)).await.unwrap();
        assert!(run(&test.store, poll::poller_delete(&tenant(), id)).await.is_err());
    });
}

#[test]
fn a_stretch_names_a_tenants_events() {
    for_each_store(async |test| {
        let mut places = Vec::new();
        for index in 0..9 {
            let mut new = new_event("a.b", "same", index);
            if index % 3 == 2 {
                // The same key in another tenant; on one shard or not.
                new.event.tenant = Tenant::from_stored("clinic-2");
            }
            places.push(append(&test.store, new).await);
        }
        let shard = places[0].shard;
        let seqs: Vec<i64> = [0, 1, 3, 4, 6, 7].iter().map(|index: &usize| places[*index].seq).collect();
        let scan = async |after, until, limit| {
            let stretch = Stretch { shard, after, until };
            let found = event_scan(&test.store, &tenant(), stretch, limit).await.unwrap();
            found.into_iter().map(|(seq, _)| seq).collect::<Vec<_>>()
        };
        assert_eq!(scan(0, 100, 100).await, seqs);
        assert_eq!(scan(seqs[1], seqs[4], 100).await, seqs[2..=4]);
        assert_eq!(scan(0, 100, 2).await, seqs[..2]);
        let behind = async |after| event_behind(&test.store, shard, after).await.unwrap();
        assert_eq!(behind(0).await, Some((seqs[0], at(0))));
        // Whoever it belongs to.
        assert_eq!(behind(seqs[1]).await, Some((seqs[1] + 1, at(2))));
        assert_eq!(behind(100).await, None);
    });
}

#[test]
fn running_jobs_are_counted_and_old_ones_removed() {
    for_each_store(async |test| {
        let store = &test.store;
        let ended =
            |micros| ReplayRow { state: ReplayState::Completed, finished_at: Some(at(micros)), ..job() };
        let other = ReplayRow { tenant: Tenant::from_stored("clinic-2"), ..job() };
        let paused = ReplayRow { state: ReplayState::Paused, ..job() };
        let jobs = [job(), job(), other, paused, ended(5), ended(6), ended(7)];
        for job in &jobs {
            run(store, replay::replay_insert(job)).await.unwrap();
        }
        assert_eq!(replay::replay_count_running(store, &tenant()).await.unwrap(), 2);
        assert_eq!(replay::replay_count_all_running(store).await.unwrap(), 3);
        run(store, replay::replay_delete_finished(&tenant(), at(7), 1)).await.unwrap();
        let left = async || replay_list(store, &tenant(), (None, None), None, 10).await.unwrap().len();
        assert_eq!(left().await, 5);
        run(store, replay::replay_delete_finished(&tenant(), at(7), 10)).await.unwrap();
        assert_eq!(left().await, 4);
    });
}
