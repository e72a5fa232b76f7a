//! The lifecycle events of the specification, for definitions that ask for them (rule 39). They are in the commit of the
//! step that they tell of, and are the same when the step is made again.

use serde_json::{Map, Value, json};
use trunkline_model::{Event, Timestamp, cloudevents};
use trunkline_store::NewEvent;
use trunkline_store::tables::workflow::instance::InstanceRow;

use super::machine::{Change, Note, Noting, derived_id};
use crate::dsl::lifecycle::{TaskChange, WorkflowChange};
use crate::program::Program;

/// Makes the events of what was noted of a step.
pub(crate) fn events(
    row: &InstanceRow,
    program: &Program,
    notes: &[Note],
    seq: i64,
    at: Timestamp,
) -> Vec<NewEvent> {
    let wanted = program.workflow().points.lifecycle;
    let is_wanted = |note: &Note| match note.change {
        Change::Workflow(_) => wanted >= Noting::Workflow,
        Change::Task(_) => wanted >= Noting::Tasks,
    };
    let notes = notes.iter().enumerate().filter(|(_, note)| is_wanted(note));
    notes.filter_map(|(index, note)| event(row, program, note, (seq, index), at)).collect()
}

fn event(
    row: &InstanceRow,
    program: &Program,
    note: &Note,
    (seq, index): (i64, usize),
    at: Timestamp,
) -> Option<NewEvent> {
    let name = format!("{}-{}.{}", row.name, row.id, row.namespace);
    let mut data = Map::new();
    let (kind, time) = match note.change {
        Change::Workflow(change) => {
            data.insert("name".to_owned(), name.into());
            (change.event_type(), workflow_time(change))
        }
        Change::Task(change) => {
            let task = program.get(note.task?)?;
            data.insert("workflow".to_owned(), name.into());
            data.insert("task".to_owned(), (&*task.reference).into());
            (change.event_type(), task_time(change))
        }
    };
    data.insert(time.to_owned(), at.to_rfc3339().into());
    if note.change == Change::Workflow(WorkflowChange::Started) {
        let definition = json!({"namespace": row.namespace, "name": row.name, "version": row.version});
        data.insert("definition".to_owned(), definition);
    }
    if note.change == Change::Workflow(WorkflowChange::Completed) {
        // A claim check: the output may be large, and whoever may read it asks for it.
        data.insert("outputUri".to_owned(), format!("/api/v1/workflows/{}#/output", row.id).into());
    }
    if let Some(error) = &note.error {
        data.insert("error".to_owned(), error.to_value());
    }
    let event = json!({
        "specversion": "1.0",
        "id": format!("evt_{}", derived_id(at, &format!("{}/lifecycle/{seq}/{index}", row.id))),
        "source": format!("/workflows/{}/{}", row.namespace, row.name),
        "type": kind,
        "subject": row.id.as_str(),
        "time": at.to_rfc3339(),
        "datacontenttype": "application/json",
        "data": Value::Object(data),
    });
    let defaults = cloudevents::Defaults { tenant: &row.tenant, now: at };
    let mut event: Event = cloudevents::parse_structured(event.to_string().as_bytes(), &defaults).ok()?;
    event.correlationid = row.correlation_id.as_str().into();
    event.causationid = Some(row.id.as_str().to_owned());
    Some(NewEvent::new(event, at))
}

fn workflow_time(change: WorkflowChange) -> &'static str {
    match change {
        WorkflowChange::Started | WorkflowChange::CorrelationStarted => "startedAt",
        WorkflowChange::Suspended => "suspendedAt",
        WorkflowChange::Resumed => "resumedAt",
        WorkflowChange::Completed | WorkflowChange::CorrelationCompleted => "completedAt",
        WorkflowChange::Cancelled => "cancelledAt",
        WorkflowChange::Faulted => "faultedAt",
        WorkflowChange::StatusChanged => "updatedAt",
    }
}

fn task_time(change: TaskChange) -> &'static str {
    match change {
        TaskChange::Created => "createdAt",
        TaskChange::Started => "startedAt",
        TaskChange::Suspended => "suspendedAt",
        TaskChange::Resumed => "resumedAt",
        TaskChange::Retried => "retriedAt",
        TaskChange::Cancelled => "cancelledAt",
        TaskChange::Faulted => "faultedAt",
        TaskChange::Completed => "completedAt",
        TaskChange::StatusChanged => "updatedAt",
    }
}
