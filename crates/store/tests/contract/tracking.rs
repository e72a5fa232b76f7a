//! Positions of drivers, tracks, visits and days.

use trunkline_model::{ClinicId, DriverId, LogisticsTaskId, RouteId, Tenant};
use trunkline_store::tables::logistics::clinic::clinic_insert;
use trunkline_store::tables::logistics::driver_day::{self, DriverDayRow};
use trunkline_store::tables::logistics::position::{self, PositionFilter, PositionRow};
use trunkline_store::tables::logistics::route::{self, RouteRow, RouteStatus, StopRow};
use trunkline_store::tables::logistics::track::{self, TrackRow, VisitRow};
use trunkline_store::{Statement, Store};
use trunkline_testkit::event::tenant;
use trunkline_testkit::for_each_store;

use crate::logistics::{at, clinic, is_refused, route_row, run};

fn position(secs: i64) -> PositionRow {
    PositionRow {
        tenant: tenant(),
        driver_id: DriverId::from_text("dana"),
        at: at(secs),
        lat_e7: 525_200_000,
        lon_e7: -134_050_000,
        device_at: at(secs),
        received_at: at(secs + 5),
        processed_at: None,
        route_id: RouteId::from_text("rte_1"),
        accuracy_mm: Some(12_500),
        speed_mm_s: Some(8_000),
        course_cdeg: None,
        altitude_mm: Some(-4_000),
        battery_pct: Some(80),
        marks: String::new(),
    }
}

fn track_row(version: i64) -> TrackRow {
    TrackRow {
        tenant: tenant(),
        driver_id: DriverId::from_text("dana"),
        current: (version > 1).then(|| position(1).key()),
        state: "{}".to_owned(),
        settle_at: Some(at(100)),
        received_at: at(5),
        version,
    }
}

fn visit(clinic: &str) -> VisitRow {
    VisitRow {
        tenant: tenant(),
        driver_id: DriverId::from_text("dana"),
        route_id: RouteId::from_text("rte_1"),
        clinic_id: ClinicId::from_text(clinic),
        center_e7: (1, -2),
        since: at(1),
        last_inside_at: at(2),
        has_arrived: false,
        outside_since: None,
    }
}

fn day(day: &str) -> DriverDayRow {
    DriverDayRow {
        tenant: tenant(),
        driver_id: DriverId::from_text("dana"),
        day: day.to_owned(),
        distance_mm: 1_500,
        moving_us: 7,
        n_stops: 2,
        n_left: 1,
        stayed_us: 60,
        n_judged: 2,
        n_on_time: 1,
    }
}

#[test]
fn a_position_that_comes_again_is_the_same() {
    for_each_store(async |test| {
        let store = &test.store;
        let rows: Vec<PositionRow> = [30, 10, 20].map(position).into();
        run(store, rows.iter().map(position::position_put).collect()).await.unwrap();
        let again = PositionRow { marks: "late".to_owned(), ..position(10) };
        run(store, vec![position::position_put(&again)]).await.unwrap();
        let waiting = position::position_list_waiting(store, &tenant(), "dana", 10).await.unwrap();
        assert_eq!(waiting, [position(10), position(20), position(30)]);

        let settled =
            PositionRow { processed_at: Some(at(99)), marks: "jump,late".to_owned(), ..position(20) };
        run(store, vec![position::position_settle(&settled)]).await.unwrap();
        let waiting = position::position_list_waiting(store, &tenant(), "dana", 1).await.unwrap();
        assert_eq!(waiting, [position(10)]);
        let read = position::position_get(store, &tenant(), "dana", settled.key()).await.unwrap();
        assert_eq!(read, Some(settled));
        let stranger = Tenant::from_stored("clinic-2");
        assert_eq!(position::position_get(store, &stranger, "dana", position(20).key()).await.unwrap(), None);
        assert_eq!(position::position_get(store, &tenant(), "eve", position(20).key()).await.unwrap(), None);
    });
}

#[test]
fn history_is_read_newest_first_in_pages() {
    for_each_store(async |test| {
        let store = &test.store;
        let mut twin = position(20);
        twin.lon_e7 += 1;
        let rows = [position(10), position(20), twin.clone(), position(30), position(40)];
        run(store, rows.iter().map(position::position_put).collect()).await.unwrap();
        let filter = PositionFilter {
            since: Some(at(20)),
            until: Some(at(40)),
            limit: 2,
            ..PositionFilter::default()
        };
        let page = position::position_list(store, &tenant(), "dana", &filter).await.unwrap();
        assert_eq!(page, [position(30), twin.clone()]);
        let filter = PositionFilter { before: Some(twin.key()), ..filter };
        let page = position::position_list(store, &tenant(), "dana", &filter).await.unwrap();
        assert_eq!(page, [position(20)]);
    });
}

#[test]
fn old_positions_and_tracks_are_forgotten() {
    for_each_store(async |test| {
        let store = &test.store;
        run(store, [10, 20, 30].map(|secs| position::position_put(&position(secs))).into()).await.unwrap();
        run(store, vec![track::track_put(&track_row(1)), track::visit_put(&visit("a"))]).await.unwrap();
        assert_eq!(position::position_count_old(store, at(26), 10).await.unwrap(), 2);
        assert_eq!(position::position_count_old(store, at(26), 1).await.unwrap(), 1);
        run(store, vec![position::position_delete_old(at(26), 1)]).await.unwrap();
        assert_eq!(position::position_count_old(store, at(26), 10).await.unwrap(), 1);
        run(store, vec![position::position_delete_old(at(26), 10)]).await.unwrap();
        let all = PositionFilter { limit: 9, ..PositionFilter::default() };
        let left = position::position_list(store, &tenant(), "dana", &all).await.unwrap();
        assert_eq!(left, [position(30)]);

        assert!(!track::track_has_old(store, at(5)).await.unwrap());
        assert!(track::track_has_old(store, at(6)).await.unwrap());
        run(store, track::track_delete_old(at(5)).into()).await.unwrap();
        assert_eq!(track::visit_list(store, &tenant(), "dana").await.unwrap(), [visit("a")]);
        run(store, track::track_delete_old(at(6)).into()).await.unwrap();
        assert_eq!(track::visit_list(store, &tenant(), "dana").await.unwrap(), []);
        assert_eq!(track::track_get(store, &tenant(), "dana").await.unwrap(), None);
    });
}

#[test]
fn of_two_changes_of_a_track_one_counts() {
    for_each_store(async |test| {
        let store = &test.store;
        run(store, vec![track::track_put(&track_row(1))]).await.unwrap();
        assert!(is_refused(&run(store, vec![track::track_put(&track_row(1))]).await));
        assert_eq!(track::track_get(store, &tenant(), "dana").await.unwrap(), Some(track_row(1)));
        run(store, vec![track::track_put(&track_row(2))]).await.unwrap();
        assert!(is_refused(&run(store, vec![track::track_put(&track_row(2))]).await));
        assert_eq!(track::track_get(store, &tenant(), "dana").await.unwrap(), Some(track_row(2)));
        assert_eq!(track::track_list_due(store, at(99), 10).await.unwrap(), []);
        assert_eq!(track::track_list_due(store, at(100), 10).await.unwrap(), [track_row(2)]);

        let arrived = VisitRow { has_arrived: true, outside_since: Some(at(9)), ..visit("a") };
        let changes = [visit("a"), visit("b"), arrived.clone()];
        run(store, changes.iter().map(track::visit_put).collect()).await.unwrap();
        run(store, vec![track::visit_delete(&visit("b"))]).await.unwrap();
        assert_eq!(track::visit_list(store, &tenant(), "dana").await.unwrap(), [arrived]);
    });
}

#[test]
fn days_add_up() {
    for_each_store(async |test| {
        let store = &test.store;
        let days = ["2026-02-01", "2026-02-02", "2026-02-02", "2026-02-04"];
        run(store, days.map(|text| driver_day::driver_day_add(&day(text))).into()).await.unwrap();
        let span = ("2026-02-02", "2026-02-03");
        let listed = driver_day::driver_day_list(store, (&tenant(), "dana"), span, 10).await.unwrap();
        let sum = DriverDayRow {
            distance_mm: 3_000,
            moving_us: 14,
            n_stops: 4,
            n_left: 2,
            stayed_us: 120,
            n_judged: 4,
            n_on_time: 2,
            ..day("2026-02-02")
        };
        assert_eq!(listed, [sum]);
    });
}

#[test]
fn routes_are_found_by_when_they_were_driven() {
    for_each_store(async |test| {
        let store = &test.store;
        let driven = |from: Option<i64>, until: Option<i64>| RouteRow {
            status: RouteStatus::UnderWay,
            started_at: from.map(at),
            ended_at: until.map(at),
            ..route_row()
        };
        let rows = [driven(Some(10), Some(20)), driven(Some(15), None), driven(None, None)];
        run(store, rows.iter().map(route::route_insert).collect()).await.unwrap();
        let found = async |from: i64, until: i64| {
            let span = (at(from), at(until));
            let found = route::route_list_driven(store, (&tenant(), "dana"), span, 10).await.unwrap();
            found.into_iter().map(|row| row.id).collect::<Vec<_>>()
        };
        let [first, second, _] = &rows;
        assert_eq!(found(0, 9).await, []);
        assert_eq!(found(0, 10).await, std::slice::from_ref(&first.id));
        assert_eq!(found(12, 30).await, [second.id.clone(), first.id.clone()]);
        assert_eq!(found(21, 30).await, std::slice::from_ref(&second.id));

        let stop = |number: i64, clinic: &str| StopRow {
            route_id: first.id.clone(),
            number,
            task_id: LogisticsTaskId::from_text("ltk_1"),
            clinic_id: ClinicId::from_text(clinic),
            arrived_at: None,
            departed_at: None,
        };
        let stops = [stop(1, "a"), stop(2, "nowhere")];
        let mut statements: Vec<_> = stops.iter().map(route::stop_insert).collect();
        statements.push(clinic_insert(&clinic("a")));
        run(store, statements).await.unwrap();
        let placed = route::stop_list_placed(store, &tenant(), &first.id).await.unwrap();
        assert_eq!(placed, [(stop(1, "a"), clinic("a").position_e7), (stop(2, "nowhere"), None)]);
    });
}

/// Asks everything, for the test of plans.
pub(crate) async fn ask(store: &Store) {
    let span = (at(1), at(2));
    position::position_get(store, &tenant(), "a", position(1).key()).await.unwrap();
    position::position_list_waiting(store, &tenant(), "a", 10).await.unwrap();
    let all = PositionFilter { limit: 10, ..PositionFilter::default() };
    let filters = [
        all.clone(),
        PositionFilter { since: Some(at(1)), until: Some(at(2)), ..all.clone() },
        PositionFilter { before: Some(position(1).key()), ..all.clone() },
        PositionFilter { since: Some(at(1)), before: Some(position(1).key()), ..all },
    ];
    for filter in filters {
        position::position_list(store, &tenant(), "a", &filter).await.unwrap();
    }
    position::position_count_old(store, at(1), 10).await.unwrap();
    track::track_get(store, &tenant(), "a").await.unwrap();
    track::track_list_due(store, at(1), 10).await.unwrap();
    track::track_has_old(store, at(1)).await.unwrap();
    track::visit_list(store, &tenant(), "a").await.unwrap();
    driver_day::driver_day_list(store, (&tenant(), "a"), ("a", "b"), 10).await.unwrap();
    route::route_list_driven(store, (&tenant(), "a"), span, 10).await.unwrap();
    route::stop_list_placed(store, &tenant(), &RouteId::from_text("a")).await.unwrap();
}

/// Every change, for the test of plans.
pub(crate) fn changes() -> Vec<Statement> {
    let mut statements = vec![
        position::position_put(&position(1)),
        position::position_settle(&position(1)),
        position::position_delete_old(at(1), 5),
        track::track_put(&track_row(1)),
        track::track_put(&track_row(2)),
        track::visit_put(&visit("a")),
        track::visit_delete(&visit("a")),
        driver_day::driver_day_add(&day("a")),
    ];
    statements.extend(track::track_delete_old(at(1)));
    statements
}
