//! Pickups, once and again.

use jiff::civil::date;
use trunkline_store::Store;
use trunkline_store::tables::logistics::recurrence::recurrence_get;
use trunkline_store::tables::logistics::task::{
    LogisticsTaskRow, LogisticsTaskStatus, logistics_task_list_recurrence,
};
use trunkline_testkit::event::tenant;
use trunkline_testkit::for_each_store;

use super::super::pickup::{PickupRequest, Repeats, pickup_requested};
use super::super::recurring::{recurrence_cancel, recurrence_extend, recurrences_extend_due};
use super::super::{OperationError, task};
use super::{cause, cause_at, event_types, events, now, populate};
use crate::{DayTime, Frequency, Package, Priority, RefusalReason, RequestedWindow};

fn local(day: jiff::civil::Date, from: &str, until: &str) -> RequestedWindow {
    let time = |text| DayTime::parse(text).unwrap();
    RequestedWindow::Local { date: day, from: time(from), until: time(until) }
}

fn request(window: RequestedWindow) -> PickupRequest {
    PickupRequest {
        clinic_id: "a".to_owned(),
        window,
        priority: Priority::Standard,
        package: Package::unknown(),
        note: None,
        request_key: None,
        repeats: None,
    }
}

fn weekly() -> PickupRequest {
    PickupRequest {
        repeats: Some(Repeats { frequency: Frequency::Weekly, ends_on: None }),
        request_key: Some("standing".to_owned()),
        priority: Priority::Rush,
        ..request(local(date(2026, 3, 3), "09:00", "11:00"))
    }
}

async fn of_rule(store: &Store, id: &trunkline_model::RecurrenceId) -> Vec<LogisticsTaskRow> {
    logistics_task_list_recurrence(store, id, "2000-01-01", 500).await.unwrap()
}

#[test]
fn a_pickup_is_made_inside_opening_hours_and_refused_outside() {
    for_each_store(async |test| {
        let store = &test.store;
        populate(store).await;
        let outside = request(local(date(2026, 3, 3), "16:00", "18:00"));
        let Err(OperationError::Window(refusal)) = pickup_requested(store, &cause(), &outside).await else {
            panic!()
        };
        assert_eq!((refusal.reason, refusal.open.len()), (RefusalReason::OutsideHours, 2));
        assert!(events(store).await.is_empty());

        let asked = PickupRequest {
            request_key: Some("req-1".to_owned()),
            ..request(local(date(2026, 3, 3), "09:00", "11:00"))
        };
        let made = pickup_requested(store, &cause(), &asked).await.unwrap();
        let row = task(store, &tenant(), made.task_id.as_str()).await.unwrap();
        let window = row.window.map(|(from, until)| (from.to_rfc3339(), until.to_rfc3339()));
        assert_eq!(window, Some(("2026-03-03T08:00:00Z".to_owned(), "2026-03-03T10:00:00Z".to_owned())));
        let again = pickup_requested(store, &cause(), &asked).await.unwrap();
        assert_eq!((again.task_id, again.n_tasks), (made.task_id, 0));
        assert_eq!(event_types(store).await, ["pickup_task.created"]);
        let urgent = PickupRequest { priority: Priority::Emergency, request_key: None, ..asked };
        pickup_requested(store, &cause(), &urgent).await.unwrap();
        assert_eq!(event_types(store).await[1..], ["pickup_task.created", "dispatcher.notification"]);
    });
}

#[test]
fn a_rule_makes_each_pickup_once_and_keeps_its_horizon() {
    for_each_store(async |test| {
        let store = &test.store;
        populate(store).await;
        let made = pickup_requested(store, &cause(), &weekly()).await.unwrap();
        let id = made.recurrence_id.clone().unwrap();
        let tasks = of_rule(store, &id).await;
        assert_eq!((made.n_tasks, tasks.len()), (13, 13));
        assert_eq!((&tasks[0].id, tasks[12].day.as_str()), (&made.task_id, "2026-05-26"));
        let types = event_types(store).await;
        assert_eq!((types[0].as_str(), types.len()), ("pickup_recurrence.created", 1 + 13 + 1));
        assert_eq!(types.iter().filter(|text| *text == "dispatcher.notification").count(), 1);
        let again = pickup_requested(store, &cause(), &weekly()).await.unwrap();
        assert_eq!(
            (&again.task_id, again.recurrence_id.as_ref(), again.n_tasks),
            (&made.task_id, Some(&id), 0)
        );

        assert_eq!(recurrence_extend(store, &tenant(), &id, now()).await.unwrap(), 0);
        let later = cause_at("2026-03-20T12:00:00Z").now;
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let store = store.clone();
            calls.spawn(async move { recurrences_extend_due(&store, later, 10).await.unwrap() });
        }
        calls.join_all().await;
        let tasks = of_rule(store, &id).await;
        assert_eq!((tasks.len(), tasks[15].day.as_str()), (16, "2026-06-16"), "four at once made each once");
        assert_eq!(recurrences_extend_due(store, later, 10).await.unwrap(), 0, "nothing is due any more");

        recurrence_cancel(store, &cause_at("2026-03-20T12:00:00Z"), id.as_str(), None).await.unwrap();
        let tasks = of_rule(store, &id).await;
        let open = tasks.iter().filter(|row| row.status == LogisticsTaskStatus::Pending).count();
        assert_eq!(open, 3, "those before that day");
        let much_later = cause_at("2026-09-20T12:00:00Z").now;
        assert_eq!(recurrences_extend_due(store, much_later, 10).await.unwrap(), 0);
        assert_eq!(of_rule(store, &id).await.len(), 16);
    });
}

#[test]
fn days_without_hours_are_skipped_and_named() {
    for_each_store(async |test| {
        let store = &test.store;
        populate(store).await;
        let daily = PickupRequest {
            repeats: Some(Repeats { frequency: Frequency::Daily, ends_on: Some(date(2026, 3, 10)) }),
            ..request(local(date(2026, 3, 3), "09:00", "11:00"))
        };
        let made = pickup_requested(store, &cause(), &daily).await.unwrap();
        let id = made.recurrence_id.unwrap();
        assert_eq!(made.n_tasks, 7);
        let row = recurrence_get(store, &tenant(), id.as_str()).await.unwrap().unwrap();
        assert_eq!(row.skipped, r#"[{"day":"2026-03-08","reason":"closed"}]"#);
        assert_eq!(row.look_at, None, "the rule has come to its end");

        let far =
            PickupRequest { repeats: daily.repeats, ..request(local(date(2026, 9, 1), "09:00", "11:00")) };
        assert!(matches!(pickup_requested(store, &cause(), &far).await, Err(OperationError::Invalid(_))));
    });
}
