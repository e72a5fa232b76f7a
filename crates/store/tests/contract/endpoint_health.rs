//! The health of endpoints, and what dispatch changes because of it.

use trunkline_model::{EndpointId, Tenant, Timestamp};
use trunkline_store::tables::delivery::{self, DeliveryState};
use trunkline_store::tables::endpoint::{self, EndpointRow};
use trunkline_store::tables::endpoint_health::{
    EndpointHealthRow, delivery_defer_endpoint, endpoint_disable, endpoint_health_get,
    endpoint_health_list_failing, endpoint_health_list_probes, endpoint_health_prune, endpoint_health_put,
};
use trunkline_store::{Commit, CommitError, Statement, Store};
use trunkline_testkit::event::tenant;
use trunkline_testkit::for_each_store;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

async fn run(store: &Store, statement: Statement) -> Result<(), CommitError> {
    store.commit(Commit::statements(vec![statement])).await.map(drop)
}

async fn stored_endpoint(store: &Store) -> EndpointId {
    let row = EndpointRow {
        id: EndpointId::fresh(),
        tenant: tenant(),
        url: "https://hooks.example/".into(),
        description: String::new(),
        events: "[\"**\"]".into(),
        active: true,
        secrets: "[]".into(),
        settings: "{}".into(),
        version: 3,
        created_at: at(1),
        updated_at: at(1),
    };
    run(store, endpoint::endpoint_insert(&row)).await.unwrap();
    row.id
}

#[test]
fn health_is_written_by_whoever_read_it_last() {
    for_each_store(async |home| {
        let store = &home.store;
        let id = stored_endpoint(store).await;
        assert_eq!(endpoint_health_get(store, &tenant(), id.as_str()).await.unwrap(), None);
        let failing = EndpointHealthRow {
            endpoint_id: id.clone(),
            tenant: tenant(),
            failing_since: Some(at(5)),
            last_success_at: None,
            n_failures: 3,
            last_error: Some("no response within the timeout".into()),
            disabled_at: None,
            disabled_reason: None,
            disabled_version: None,
            probe_at: None,
            n_probes: 0,
            updated_at: at(7),
        };
        run(store, endpoint_health_put(&failing, None)).await.unwrap();
        let found = endpoint_health_get(store, &tenant(), id.as_str()).await.unwrap();
        assert_eq!(found.as_ref(), Some(&failing));
        let other = Tenant::from_stored("clinic-2");
        assert_eq!(endpoint_health_get(store, &other, id.as_str()).await.unwrap(), None);
        assert_eq!(endpoint_health_list_failing(store).await.unwrap(), std::slice::from_ref(&id));

        let well = EndpointHealthRow {
            failing_since: None,
            last_success_at: Some(at(8)),
            n_failures: 0,
            disabled_at: Some(at(8)),
            disabled_reason: Some("gone".into()),
            disabled_version: Some(2),
            probe_at: Some(at(20)),
            n_probes: 1,
            updated_at: at(9),
            ..failing
        };
        for stale in [None, Some(at(6))] {
            let refused = run(store, endpoint_health_put(&well, stale)).await;
            assert!(matches!(refused, Err(CommitError::Guard { .. })), "{refused:?}");
        }
        run(store, endpoint_health_put(&well, Some(at(7)))).await.unwrap();
        assert_eq!(endpoint_health_get(store, &tenant(), id.as_str()).await.unwrap(), Some(well.clone()));
        assert_eq!(endpoint_health_list_failing(store).await.unwrap(), []);
        assert_eq!(endpoint_health_list_probes(store, at(19), 9).await.unwrap(), []);
        assert_eq!(endpoint_health_list_probes(store, at(20), 9).await.unwrap(), [well]);

        run(store, endpoint_health_prune()).await.unwrap();
        assert!(endpoint_health_get(store, &tenant(), id.as_str()).await.unwrap().is_some());
        run(store, endpoint::endpoint_delete(&tenant(), &id)).await.unwrap();
        run(store, endpoint_health_prune()).await.unwrap();
        assert_eq!(endpoint_health_get(store, &tenant(), id.as_str()).await.unwrap(), None);
    });
}

#[test]
fn an_endpoint_is_switched_off_once() {
    for_each_store(async |home| {
        let store = &home.store;
        let id = stored_endpoint(store).await;
        let stale = run(store, endpoint_disable(&tenant(), &id, 2, at(9))).await;
        assert!(matches!(stale, Err(CommitError::Guard { .. })));
        run(store, endpoint_disable(&tenant(), &id, 3, at(9))).await.unwrap();
        let row = endpoint::endpoint_get(store, &tenant(), id.as_str()).await.unwrap().unwrap();
        assert_eq!((row.active, row.version, row.updated_at), (false, 4, at(9)));
        let again = run(store, endpoint_disable(&tenant(), &id, 4, at(9))).await;
        assert!(matches!(again, Err(CommitError::Guard { .. })));
    });
}

#[test]
fn deliveries_are_deferred_up_to_a_number() {
    for_each_store(async |home| {
        let store = &home.store;
        let [id, other] = [EndpointId::fresh(), EndpointId::fresh()];
        let mut rows: Vec<_> = (1..=4).map(|seq| crate::tables::pending(&id, seq)).collect();
        rows[3].next_attempt_at = Some(at(100));
        rows.push(crate::tables::pending(&other, 1));
        rows.push(crate::tables::pending(&id, 1));
        rows[5].state = DeliveryState::Cancelled;
        rows[5].next_attempt_at = None;
        store.commit(Commit::deliveries(rows.clone())).await.unwrap();
        run(store, delivery_defer_endpoint(0, &id, at(50), "circuit open", 2)).await.unwrap();
        let mut found = Vec::new();
        for row in &rows {
            let row = delivery::delivery_get(store, &tenant(), row.id.as_str()).await.unwrap().unwrap();
            found.push((row.next_attempt_at.map(Timestamp::as_secs), row.reason));
        }
        let open = Some("circuit open".to_owned());
        let expect = [
            (Some(50), open.clone()),
            (Some(50), open),
            (Some(8), None),
            (Some(100), None),
            (Some(6), None),
            (None, None),
        ];
        assert_eq!(found, expect);
    });
}
