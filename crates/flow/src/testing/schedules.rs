//! Workflows that time starts, in a world: what the engine would plan is planned here, by the same function, as time passes.

use std::sync::Arc;

use serde_json::json;
use trunkline_model::{Tenant, Timestamp, WorkflowId};
use trunkline_store::tables::workflow::schedule::ScheduleRow;

use super::{World, WorldError};
use crate::dsl::schedule::Schedule;
use crate::engine::schedule::{Last, following, plan};
use crate::program::Program;

/// A workflow that time starts.
#[derive(Debug)]
pub(super) struct Timed {
    program: Arc<Program>,
    row: ScheduleRow,
}

impl Timed {
    fn new(program: Arc<Program>, now: Timestamp) -> Self {
        let workflow = program.workflow();
        let next = workflow.schedule.as_ref().and_then(|it| following(it, &workflow.points.schedule, now));
        let row = ScheduleRow {
            tenant: Tenant::from_stored("default"),
            namespace: workflow.document.namespace.clone(),
            name: workflow.document.name.clone(),
            version: workflow.document.version.to_string(),
            hash: program.hash().to_string(),
            shard: 0,
            next_at: next,
            // What has no time of its own, `after`, begins at once.
            wake_at: next.or(Some(now)),
            last_at: None,
            last_instance_id: None,
            ended_at: None,
            queue: Vec::new(),
            is_paused: false,
            n_started: 0,
            n_skipped: 0,
            revision: 0,
            created_at: now,
            updated_at: now,
        };
        Self { program, row }
    }
}

impl World<'_> {
    /// Lets time start a workflow from now on, where its schedule says so. Times come while time is let pass; running on
    /// until nothing waits does not wait for them, because they never end.
    ///
    /// # Errors
    /// No such definition; work that never ends.
    pub fn keep_time(&mut self, name: &str) -> Result<(), WorldError> {
        let program = self.find(name).ok_or_else(|| WorldError::NoDefinition(name.to_owned()))?;
        if Self::is_timed(&program) {
            self.timed.push(Timed::new(program, self.now));
            self.advance(std::time::Duration::ZERO)?;
        }
        Ok(())
    }

    /// Whether time starts a workflow.
    pub(super) fn is_timed(program: &Program) -> bool {
        matches!(
            &program.workflow().schedule,
            Some(Schedule::Every(_) | Schedule::Cron(_) | Schedule::After(_))
        )
    }

    /// The next time of a schedule, and which.
    pub(super) fn next_scheduled(&self) -> Option<(Timestamp, usize)> {
        let time = |(index, it): (usize, &Timed)| {
            let has_ended = matches!(self.last(it.row.last_instance_id.as_ref()), Last::Ended(_));
            let waits_for_end = it.row.wake_at.is_none() || !it.row.queue.is_empty();
            let at = if waits_for_end && has_ended { Some(self.now) } else { it.row.wake_at };
            at.map(|at| (at, index))
        };
        self.timed.iter().enumerate().filter_map(time).min()
    }

    fn last(&self, id: Option<&WorkflowId>) -> Last {
        match id.and_then(|id| self.instances.get(id)) {
            None => Last::Never,
            Some(instance) => instance.ended_at.map_or(Last::Running, Last::Ended),
        }
    }

    /// Does what a schedule does now.
    pub(super) fn fire_schedule(&mut self, index: usize) {
        let Some(timed) = self.timed.get(index) else { return };
        let program = Arc::clone(&timed.program);
        let Some(schedule) = &program.workflow().schedule else { return };
        let last = self.last(timed.row.last_instance_id.as_ref());
        let planned = plan(schedule, &program.workflow().points.schedule, &timed.row, last, self.now);
        let mut started = None;
        for slot in &planned.starts {
            started = Some((*slot, self.begin(Arc::clone(&program), json!({}), None)));
        }
        let Some(timed) = self.timed.get_mut(index) else { return };
        (timed.row.next_at, timed.row.wake_at) = (planned.next_at, planned.wake_at);
        timed.row.queue = planned.queue;
        if let Some((slot, id)) = started {
            (timed.row.last_at, timed.row.last_instance_id) = (Some(slot), Some(id));
        }
    }
}
