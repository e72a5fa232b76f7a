//! Rounds.

use jiff::civil::date;
use trunkline_model::DriverId;
use trunkline_store::Store;
use trunkline_store::tables::logistics::route::{RouteStatus, route_get, stop_list};
use trunkline_store::tables::logistics::task::LogisticsTaskStatus;
use trunkline_testkit::event::tenant;
use trunkline_testkit::for_each_store;

use super::super::assign::{TaskChange, task_change};
use super::super::case_ready::case_ready;
use super::super::complete::{Proof, task_complete};
use super::super::route::{NewRoute, RouteChange, route_change, route_make};
use super::super::{OperationError, task};
use super::{cause, event_types, populate, ready};
use crate::Priority;

fn new(task_ids: &[&str]) -> NewRoute {
    NewRoute {
        driver_id: DriverId::from_text("dana"),
        day: date(2026, 3, 3),
        task_ids: task_ids.iter().map(|id| (*id).to_owned()).collect(),
    }
}

async fn two_tasks(store: &Store) -> (String, String) {
    populate(store).await;
    let one = case_ready(store, &cause(), &ready("c1", "a", Priority::Standard)).await.unwrap();
    let two = case_ready(store, &cause(), &ready("c2", "b", Priority::Standard)).await.unwrap();
    (one.task_id.into_string(), two.task_id.into_string())
}

async fn status(store: &Store, id: &str) -> LogisticsTaskStatus {
    task(store, &tenant(), id).await.unwrap().status
}

#[test]
fn a_round_is_planned_driven_and_over_with_its_last_task() {
    for_each_store(async |test| {
        let store = &test.store;
        let (one, two) = two_tasks(store).await;
        let faulty = route_make(store, &cause(), &new(&[&one, "nowhere", &one])).await;
        let Err(OperationError::Invalid(faults)) = faulty else { panic!() };
        let codes: Vec<_> =
            faults.iter().map(|fault| (fault.pointer.as_str(), fault.code.as_str())).collect();
        assert_eq!(codes, [("/task_ids/1", "not_found"), ("/task_ids/2", "duplicate")]);

        let made = route_make(store, &cause(), &new(&[&two, &one])).await.unwrap();
        let id = made.route.id.as_str();
        assert_eq!(status(store, &one).await, LogisticsTaskStatus::Assigned);
        let taken = route_make(store, &cause(), &new(&[&one])).await;
        assert!(matches!(taken, Err(OperationError::Invalid(_))));
        let alone = task_change(store, &cause(), &one, &TaskChange::Unassign, None).await;
        assert!(matches!(alone, Err(OperationError::State(_))));
        let stale = route_change(store, &cause(), id, RouteChange::Start, Some(9)).await;
        assert!(matches!(stale, Err(OperationError::Version)));
        route_change(store, &cause(), id, RouteChange::Start, Some(1)).await.unwrap();
        assert_eq!(status(store, &two).await, LogisticsTaskStatus::UnderWay);

        // Both last ones at once: the round is over all the same, and once.
        let mut calls = tokio::task::JoinSet::new();
        for id in [one.clone(), two.clone()] {
            let store = store.clone();
            calls.spawn(async move {
                task_complete(&store, &cause(), &id, &Proof::default(), None).await.unwrap();
            });
        }
        calls.join_all().await;
        let route = route_get(store, &tenant(), id).await.unwrap().unwrap();
        assert_eq!(route.status, RouteStatus::Completed);
        let stops = stop_list(store, &route.id).await.unwrap();
        assert!(stops.iter().all(|stop| stop.arrived_at.is_some() && stop.departed_at.is_some()));
        let types = event_types(store).await;
        assert_eq!(types.iter().filter(|text| *text == "route.completed").count(), 1);
    });
}

#[test]
fn tasks_of_a_cancelled_round_are_open_again() {
    for_each_store(async |test| {
        let store = &test.store;
        let (one, two) = two_tasks(store).await;
        let made = route_make(store, &cause(), &new(&[&one, &two])).await.unwrap();
        let id = made.route.id.as_str();
        assert!(matches!(
            route_change(store, &cause(), id, RouteChange::Finish, None).await,
            Err(OperationError::State(_))
        ));
        task_complete(store, &cause(), &one, &Proof::default(), None).await.unwrap();
        route_change(store, &cause(), id, RouteChange::Cancel, None).await.unwrap();
        assert_eq!(status(store, &one).await, LogisticsTaskStatus::Completed);
        assert_eq!(status(store, &two).await, LogisticsTaskStatus::Pending);
        route_make(store, &cause(), &new(&[&two])).await.unwrap();
    });
}
