//! Cases that become deliveries.

use jiff::civil::date;
use trunkline_model::{Data, LogisticsTaskId};
use trunkline_store::tables::event::event_list_journey;
use trunkline_store::tables::logistics::case::case_list;
use trunkline_store::tables::logistics::task::{
    LogisticsTaskFilter, LogisticsTaskStatus, logistics_task_list,
};
use trunkline_testkit::event::{new_event, tenant};
use trunkline_testkit::for_each_store;

use super::super::assign::{TaskChange, task_change};
use super::super::case_ready::{CaseOutcome, MAX_CASES, case_ready};
use super::super::complete::{Proof, task_complete};
use super::super::{Missing, OperationError, task};
use super::{cause, event_types, events, now, populate, ready};
use crate::operations::Cause;
use crate::rows::package;
use crate::{Package, Priority, ReadyCase};

async fn load(store: &trunkline_store::Store, id: &LogisticsTaskId) -> (i64, i64, u64) {
    let row = task(store, &tenant(), id.as_str()).await.unwrap();
    (row.n_cases, row.priority, package(&row.package, "").unwrap().weight_g)
}

#[test]
fn cases_of_a_clinic_and_day_are_one_delivery() {
    for_each_store(async |test| {
        let store = &test.store;
        populate(store).await;
        let first = case_ready(store, &cause(), &ready("c1", "a", Priority::Standard)).await.unwrap();
        assert_eq!(first.outcome, CaseOutcome::Created);
        let second = case_ready(store, &cause(), &ready("c2", "a", Priority::Rush)).await.unwrap();
        assert_eq!((second.outcome, &second.task_id), (CaseOutcome::Consolidated, &first.task_id));
        assert_eq!(load(store, &first.task_id).await, (2, 1, 200));
        let elsewhere = case_ready(store, &cause(), &ready("c3", "b", Priority::Standard)).await.unwrap();
        assert_ne!(elsewhere.task_id, first.task_id);
        assert_eq!(
            event_types(store).await,
            [
                "delivery_task.created",
                "delivery_task.consolidated",
                "dispatcher.notification",
                "delivery_task.created"
            ]
        );
        let told = &events(store).await[2].1;
        assert_eq!((&told["reason"], &told["case_id"]), (&"urgent_case".into(), &"c2".into()));

        // Reported again as it was, heavier, and for another day.
        let again = case_ready(store, &cause(), &ready("c2", "a", Priority::Rush)).await.unwrap();
        assert_eq!(again.outcome, CaseOutcome::Unchanged);
        assert_eq!(events(store).await.len(), 4);
        let heavier = ReadyCase {
            package: Package { weight_g: 900, ..Package::unknown() },
            ..ready("c2", "a", Priority::Emergency)
        };
        case_ready(store, &cause(), &heavier).await.unwrap();
        assert_eq!(load(store, &first.task_id).await, (2, 2, 1000));
        assert_eq!(event_types(store).await[4..], ["delivery_task.consolidated", "dispatcher.notification"]);
        let later = ReadyCase { deliver_on: date(2026, 3, 4), ..heavier };
        let moved = case_ready(store, &cause(), &later).await.unwrap();
        assert_eq!(load(store, &first.task_id).await, (1, 0, 100));
        assert_eq!(load(store, &moved.task_id).await, (1, 2, 900));
        assert_eq!(event_types(store).await[6..], ["delivery_task.created"], "the dispatcher knows already");
        case_ready(store, &cause(), &ReadyCase { clinic_id: "b".to_owned(), ..later }).await.unwrap();
        let left = task(store, &tenant(), moved.task_id.as_str()).await.unwrap();
        assert_eq!((left.status, left.n_cases), (LogisticsTaskStatus::Cancelled, 0));
    });
}

#[test]
fn a_delivery_that_has_left_collects_no_more() {
    for_each_store(async |test| {
        let store = &test.store;
        populate(store).await;
        let first = case_ready(store, &cause(), &ready("c1", "a", Priority::Standard)).await.unwrap();
        let id = first.task_id.as_str();
        let change = async |change| task_change(store, &cause(), id, &change, None).await;
        assert!(matches!(change(TaskChange::Start).await, Err(OperationError::State(_))));
        let nobody = change(TaskChange::Assign(trunkline_model::DriverId::from_text("nobody"))).await;
        assert!(matches!(nobody, Err(OperationError::Missing(Missing::Driver))));
        let dana = || TaskChange::Assign(trunkline_model::DriverId::from_text("dana"));
        assert_eq!(change(dana()).await.unwrap().version, 2);
        assert_eq!(change(dana()).await.unwrap().version, 2, "nothing changed");
        let still = case_ready(store, &cause(), &ready("c2", "a", Priority::Standard)).await.unwrap();
        assert_eq!(still.task_id, first.task_id);
        change(TaskChange::Start).await.unwrap();
        let next = case_ready(store, &cause(), &ready("c3", "a", Priority::Standard)).await.unwrap();
        assert_eq!(next.outcome, CaseOutcome::Created);
        let other_day = ReadyCase { deliver_on: date(2026, 3, 9), ..ready("c1", "a", Priority::Standard) };
        assert!(matches!(case_ready(store, &cause(), &other_day).await, Err(OperationError::State(_))));
        task_complete(store, &cause(), id, &Proof::default(), None).await.unwrap();
        let late = case_ready(store, &cause(), &other_day).await.unwrap();
        assert_eq!((late.outcome, &late.task_id), (CaseOutcome::AlreadyDelivered, &first.task_id));
        assert!(matches!(change(TaskChange::Cancel).await, Err(OperationError::State(_))));

        // A case of a delivery that is cancelled can be ready again.
        let cancelled = next.task_id.as_str();
        let stale = task_change(store, &cause(), cancelled, &TaskChange::Cancel, Some(7)).await;
        assert!(matches!(stale, Err(OperationError::Version)));
        task_change(store, &cause(), cancelled, &TaskChange::Cancel, Some(1)).await.unwrap();
        let again = case_ready(store, &cause(), &ready("c3", "a", Priority::Standard)).await.unwrap();
        assert_eq!(again.outcome, CaseOutcome::Created);
    });
}

#[test]
fn bad_cases_are_refused_with_every_fault() {
    for_each_store(async |test| {
        let store = &test.store;
        populate(store).await;
        let bad = ReadyCase { package: Package::default(), ..ready("", "a", Priority::Standard) };
        let Err(OperationError::Invalid(faults)) = case_ready(store, &cause(), &bad).await else { panic!() };
        let pointers: Vec<&str> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
        assert_eq!(pointers, ["/case_id", "/package/count"]);
        for clinic in ["nowhere", "closed"] {
            let refused = case_ready(store, &cause(), &ready("c", clinic, Priority::Standard)).await;
            assert!(matches!(refused, Err(OperationError::Missing(Missing::Clinic))), "{clinic}");
        }
        assert!(events(store).await.is_empty());
    });
}

#[test]
fn follow_up_events_belong_to_the_journey_of_their_cause() {
    for_each_store(async |test| {
        let store = &test.store;
        populate(store).await;
        let mut event = new_event("case.ready_to_ship", "c1", 0).event;
        event.data = Data::None;
        let cause = Cause::event(event.clone(), now());
        case_ready(store, &cause, &ready("c1", "a", Priority::Emergency)).await.unwrap();
        let journey = event_list_journey(store, &tenant(), &event.correlationid, 10).await.unwrap();
        let causes: Vec<_> = journey.iter().map(|record| record.event.causationid.as_deref()).collect();
        assert_eq!(causes, [Some(event.id.as_str()), Some(event.id.as_str())]);
        // A call of the API begins a journey with its first event.
        case_ready(store, &super::cause(), &ready("c2", "b", Priority::Emergency)).await.unwrap();
        let mut all = Vec::new();
        for shard in 0..store.n_shards() {
            all.extend(trunkline_store::tables::event::event_read(store, shard, 0, 100).await.unwrap());
        }
        all.retain(|record| record.event.correlationid != event.correlationid);
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].event.correlationid, all[1].event.correlationid);
    });
}

#[test]
fn cases_that_come_at_once_are_all_there() {
    for_each_store(async |test| {
        let store = &test.store;
        populate(store).await;
        let mut calls = tokio::task::JoinSet::new();
        for n in 0..30 {
            let store = store.clone();
            let case = ready(&format!("c{}", n % 25), "a", Priority::Standard);
            calls.spawn(async move { case_ready(&store, &cause(), &case).await.unwrap() });
        }
        let done = calls.join_all().await;
        assert_eq!(done.iter().filter(|one| one.outcome == CaseOutcome::Created).count(), 1);
        assert_eq!(load(store, &done[0].task_id).await, (25, 0, 2500));
        assert_eq!(case_list(store, &done[0].task_id, 100).await.unwrap().len(), 25);
    });
}

#[test]
fn a_full_delivery_is_followed_by_another() {
    for_each_store(async |test| {
        let store = &test.store;
        populate(store).await;
        for n in 0..=MAX_CASES {
            case_ready(store, &cause(), &ready(&format!("c{n:03}"), "a", Priority::Standard)).await.unwrap();
        }
        let filter = LogisticsTaskFilter { limit: 9, ..LogisticsTaskFilter::default() };
        let tasks = logistics_task_list(store, &tenant(), &filter).await.unwrap();
        let shown: Vec<_> = tasks.iter().map(|row| (row.n_cases, row.is_collecting)).collect();
        assert_eq!(shown, [(1, true), (MAX_CASES, false)]);
    });
}
