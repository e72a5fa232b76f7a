//! Fences: circles around stops, and when a driver has arrived at one, left it or only passed through.
//!
//! ```text
//!            inside                      inside for `dwell`
//! outside ───────────▶ near ──────────────────────────────────▶ arrived
//!    ▲                   │ surely outside: passed through          │ surely outside for `leave`: left
//!    └───────────────────┴─────────────────────────────────────────┘
//! ```
//!
//! A fix is *inside* when its place is, and it is exact enough to say so; it is *surely outside* when even the nearest
//! place that it may mean lies beyond the fence and a margin. Everything between says nothing, and changes nothing: so a
//! phone that trembles at the edge arrives once.
//!
//! Fences are found in an R-tree of points on the unit ball, where the way around a pole or the date line is as short as
//! any other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rstar::RTree;
use rstar::primitives::GeomWithData;
use trunkline_model::Timestamp;

use super::fix::Fix;
use crate::Position;

/// The radius of a stop's fence in metres.
pub const RADIUS_M: f64 = 100.0;
const EARTH_RADIUS_M: f64 = 6_371_008.8;
/// The farthest that two places can be from each other.
const HALF_WAY_ROUND_M: f64 = EARTH_RADIUS_M * std::f64::consts::PI;

/// A circle around a stop.
#[derive(Debug, Clone, PartialEq)]
pub struct Fence {
    /// What it belongs to, such as a clinic.
    pub id: Arc<str>,
    /// Its middle.
    pub center: Position,
    /// Its radius in metres.
    pub radius_m: f64,
}

/// When a driver counts as arrived.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FenceRules {
    /// How long the driver must be inside.
    pub dwell: Duration,
    /// How long the driver must be surely outside to have left.
    pub leave: Duration,
    /// How far beyond the fence that is, in metres.
    pub margin_m: f64,
    /// Fixes inside that are further apart belong to different visits, unless the driver had arrived.
    pub gap: Duration,
}

impl Default for FenceRules {
    fn default() -> Self {
        Self {
            dwell: Duration::from_mins(1),
            leave: Duration::from_secs(30),
            margin_m: 30.0,
            gap: Duration::from_mins(10),
        }
    }
}

/// What happened at a fence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FenceEvent {
    /// The driver has arrived.
    Arrived {
        /// The fence.
        fence_id: Arc<str>,
        /// When they came in.
        at: Timestamp,
    },
    /// The driver has left after an arrival.
    Left {
        /// The fence.
        fence_id: Arc<str>,
        /// When they came in.
        since: Timestamp,
        /// When they were seen outside.
        at: Timestamp,
        /// How long they stayed.
        stayed: Duration,
    },
    /// The driver was inside, but not long enough to have arrived.
    Passed {
        /// The fence.
        fence_id: Arc<str>,
        /// When they came in.
        at: Timestamp,
    },
}

/// Many fences, found by place.
#[derive(Debug, Default)]
pub struct FenceIndex {
    tree: RTree<GeomWithData<[f64; 3], usize>>,
    fences: Vec<Fence>,
    max_radius_m: f64,
}

/// A place as a point on the unit ball.
fn on_ball(position: Position) -> [f64; 3] {
    let (lat, lon) = (position.lat().to_radians(), position.lon().to_radians());
    [libm::cos(lat) * libm::cos(lon), libm::cos(lat) * libm::sin(lon), libm::sin(lat)]
}

/// The square of the straight line through the unit ball that an arc on the earth spans.
fn chord_squared(arc_m: f64) -> f64 {
    let half = libm::sin(arc_m.clamp(0.0, HALF_WAY_ROUND_M) / (2.0 * EARTH_RADIUS_M));
    4.0 * half * half
}

impl FenceIndex {
    /// Builds the index.
    pub fn new(fences: Vec<Fence>) -> Self {
        let points = fences
            .iter()
            .enumerate()
            .map(|(at, fence)| GeomWithData::new(on_ball(fence.center), at))
            .collect();
        let max_radius_m = fences.iter().map(|fence| fence.radius_m).fold(0.0, f64::max);
        Self { tree: RTree::bulk_load(points), fences, max_radius_m }
    }

    /// The fences of which a place is inside, or no further outside than `slack_m`, with the distance to their middle.
    pub fn near(&self, position: Position, slack_m: f64) -> impl Iterator<Item = (&Fence, f64)> {
        // A metre more than needed, for the rounding.
        let reach = chord_squared(self.max_radius_m + slack_m + 1.0);
        self.tree
            .locate_within_distance(on_ball(position), reach)
            .filter_map(|point| self.fences.get(point.data))
            .map(move |fence| (fence, fence.center.distance_m(position)))
            .filter(move |(fence, distance)| *distance <= fence.radius_m + slack_m)
    }
}

/// A fence inside of which a driver is, or was until just now.
#[derive(Debug, Clone, PartialEq)]
pub struct Visit {
    /// The fence as it was when the driver came in.
    pub fence: Fence,
    /// When they came in.
    pub since: Timestamp,
    /// When they were last seen inside.
    pub last_inside: Timestamp,
    /// Whether they have stayed long enough to have arrived.
    pub has_arrived: bool,
    /// Since when the driver is surely outside.
    pub outside_since: Option<Timestamp>,
}

/// Where one driver stands with the fences around.
#[derive(Debug, Default)]
pub struct FenceTrack {
    rules: FenceRules,
    visits: BTreeMap<Arc<str>, Visit>,
}

impl FenceTrack {
    /// Follows with rules of its own.
    pub fn new(rules: FenceRules) -> Self {
        Self { rules, visits: BTreeMap::new() }
    }

    /// Goes on where another left off.
    pub fn resume(visits: impl IntoIterator<Item = Visit>) -> Self {
        let visits = visits.into_iter().map(|visit| (Arc::clone(&visit.fence.id), visit)).collect();
        Self { rules: FenceRules::default(), visits }
    }

    /// Where the driver is seen.
    pub fn visits(&self) -> impl Iterator<Item = &Visit> {
        self.visits.values()
    }

    /// Ends visits of fences that are gone, as of when the driver was last seen there.
    pub fn close(&mut self, is_gone: impl Fn(&Fence) -> bool) -> Vec<FenceEvent> {
        let mut events = Vec::new();
        self.visits.retain(|_, visit| {
            let is_open = !is_gone(&visit.fence);
            if !is_open {
                events.push(visit.ended(visit.outside_since.unwrap_or(visit.last_inside)));
            }
            is_open
        });
        events
    }

    /// Follows one fix. Fixes come in order; one that is not believed changes nothing.
    pub fn follow(&mut self, fix: &Fix, index: &FenceIndex) -> Vec<FenceEvent> {
        let Some(position) = fix.usable() else { return Vec::new() };
        let mut events = Vec::new();
        for (fence, distance) in index.near(position, 0.0) {
            if distance <= fence.radius_m && fix.accuracy_m() <= fence.radius_m {
                self.note_inside(fence, fix.at, &mut events);
            }
        }
        let (rules, accuracy_m) = (self.rules, fix.accuracy_m());
        self.visits.retain(|_, visit| {
            let distance = visit.fence.center.distance_m(position);
            let is_outside = distance - accuracy_m > visit.fence.radius_m + rules.margin_m;
            !is_outside || !visit.note_outside(fix.at, &rules, &mut events)
        });
        events
    }

    fn note_inside(&mut self, fence: &Fence, at: Timestamp, events: &mut Vec<FenceEvent>) {
        let begun = |since| Visit {
            fence: fence.clone(),
            since,
            last_inside: at,
            has_arrived: false,
            outside_since: None,
        };
        let visit = self.visits.entry(Arc::clone(&fence.id)).or_insert_with(|| begun(at));
        if !visit.has_arrived && at.since(visit.last_inside) > self.rules.gap {
            events.push(FenceEvent::Passed { fence_id: Arc::clone(&fence.id), at: visit.since });
            *visit = begun(at);
        }
        visit.last_inside = at;
        visit.outside_since = None;
        if !visit.has_arrived && at.since(visit.since) >= self.rules.dwell {
            visit.has_arrived = true;
            events.push(FenceEvent::Arrived { fence_id: Arc::clone(&fence.id), at: visit.since });
        }
    }
}

impl Visit {
    /// Tells whether the visit is over.
    fn note_outside(&mut self, at: Timestamp, rules: &FenceRules, events: &mut Vec<FenceEvent>) -> bool {
        let since = *self.outside_since.get_or_insert(at);
        if self.has_arrived && at.since(since) < rules.leave {
            return false;
        }
        events.push(self.ended(since));
        true
    }

    /// What a visit was that ended at a time.
    fn ended(&self, at: Timestamp) -> FenceEvent {
        let (fence_id, since) = (Arc::clone(&self.fence.id), self.since);
        if !self.has_arrived {
            return FenceEvent::Passed { fence_id, at: since };
        }
        FenceEvent::Left { fence_id, since, at, stayed: self.last_inside.since(since) }
    }
}
