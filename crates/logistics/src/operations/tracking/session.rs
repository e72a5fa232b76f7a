//! One look at a driver's track: what is stored is taken up, positions are followed, and what came of it becomes a commit.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use trunkline_model::{DriverId, LogisticsTaskId, RouteId, Timestamp};
use trunkline_store::Store;
use trunkline_store::tables::logistics::clinic::clinic_get;
use trunkline_store::tables::logistics::driver_day::driver_day_add;
use trunkline_store::tables::logistics::position::{
    PositionKey, PositionRow, position_list_waiting, position_put, position_settle,
};
use trunkline_store::tables::logistics::route::{
    PlacedStop, RouteRow, route_get, route_list_driven, stop_list_placed, stop_note,
};
use trunkline_store::tables::logistics::task::logistics_task_get;
use trunkline_store::tables::logistics::track::{
    TrackRow, VisitRow, track_get, track_put, visit_delete, visit_list, visit_put,
};

use super::kept::{
    Days, Parts, fence, key_of, marks_of, marks_text, of_fence, position_row, visit_of, visit_row,
};
use super::{Cause, Draft, MAX_ROUTES, NEWS_FOR, OperationError, Planned, Taken, ahead};
use crate::Clinic;
use crate::rows::date;
use crate::tracking::reorder::{CAPACITY, WINDOW};
use crate::tracking::{FenceEvent, FenceIndex, FenceTrack, Figures, Fix, Sample};

/// The most clinics that are told where a driver is: as many as rooms of one event.
const MAX_CLINICS: usize = 60;

/// A route that the driver drives or drove.
struct Driven {
    row: RouteRow,
    stops: Vec<PlacedStop>,
    fences: FenceIndex,
}

impl Driven {
    async fn load(store: &Store, row: RouteRow) -> Result<Self, OperationError> {
        let stops = stop_list_placed(store, &row.tenant, &row.id).await?;
        let mut fences = BTreeMap::new();
        for (stop, center_e7) in &stops {
            let found = center_e7.and_then(|at| fence(row.id.as_str(), stop.clinic_id.as_str(), at));
            if let Some(fence) = found {
                fences.insert(stop.clinic_id.as_str().to_owned(), fence);
            }
        }
        let fences = FenceIndex::new(fences.into_values().collect());
        Ok(Self { row, stops, fences })
    }

    fn covers(&self, at: Timestamp) -> bool {
        self.row.started_at.is_some_and(|started| started <= at)
            && self.row.ended_at.is_none_or(|ended| at <= ended)
    }

    /// The stops that a visit of a clinic is for: the first ones there that were not over before it, as far as they follow
    /// on each other.
    fn stops_of(&self, clinic_id: &str, since: Timestamp) -> Vec<usize> {
        let is_meant = |(stop, _): &PlacedStop| {
            stop.clinic_id.as_str() == clinic_id && stop.departed_at.is_none_or(|left| left >= since)
        };
        let Some(first) = self.stops.iter().position(is_meant) else { return Vec::new() };
        let n_meant = self.stops.iter().skip(first).take_while(|placed| is_meant(placed)).count();
        (first..first + n_meant).collect()
    }
}

/// A stored or new position.
struct Tracked {
    row: PositionRow,
    is_new: bool,
}

/// One look at a track.
pub(super) struct Session<'a> {
    store: &'a Store,
    cause: &'a Cause,
    driver_id: &'a DriverId,
    before: Option<TrackRow>,
    visits_before: Vec<VisitRow>,
    parts: Parts,
    fences: FenceTrack,
    routes: Vec<Driven>,
    positions: BTreeMap<PositionKey, Tracked>,
    current: Option<PositionKey>,
    days: Days,
    draft: Draft<'a>,
    /// Events, to be told behind where the driver is.
    told: Vec<(&'static str, Value)>,
    has_taken: bool,
    has_settled: bool,
}

impl<'a> Session<'a> {
    /// Takes up a track, with the routes that were driven in a stretch of time.
    pub(super) async fn load(
        store: &'a Store,
        cause: &'a Cause,
        driver_id: &'a DriverId,
        span: Option<(Timestamp, Timestamp)>,
    ) -> Result<Self, OperationError> {
        let (tenant, id) = (&cause.tenant, driver_id.as_str());
        let before = track_get(store, tenant, id).await?;
        let waiting = position_list_waiting(store, tenant, id, 2 * CAPACITY as i64).await?;
        let visits_before = visit_list(store, tenant, id).await?;
        let times = span.into_iter().flat_map(|(first, last)| [first, last]);
        let times: Vec<Timestamp> = times.chain(waiting.iter().map(|row| row.at)).collect();
        let mut routes = Vec::new();
        if let (Some(first), Some(last)) = (times.iter().min(), times.iter().max()) {
            for row in route_list_driven(store, (tenant, id), (*first, *last), MAX_ROUTES).await? {
                routes.push(Driven::load(store, row).await?);
            }
        }
        for visit in &visits_before {
            if !routes.iter().any(|route: &Driven| route.row.id == visit.route_id)
                && let Some(row) = route_get(store, tenant, visit.route_id.as_str()).await?
            {
                routes.push(Driven::load(store, row).await?);
            }
        }
        Ok(Self {
            parts: Parts::read(before.as_ref(), &waiting)?,
            fences: FenceTrack::resume(visits_before.iter().filter_map(visit_of)),
            current: before.as_ref().and_then(|row| row.current),
            positions: waiting.into_iter().map(|row| (row.key(), Tracked { row, is_new: false })).collect(),
            store,
            cause,
            driver_id,
            before,
            visits_before,
            routes,
            days: Days::default(),
            draft: Draft::new(cause),
            told: Vec::new(),
            has_taken: false,
            has_settled: false,
        })
    }

    /// Whether it is to be settled although nothing more came.
    pub(super) fn is_due(&self) -> bool {
        self.before.as_ref().and_then(|row| row.settle_at).is_some_and(|at| at <= self.cause.now)
    }

    /// The route that was driven at a time, the one begun last.
    fn route_at(&self, at: Timestamp) -> Option<usize> {
        self.routes.iter().position(|route| route.covers(at))
    }

    /// Takes a position, and follows those that are settled by it.
    pub(super) async fn take(&mut self, fix: Fix, sample: &Sample) -> Result<Taken, OperationError> {
        let Some(route) = self.route_at(fix.at).and_then(|index| self.routes.get(index)) else {
            return Ok(Taken::OffShift);
        };
        if self.parts.reorder.knows(&fix) {
            return Ok(Taken::Known);
        }
        let whose = (&self.cause.tenant, self.driver_id, &route.row.id);
        let Some(row) = position_row(whose, &fix, sample) else { return Ok(Taken::OffShift) };
        let key = row.key();
        self.positions.insert(key, Tracked { row, is_new: true });
        self.has_taken = true;
        if self.parts.judge.believes(&fix) {
            self.note_current(key);
        }
        for settled in self.parts.reorder.push(fix) {
            self.settle(settled).await?;
        }
        let marks = self.positions.get(&key).map(|tracked| marks_of(&tracked.row));
        Ok(Taken::Accepted(marks.unwrap_or_default()))
    }

    /// Settles what waits, and ends visits of routes that are over.
    pub(super) async fn settle_all(&mut self) -> Result<(), OperationError> {
        self.has_settled = true;
        for fix in self.parts.reorder.flush() {
            self.settle(fix).await?;
        }
        let is_over = |id: &str| {
            let route = of_fence(id).and_then(|(route_id, _)| route_of(&self.routes, route_id));
            route.is_none_or(|route| route.row.ended_at.is_some())
        };
        for event in self.fences.close(|fence| is_over(&fence.id)) {
            let mut figures = Figures::default();
            figures.note_event(&event);
            if let FenceEvent::Left { at, .. } = &event {
                let at = *at;
                self.tell(&event, &mut figures).await?;
                self.days.add(at, &figures);
            }
        }
        Ok(())
    }

    /// Follows one position. They come in order.
    async fn settle(&mut self, mut fix: Fix) -> Result<(), OperationError> {
        self.parts.judge.judge(&mut fix);
        let mut figures = Figures::default();
        self.parts.odometer.note_fix(&fix, &mut figures);
        let nowhere = FenceIndex::default();
        let route = self.route_at(fix.at).and_then(|index| self.routes.get(index));
        let events = self.fences.follow(&fix, route.map_or(&nowhere, |route| &route.fences));
        for event in &events {
            figures.note_event(event);
            self.tell(event, &mut figures).await?;
        }
        self.days.add(fix.at, &figures);
        let Some(key) = key_of(&fix) else { return Ok(()) };
        if fix.usable().is_some() {
            self.note_current(key);
        }
        if let Some(tracked) = self.positions.get_mut(&key) {
            tracked.row.processed_at = Some(self.cause.now);
            tracked.row.marks = marks_text(&fix);
        }
        Ok(())
    }

    /// The newest position by its time is where the driver is.
    fn note_current(&mut self, key: PositionKey) {
        if self.current.is_none_or(|current| current.0 < key.0) {
            self.current = Some(key);
        }
    }

    /// Notes an arrival or a departure at the stops it is for, and tells of it.
    async fn tell(&mut self, event: &FenceEvent, figures: &mut Figures) -> Result<(), OperationError> {
        let (fence_id, since, event_type) = match event {
            FenceEvent::Arrived { fence_id, at } => (fence_id, *at, "driver.arrived"),
            FenceEvent::Left { fence_id, since, .. } => (fence_id, *since, "driver.departed"),
            FenceEvent::Passed { .. } => return Ok(()),
        };
        let Some((route_id, clinic_id)) = of_fence(fence_id) else { return Ok(()) };
        let Some(route) = self.routes.iter_mut().find(|route| route.row.id.as_str() == route_id) else {
            return Ok(());
        };
        let mut data = json!({ "driver_id": self.driver_id, "route_id": route_id, "clinic_id": clinic_id });
        let (mut shown, mut tasks) = (Vec::new(), Vec::new());
        for index in route.stops_of(clinic_id, since) {
            let Some((stop, _)) = route.stops.get_mut(index) else { continue };
            match event {
                FenceEvent::Left { at, .. } => stop.departed_at.get_or_insert(*at),
                _ => stop.arrived_at.get_or_insert(since),
            };
            self.draft.push(stop_note(stop));
            shown.push(json!({ "number": stop.number, "task_id": stop.task_id }));
            tasks.push(stop.task_id.clone());
        }
        data["stops"] = shown.into();
        if let FenceEvent::Left { at, stayed, .. } = event {
            data["at"] = at.to_rfc3339().into();
            data["stayed_s"] = stayed.as_secs().into();
        } else {
            data["at"] = since.to_rfc3339().into();
            for task_id in tasks {
                if let Some(until) = self.promised(&task_id).await? {
                    figures.note_punctuality(since, until);
                }
            }
        }
        self.told.push((event_type, data));
        Ok(())
    }

    /// Until when a task was promised to be done: the end of its window, else when the clinic closes on its day.
    async fn promised(&self, task_id: &LogisticsTaskId) -> Result<Option<Timestamp>, OperationError> {
        let tenant = &self.cause.tenant;
        let Some(task) = logistics_task_get(self.store, tenant, task_id.as_str()).await? else {
            return Ok(None);
        };
        if let Some((_, until)) = task.window {
            return Ok(Some(until));
        }
        let Some(row) = clinic_get(self.store, tenant, task.clinic_id.as_str()).await? else {
            return Ok(None);
        };
        let (clinic, day) = (Clinic::try_from(&row)?, date(&task.day, task_id.as_str())?);
        Ok(clinic.open_on(day).last().map(|(_, until)| *until))
    }

    /// The commit of all that came of it; empty when nothing did.
    pub(super) fn finish<T>(mut self, outcome: T) -> Planned<T> {
        if !self.has_taken && !self.has_settled {
            return Draft::new(self.cause).done(outcome);
        }
        let (tenant, now) = (&self.cause.tenant, self.cause.now);
        if let Some(data) = self.news() {
            self.draft.emit("driver.location", self.driver_id.as_str(), &data);
        }
        for (event_type, data) in &self.told {
            self.draft.emit(event_type, self.driver_id.as_str(), data);
        }
        for tracked in self.positions.values() {
            match (tracked.is_new, tracked.row.processed_at) {
                (true, _) => self.draft.push(position_put(&tracked.row)),
                (false, Some(_)) => self.draft.push(position_settle(&tracked.row)),
                (false, None) => {}
            }
        }
        let visits: Vec<VisitRow> =
            self.fences.visits().filter_map(|visit| visit_row((tenant, self.driver_id), visit)).collect();
        let is_over = |row: &VisitRow| !visits.iter().any(|visit| is_same(visit, row));
        self.draft.extend(self.visits_before.iter().filter(|row| is_over(row)).map(visit_delete));
        self.draft.extend(visits.iter().filter(|row| !self.visits_before.contains(row)).map(visit_put));
        self.draft.extend(self.days.rows(tenant, self.driver_id).iter().map(driver_day_add));
        let is_open = !self.parts.reorder.is_empty() || !visits.is_empty();
        let received_at = self.before.as_ref().filter(|_| !self.has_taken).map(|row| row.received_at);
        self.draft.push(track_put(&TrackRow {
            tenant: tenant.clone(),
            driver_id: self.driver_id.clone(),
            current: self.current,
            state: self.parts.write(),
            settle_at: is_open.then(|| now.plus(WINDOW)),
            received_at: received_at.unwrap_or(now),
            version: self.before.as_ref().map_or(0, |row| row.version) + 1,
        }));
        self.draft.done(outcome)
    }

    /// Where the driver is, when that is new and of now.
    fn news(&self) -> Option<Value> {
        let key = self.current?;
        let is_new = self.before.as_ref().is_none_or(|row| row.current != Some(key));
        let is_fresh = self.cause.now.since(key.0) <= NEWS_FOR;
        let row = &self.positions.get(&key).filter(|_| is_new && is_fresh)?.row;
        let route = route_of(&self.routes, row.route_id.as_str())?;
        let mut clinics: Vec<&str> = Vec::new();
        for clinic_id in ahead(&route.stops) {
            if clinics.len() < MAX_CLINICS && !clinics.contains(&clinic_id) {
                clinics.push(clinic_id);
            }
        }
        let mut data = json!({
            "driver_id": self.driver_id,
            "route_id": row.route_id,
            "clinic_id": clinics,
            "at": row.at.to_rfc3339(),
            "received_at": row.received_at.to_rfc3339(),
            "lat": row.lat_e7 as f64 / 1e7,
            "lon": row.lon_e7 as f64 / 1e7,
        });
        let figures = [
            ("accuracy_m", row.accuracy_mm, 1000.0),
            ("speed_mps", row.speed_mm_s, 1000.0),
            ("course_deg", row.course_cdeg, 100.0),
        ];
        for (name, value, by) in figures {
            if let Some(value) = value {
                data[name] = (value as f64 / by).into();
            }
        }
        Some(data)
    }
}

fn route_of<'r>(routes: &'r [Driven], id: &str) -> Option<&'r Driven> {
    routes.iter().find(|route| route.row.id.as_str() == id)
}

fn is_same(one: &VisitRow, other: &VisitRow) -> bool {
    let of =
        |row: &VisitRow| -> (RouteId, String) { (row.route_id.clone(), row.clinic_id.as_str().to_owned()) };
    of(one) == of(other)
}
