//! Positions of a driver on a route: what is stored, what is told, and what never is.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};
use trunkline_model::{ClinicId, DriverId, ManualClock, Timestamp};
use trunkline_store::tables::logistics::clinic::{ClinicRow, clinic_get, clinic_update};
use trunkline_store::tables::logistics::driver_day::driver_day_list;
use trunkline_store::tables::logistics::position::{PositionFilter, PositionRow, position_list};
use trunkline_store::tables::logistics::route::{StopRow, stop_list};
use trunkline_store::tables::logistics::track::{track_get, visit_list};
use trunkline_store::{Commit, Store};
use trunkline_testkit::event::tenant;
use trunkline_testkit::for_each_store;

use super::super::Cause;
use super::super::case_ready::case_ready;
use super::super::route::{NewRoute, RouteChange, RouteStops, route_change, route_make};
use super::super::tracking::{Taken, positions_take, routes_ahead, tracks_settle_due};
use super::{cause, events, now, populate, ready};
use crate::Priority;
use crate::ledger::OwnLedger;
use crate::tracking::{Mark, Sample};
use crate::upkeep::{UpkeepOptions, pass};

/// Metres of one degree of latitude.
const DEGREE_M: f64 = 111_195.0;

fn dana() -> DriverId {
    DriverId::from_text("dana")
}

/// A place so many metres to the north of the first clinic.
fn lat(along_m: f64) -> f64 {
    52.0 + along_m / DEGREE_M
}

/// Where the phone says that it is, some seconds after the route began.
fn sample(along_m: f64, second: i64) -> Sample {
    Sample {
        lat: lat(along_m),
        lon: 13.0,
        device_at: Some(after(second)),
        accuracy_m: Some(10.0),
        speed_mps: Some(8.0),
        ..Sample::default()
    }
}

fn after(second: i64) -> Timestamp {
    Timestamp::from_secs(now().as_secs() + second)
}

/// Takes samples some seconds after the route began.
async fn take(store: &Store, second: i64, samples: &[Sample]) -> Vec<Taken> {
    positions_take(store, &Cause::call(tenant(), after(second)), &dana(), samples).await.unwrap()
}

/// A route to two clinics, 2 km apart, that has begun.
async fn on_the_way(store: &Store) -> RouteStops {
    populate(store).await;
    for (id, along_m) in [("a", 0.0), ("b", 2_000.0)] {
        let row = clinic_get(store, &tenant(), id).await.unwrap().unwrap();
        let position_e7 = Some(((lat(along_m) * 1e7) as i64, 130_000_000));
        let moved = ClinicRow { position_e7, version: row.version + 1, ..row };
        store.commit(Commit::statements(vec![clinic_update(&moved)])).await.unwrap();
    }
    let mut task_ids = Vec::new();
    for (case_id, clinic_id) in [("c1", "a"), ("c2", "b")] {
        let made = case_ready(store, &cause(), &ready(case_id, clinic_id, Priority::Standard)).await.unwrap();
        task_ids.push(made.task_id.into_string());
    }
    let new = NewRoute { driver_id: dana(), day: jiff::civil::date(2026, 3, 3), task_ids };
    let made = route_make(store, &cause(), &new).await.unwrap();
    route_change(store, &cause(), made.route.id.as_str(), RouteChange::Start, None).await.unwrap()
}

/// A drive past the first clinic, with a stay of five minutes, to the second one and a stay there: metres at each second.
fn drive() -> Vec<f64> {
    let mut path: Vec<f64> = (0..100).map(|second| -1_000.0 + f64::from(second) * 10.0).collect();
    path.extend(std::iter::repeat_n(0.0, 300));
    path.extend((0..200).map(|second| f64::from(second) * 10.0));
    path.extend(std::iter::repeat_n(2_000.0, 300));
    path.extend((0..100).map(|second| 2_000.0 + f64::from(second) * 10.0));
    path
}

async fn told(store: &Store, event_type: &str) -> Vec<Value> {
    let all = events(store).await.into_iter();
    all.filter(|(found, _)| found == event_type).map(|(_, data)| data).collect()
}

async fn history(store: &Store) -> Vec<PositionRow> {
    let filter = PositionFilter { limit: 1_000, ..PositionFilter::default() };
    position_list(store, &tenant(), "dana", &filter).await.unwrap()
}

async fn settle(store: &Store, second: i64) {
    tracks_settle_due(store, after(second), 10).await.unwrap();
}

#[test]
fn each_visit_is_told_once_and_noted_at_its_stop() {
    for_each_store(async |test| {
        let store = &test.store;
        let made = on_the_way(store).await;
        for (second, along_m) in drive().into_iter().enumerate().step_by(20) {
            let second = i64::try_from(second).unwrap();
            assert_eq!(take(store, second, &[sample(along_m, second)]).await, [Taken::Accepted(vec![])]);
        }
        settle(store, 3_000).await;
        let arrived = told(store, "driver.arrived").await;
        let at_clinics: Vec<_> = arrived.iter().map(|data| data["clinic_id"].clone()).collect();
        assert_eq!(at_clinics, ["a", "b"]);
        let first = &arrived[0];
        assert_eq!((&first["driver_id"], &first["route_id"]), (&json!("dana"), &json!(made.route.id)));
        assert_eq!(first["stops"][0]["number"], 1);
        assert_eq!(told(store, "driver.departed").await.len(), 2);
        let stops = stop_list(store, &made.route.id).await.unwrap();
        let (came, left) = (stops[0].arrived_at.unwrap(), stops[0].departed_at.unwrap());
        assert!((after(90)..after(130)).contains(&came), "{came:?}");
        assert!((after(400)..after(450)).contains(&left), "{left:?}");
        assert_eq!(came.to_rfc3339(), first["at"].as_str().unwrap());
        assert_eq!(visit_list(store, &tenant(), "dana").await.unwrap(), []);
        assert!(history(store).await.iter().all(|row| row.processed_at.is_some()));

        let days =
            driver_day_list(store, (&tenant(), "dana"), ("2026-03-02", "2026-03-02"), 5).await.unwrap();
        let day = &days[0];
        assert_eq!((day.n_stops, day.n_left, day.n_judged, day.n_on_time), (2, 2, 2, 2));
        assert!((3_800_000..4_000_000).contains(&day.distance_mm), "{}", day.distance_mm);
    });
}

#[test]
fn where_the_driver_is_is_told_to_whom_it_concerns() {
    for_each_store(async |test| {
        let store = &test.store;
        let made = on_the_way(store).await;
        take(store, 10, &[sample(-900.0, 10)]).await;
        take(store, 41, &[sample(-600.0, 40), sample(-700.0, 30)]).await;
        // Older ones, and those that came hours later, are no news.
        take(store, 50, &[sample(-800.0, 20)]).await;
        take(store, 4_000, &[sample(-500.0, 50)]).await;
        let told = told(store, "driver.location").await;
        assert_eq!(told.len(), 2);
        assert_eq!(told[1]["clinic_id"], json!(["a", "b"]));
        assert_eq!(told[1]["at"], after(40).to_rfc3339());
        assert!((told[1]["lat"].as_f64().unwrap() - lat(-600.0)).abs() < 1e-6);
        assert_eq!((&told[1]["speed_mps"], &told[1]["accuracy_m"]), (&json!(8.0), &json!(10.0)));
        let track = track_get(store, &tenant(), "dana").await.unwrap().unwrap();
        assert_eq!(track.current.unwrap().0, after(50));
        let ahead = async |clinic: &str| {
            routes_ahead(store, &tenant(), "dana", after(60), |id| id == clinic).await.unwrap()
        };
        assert_eq!(ahead("a").await, [made.route.id]);
        assert_eq!(ahead("closed").await, []);
    });
}

#[test]
fn outside_of_a_route_nothing_is_stored() {
    for_each_store(async |test| {
        let store = &test.store;
        populate(store).await;
        assert_eq!(take(store, 10, &[sample(0.0, 5)]).await, [Taken::OffShift]);
        let made = {
            let case = case_ready(store, &cause(), &ready("c1", "a", Priority::Standard)).await.unwrap();
            let (day, task_ids) = (jiff::civil::date(2026, 3, 3), vec![case.task_id.into_string()]);
            route_make(store, &cause(), &NewRoute { driver_id: dana(), day, task_ids }).await.unwrap()
        };
        let id = made.route.id.as_str();
        assert_eq!(take(store, 20, &[sample(0.0, 15)]).await, [Taken::OffShift], "planned is not begun");
        let at = |second| Cause::call(tenant(), after(second));
        route_change(store, &at(100), id, RouteChange::Start, None).await.unwrap();
        let taken = take(store, 120, &[sample(0.0, 99), sample(0.0, 110)]).await;
        assert_eq!(
            taken,
            [Taken::OffShift, Taken::Accepted(vec![])],
            "what was kept from before is not of the route"
        );
        route_change(store, &at(200), id, RouteChange::Finish, None).await.unwrap();
        let taken = take(store, 230, &[sample(0.0, 210), sample(0.0, 190)]).await;
        assert_eq!(taken, [Taken::OffShift, Taken::Accepted(vec![])], "late ones of the route are taken");
        let times: Vec<_> = history(store).await.iter().map(|row| row.at).collect();
        assert_eq!(times, [after(190), after(110)]);
    });
}

#[test]
fn what_cannot_be_is_refused_alone_and_what_is_odd_is_kept_with_marks() {
    for_each_store(async |test| {
        let store = &test.store;
        on_the_way(store).await;
        let ahead = Sample { device_at: Some(after(9_000)), ..sample(-1_000.0, 0) };
        let vague = Sample { accuracy_m: Some(5_000.0), ..sample(-1_000.0, 20) };
        let samples = [
            sample(-1_000.0, 0),
            Sample { lat: 91.0, lon: 900.0, ..sample(0.0, 5) },
            Sample { lat: 0.0, lon: 0.0, ..sample(0.0, 5) },
            Sample { lat: f64::NAN, ..sample(0.0, 5) },
            vague,
            ahead,
        ];
        let taken = take(store, 30, &samples).await;
        let Taken::Refused(faults) = &taken[1] else { panic!("{taken:?}") };
        assert_eq!(faults.iter().map(|fault| fault.pointer.as_str()).collect::<Vec<_>>(), ["/lat", "/lon"]);
        let Taken::Refused(faults) = &taken[2] else { panic!("{taken:?}") };
        assert_eq!(faults[0].code, "impossible_coordinates");
        assert!(matches!(&taken[3], Taken::Refused(_)));
        assert_eq!(taken[4], Taken::Accepted(vec![Mark::Inexact]));
        assert_eq!(taken[5], Taken::Accepted(vec![Mark::FutureClock]));
        // Nobody drives 300 km in ten seconds.
        take(store, 40, &[Sample { lat: 55.0, ..sample(0.0, 35) }, sample(-990.0, 40)]).await;
        settle(store, 1_000).await;
        let marked: Vec<_> = history(store)
            .await
            .into_iter()
            .rev()
            .map(|row| (row.at, row.marks))
            .filter(|row| !row.1.is_empty())
            .collect();
        let expected = [(after(20), "inexact"), (after(30), "future_clock"), (after(35), "jump")];
        assert_eq!(marked, expected.map(|(at, mark)| (at, mark.to_owned())));
        let track = track_get(store, &tenant(), "dana").await.unwrap().unwrap();
        assert_eq!(track.current.unwrap().0, after(40), "a jump is not where the driver is");
    });
}

#[test]
fn a_visit_ends_with_its_route() {
    for_each_store(async |test| {
        let store = &test.store;
        let made = on_the_way(store).await;
        let stay: Vec<Sample> = (0..10).map(|n| sample(0.0, 100 + n * 20)).collect();
        take(store, 300, &stay).await;
        settle(store, 300 + 119).await;
        assert_eq!(told(store, "driver.arrived").await.len(), 1, "the first ones were settled by later ones");
        settle(store, 300 + 120).await;
        assert_eq!(told(store, "driver.departed").await.len(), 0);
        let end = Cause::call(tenant(), after(450));
        route_change(store, &end, made.route.id.as_str(), RouteChange::Finish, None).await.unwrap();
        settle(store, 1_000).await;
        settle(store, 2_000).await;
        let left = told(store, "driver.departed").await;
        assert_eq!((left.len(), &left[0]["stayed_s"]), (1, &json!(180)));
        let stops: Vec<StopRow> = stop_list(store, &made.route.id).await.unwrap();
        assert_eq!(stops[0].departed_at, Some(after(280)));
    });
}

#[test]
fn two_tasks_at_a_clinic_are_one_visit_and_a_second_visit_is_another() {
    for_each_store(async |test| {
        let store = &test.store;
        on_the_way(store).await;
        // Cases of other days are deliveries of their own.
        let mut task_ids = Vec::new();
        for (case_id, clinic_id, day) in [("c3", "a", 4), ("c4", "a", 5), ("c5", "b", 4), ("c6", "a", 6)] {
            let mut case = ready(case_id, clinic_id, Priority::Standard);
            case.deliver_on = jiff::civil::date(2026, 3, day);
            task_ids.push(case_ready(store, &cause(), &case).await.unwrap().task_id.into_string());
        }
        let new = NewRoute { driver_id: dana(), day: jiff::civil::date(2026, 3, 4), task_ids };
        let made = route_make(store, &cause(), &new).await.unwrap();
        let later = Cause::call(tenant(), after(1));
        route_change(store, &later, made.route.id.as_str(), RouteChange::Start, None).await.unwrap();
        let stay = |along_m: f64, from: i64| (0..12).map(move |n| sample(along_m, from + n * 20));
        let samples: Vec<Sample> = stay(0.0, 100)
            .chain(stay(2_000.0, 600))
            .chain(stay(0.0, 1_200))
            .chain(stay(5_000.0, 2_000))
            .collect();
        take(store, 2_300, &samples).await;
        settle(store, 9_000).await;
        let numbers: Vec<Vec<i64>> = told(store, "driver.arrived")
            .await
            .iter()
            .map(|data| {
                data["stops"].as_array().unwrap().iter().filter_map(|stop| stop["number"].as_i64()).collect()
            })
            .collect();
        assert_eq!(numbers, [vec![1, 2], vec![3], vec![4]]);
        assert_eq!(told(store, "driver.departed").await.len(), 3);
    });
}

#[test]
fn calls_at_once_and_repeats_make_one_arrival() {
    for_each_store(async |test| {
        let store = &test.store;
        on_the_way(store).await;
        let samples: Vec<Sample> = drive()
            .into_iter()
            .enumerate()
            .step_by(30)
            .map(|(second, along_m)| sample(along_m, i64::try_from(second).unwrap()))
            .collect();
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let (store, samples) = (store.clone(), samples.clone());
            calls.spawn(async move { take(&store, 1_010, &samples).await });
        }
        calls.join_all().await;
        settle(store, 3_000).await;
        assert_eq!(told(store, "driver.arrived").await.len(), 2);
        assert_eq!(told(store, "driver.departed").await.len(), 2);
        assert_eq!(history(store).await.len(), samples.len());
    });
}

#[test]
fn upkeep_forgets_where_drivers_were() {
    for_each_store(async |test| {
        let store = &test.store;
        on_the_way(store).await;
        take(store, 10, &[sample(0.0, 10)]).await;
        let clock = ManualClock::starting_at(after(400));
        let keep_positions = Duration::from_hours(24);
        let options = UpkeepOptions { ledger: Arc::new(OwnLedger), keep_positions };
        pass(store, &clock, &options).await.unwrap();
        assert_eq!(history(store).await.len(), 1);
        assert!(history(store).await[0].processed_at.is_some());
        clock.advance(keep_positions);
        pass(store, &clock, &options).await.unwrap();
        assert_eq!(history(store).await, []);
        assert_eq!(track_get(store, &tenant(), "dana").await.unwrap(), None);
        assert_eq!(visit_list(store, &tenant(), "dana").await.unwrap(), []);
    });
}

/// How a phone disturbs one position.
#[derive(Debug, Clone)]
struct Noise {
    metres: f64,
    delay_s: i64,
    is_twice: bool,
}

prop_compose! {
    fn noise()(metres in -25.0..25.0_f64, delay_s in 0_i64..80, is_twice in any::<bool>()) -> Noise {
        Noise { metres, delay_s, is_twice }
    }
}

#[test]
fn whatever_a_phone_does_to_a_track_each_visit_is_one() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for _ in 0..6 {
        let tree = prop::collection::vec(noise(), 7..40).new_tree(&mut runner).unwrap();
        let noise = proptest::strategy::ValueTree::current(&tree);
        let mut sent: Vec<(i64, Sample)> = Vec::new();
        for (n, (second, along_m)) in drive().into_iter().enumerate().step_by(30).enumerate() {
            let noise = &noise[n % noise.len()];
            let second = i64::try_from(second).unwrap();
            let sample = sample(along_m + noise.metres, second);
            sent.push((second + noise.delay_s, sample));
            if noise.is_twice {
                sent.push((second + noise.delay_s + 9, sample));
            }
        }
        sent.sort_by_key(|(received, _)| *received);
        for_each_store(async |test| {
            let store = &test.store;
            on_the_way(store).await;
            for (received, sample) in &sent {
                take(store, *received, &[*sample]).await;
            }
            settle(store, 5_000).await;
            let arrived = told(store, "driver.arrived").await;
            let clinics: Vec<ClinicId> =
                arrived.iter().map(|data| ClinicId::from_text(data["clinic_id"].as_str().unwrap())).collect();
            assert_eq!(clinics, ["a", "b"].map(ClinicId::from_text), "{sent:?}");
            assert_eq!(told(store, "driver.departed").await.len(), 2);
        });
    }
}
