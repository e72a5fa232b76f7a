//! Whole tracks: one arrival for each true visit, however the phone trembles, stutters and mixes things up.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use trunkline_model::Timestamp;

use super::fix::Report;
use super::*;
use crate::Position;

const START: i64 = 1_800_000_000;
/// Metres of one degree of latitude.
const DEGREE_M: f64 = 111_195.0;
/// Metres between neighbouring stops, which lie on one meridian.
const APART_M: f64 = 1_500.0;
const SPEED: f64 = 12.0;

fn place(along_m: f64, aside_m: f64) -> (f64, f64) {
    let lat = 52.0 + along_m / DEGREE_M;
    (lat, 13.0 + aside_m / (DEGREE_M * lat.to_radians().cos()))
}

fn fence(id: &str, along_m: f64) -> Fence {
    let (lat, lon) = place(along_m, 0.0);
    Fence { id: id.into(), center: Position::from_degrees(lat, lon).unwrap(), radius_m: fence::RADIUS_M }
}

fn index() -> FenceIndex {
    FenceIndex::new((0..5_i32).map(|n| fence(&n.to_string(), f64::from(n) * APART_M)).collect())
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_secs(START + second)
}

fn report(along_m: f64, second: i64) -> Report {
    let ((lat, lon), at) = (place(along_m, 0.0), at(second));
    Report { lat, lon, accuracy_m: Some(20.0), device_at: at, received_at: at, stored_at: at }
}

/// One visit of a tour: where to, and how long the driver stays.
#[derive(Debug, Clone)]
struct Leg {
    stop: i32,
    stay_s: i64,
}

/// How a phone disturbs one fix.
#[derive(Debug, Clone)]
struct Noise {
    angle: f64,
    metres: f64,
    delay_s: i64,
    is_twice: bool,
}

/// Where the driver truly is at each second, and when they came to each stop.
fn drive(legs: &[Leg]) -> (Vec<f64>, Vec<(String, i64)>) {
    let mut along = -2_000.0;
    let (mut path, mut visits) = (Vec::new(), Vec::new());
    for leg in legs {
        let target = f64::from(leg.stop) * APART_M;
        while (target - along).abs() > SPEED {
            along += SPEED * (target - along).signum();
            path.push(along);
        }
        along = target;
        visits.push((leg.stop.to_string(), path.len() as i64));
        path.extend(std::iter::repeat_n(along, usize::try_from(leg.stay_s).unwrap()));
    }
    for _ in 0..200 {
        along += SPEED * 30.0 / 10.0;
        path.push(along);
    }
    (path, visits)
}

/// What the hub receives, in the order in which it does.
fn reports(path: &[f64], phase: usize, lost: usize, noise: &[Noise]) -> Vec<Report> {
    let mut sent = Vec::new();
    for (n, second) in (phase..path.len()).step_by(30).enumerate() {
        if n % 7 == lost {
            continue;
        }
        let noise = &noise[n % noise.len()];
        let (lat, lon) =
            place(path[second] + noise.metres * noise.angle.cos(), noise.metres * noise.angle.sin());
        let received = second as i64 + noise.delay_s;
        let (device_at, received_at) = (at(second as i64), at(received));
        let report =
            Report { lat, lon, accuracy_m: Some(25.0), device_at, received_at, stored_at: received_at };
        sent.push((received, report));
        if noise.is_twice {
            sent.push((received + 7, report));
        }
    }
    sent.sort_by_key(|(received, _)| *received);
    sent.into_iter().map(|(_, report)| report).collect()
}

fn follow(reports: &[Report], index: &FenceIndex) -> (Vec<FenceEvent>, Track) {
    let mut track = Track::default();
    let mut events = Vec::new();
    for report in reports {
        events.extend(track.take(*report, index).events);
    }
    events.extend(track.finish(index).events);
    (events, track)
}

fn arrivals(events: &[FenceEvent]) -> Vec<(String, i64)> {
    events
        .iter()
        .filter_map(|event| match event {
            FenceEvent::Arrived { fence_id, at } => Some((fence_id.to_string(), at.as_secs() - START)),
            _ => None,
        })
        .collect()
}

prop_compose! {
    fn noise()(
        angle in 0.0..std::f64::consts::TAU, metres in 0.0..25.0_f64, delay_s in 0_i64..90, is_twice in any::<bool>(),
    ) -> Noise {
        Noise { angle, metres, delay_s, is_twice }
    }
}

proptest! {
    /// Jittered, delayed, mixed up, doubled and partly lost fixes: one arrival for each true visit, in order, at its time.
    #[test]
    fn each_true_visit_is_one_arrival(
        stops in prop::collection::vec((0_i32..5, 180_i64..1_200), 1..6),
        phase in 0_usize..30, lost in 0_usize..7, noise in prop::collection::vec(noise(), 1..60),
    ) {
        let mut legs: Vec<Leg> = Vec::new();
        for (stop, stay_s) in stops {
            if legs.last().is_none_or(|leg| leg.stop != stop) {
                legs.push(Leg { stop, stay_s });
            }
        }
        let (path, visits) = drive(&legs);
        let (events, track) = follow(&reports(&path, phase, lost, &noise), &index());
        let arrived = arrivals(&events);
        prop_assert_eq!(arrived.len(), visits.len(), "{:?}", events);
        for ((fence, at), (expected, when)) in arrived.iter().zip(&visits) {
            prop_assert_eq!(fence, expected);
            prop_assert!((at - when).abs() <= 75, "{} instead of {}", at, when);
        }
        prop_assert_eq!(track.figures().n_stops, visits.len() as u64);
        let left = events.iter().filter(|event| matches!(event, FenceEvent::Left { .. })).count();
        prop_assert_eq!(left, visits.len());
    }

    /// Whatever phones send, nothing panics and nothing is lost.
    #[test]
    fn nothing_that_is_sent_is_fatal(
        sent in prop::collection::vec(
            (any::<f64>(), any::<f64>(), prop::option::of(any::<f64>()), any::<i64>(), any::<i64>()), 1..80),
    ) {
        let (mut track, index) = (Track::default(), index());
        let mut n_fixes = 0;
        for (lat, lon, accuracy_m, device, received) in &sent {
            let (device_at, received_at) = (Timestamp::from_micros(*device), Timestamp::from_micros(*received));
            let report =
                Report { lat: *lat, lon: *lon, accuracy_m: *accuracy_m, device_at, received_at, stored_at: received_at };
            n_fixes += track.take(report, &index).fixes.len();
        }
        n_fixes += track.finish(&index).fixes.len();
        prop_assert_eq!(n_fixes, sent.len());
        prop_assert!(track.figures().distance_m.is_finite());
    }

    /// The index finds what looking at every fence finds, around the poles and the date line, too.
    #[test]
    fn the_index_finds_what_is_there(
        places in prop::collection::vec((-90.0..=90.0_f64, -180.0..=180.0_f64, 20.0..500.0_f64), 1..60),
        near in any::<prop::sample::Index>(), north in -600.0..600.0_f64, east in -600.0..600.0_f64, slack in 0.0..300.0_f64,
    ) {
        let fences: Vec<Fence> = places
            .iter()
            .enumerate()
            .map(|(n, (lat, lon, radius_m))| Fence {
                id: n.to_string().into(), center: Position::from_degrees(*lat, *lon).unwrap(), radius_m: *radius_m,
            })
            .collect();
        let (lat, lon, _) = places[near.index(places.len())];
        let lat = (lat + north / DEGREE_M).clamp(-90.0, 90.0);
        let lon = (lon + east / DEGREE_M + 540.0).rem_euclid(360.0) - 180.0;
        let asked = Position::from_degrees(lat, lon).unwrap();
        let mut expected: Vec<&str> = fences
            .iter()
            .filter(|fence| fence.center.distance_m(asked) <= fence.radius_m + slack)
            .map(|fence| &*fence.id)
            .collect();
        let index = FenceIndex::new(fences.clone());
        let mut found: Vec<&str> = index.near(asked, slack).map(|(fence, _)| &*fence.id).collect();
        found.sort_unstable();
        expected.sort_unstable();
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn ten_thousand_fences_are_looked_at_by_place() {
    let fences = (0..10_000_i32).map(|n| fence(&n.to_string(), f64::from(n) * 250.0)).collect();
    let index = FenceIndex::new(fences);
    let reports: Vec<Report> = (0..20).map(|n| report(1_000_000.0, n * 30)).collect();
    let (events, _) = follow(&reports, &index);
    assert_eq!(arrivals(&events), [("4000".to_owned(), 0)]);
}

#[test]
fn driving_through_is_no_arrival_and_trembling_at_the_edge_is_one() {
    let index = index();
    let through: Vec<Report> = (0..60).map(|n| report(-300.0 + f64::from(n) * 10.0, i64::from(n))).collect();
    let (events, track) = follow(&through, &index);
    assert!(matches!(&events[..], [FenceEvent::Passed { .. }]), "{events:?}");
    assert_eq!(track.figures().n_stops, 0);

    // In and out of the circle by a few metres, for an hour.
    let edge: Vec<Report> =
        (0..120).map(|n| report(if n % 2 == 0 { 90.0 } else { 125.0 }, i64::from(n) * 30)).collect();
    let (events, _) = follow(&edge, &index);
    assert_eq!(arrivals(&events), [("0".to_owned(), 0)]);
    assert_eq!(events.len(), 1);

    // A fix that is less exact than the fence is wide says nothing.
    let vague: Vec<Report> =
        (0..20).map(|n| Report { accuracy_m: Some(150.0), ..report(0.0, n * 30) }).collect();
    assert!(follow(&vague, &index).0.is_empty());

    // A single fix far away in between is not the end of a visit.
    let mut stray: Vec<Report> = (0..20).map(|n| report(0.0, n * 30)).collect();
    stray[10] = report(700.0, 300);
    assert_eq!(follow(&stray, &index).0.len(), 1);
}

#[test]
fn two_short_looks_hours_apart_are_no_arrival() {
    let index = index();
    let (events, _) = follow(&[report(0.0, 0), report(0.0, 7_200)], &index);
    assert!(matches!(&events[..], [FenceEvent::Passed { .. }]), "{events:?}");
}

#[test]
fn figures_of_a_tour() {
    let legs = [Leg { stop: 0, stay_s: 600 }, Leg { stop: 2, stay_s: 300 }];
    let (path, _) = drive(&legs);
    let still = [Noise { angle: 0.0, metres: 0.0, delay_s: 0, is_twice: false }];
    let (events, track) = follow(&reports(&path, 0, 9, &still), &index());
    let mut figures = *track.figures();
    let last_sent = (path.len() - 1) / 30 * 30;
    let driven: f64 = path[..=last_sent].windows(2).map(|pair| (pair[1] - pair[0]).abs()).sum();
    assert!((figures.distance_m - driven).abs() < 60.0, "{} of {driven}", figures.distance_m);
    assert!(figures.average_speed().is_some_and(|speed| (8.0..40.0).contains(&speed)));
    let dwell = figures.average_dwell().unwrap();
    assert!((Duration::from_secs(400)..Duration::from_secs(500)).contains(&dwell), "{dwell:?}");
    assert_eq!(figures.on_time_rate(), None);
    for (_, second) in arrivals(&events) {
        figures.note_punctuality(at(second), at(300));
    }
    assert_eq!(figures.on_time_rate(), Some(0.5));
    let ids: Vec<Arc<str>> = events
        .into_iter()
        .filter_map(|event| match event {
            FenceEvent::Left { fence_id, .. } => Some(fence_id),
            _ => None,
        })
        .collect();
    assert_eq!(ids, ["0".into(), "2".into()]);
}
