//! What can be done, as plans: an operation reads what it needs, decides, and gives one commit with state changes and
//! follow-up events, which becomes true as a whole.
//!
//! Called by the API, by flows and by [`crate::upkeep`]. `plan_…` gives the commit to whoever has more to put into it, such
//! as a cursor; the function without `plan_` commits it. Every change is guarded by the version of the row it changes, so
//! two that meet do not spoil each other: the one that loses plans again on what is there then ([`Tries`]).
//!
//! Repeating an operation after a crash changes nothing twice: cases, requests, occurrences of rules and completed tasks
//! are recognised.

pub mod assign;
pub mod billing;
pub mod case_ready;
pub mod complete;
pub mod pickup;
pub mod recurring;
pub mod route;
pub mod tracking;

use serde_json::Value;
use trunkline_model::{Coded, Data, ErrorCode, Event, EventType, FieldError, Tenant, Timestamp};
use trunkline_store::tables::logistics::clinic::clinic_get;
use trunkline_store::tables::logistics::task::{LogisticsTaskRow, logistics_task_get};
use trunkline_store::{Commit, CommitError, NewEvent, ReadError, Statement, Store};

use crate::rows::Unreadable;
use crate::{Clinic, WindowRefused};

/// The source of the events that logistics emits.
pub const SOURCE: &str = "/logistics";
/// How often a plan is made again that lost against another.
const MAX_TRIES: usize = 50;
/// The longest id that is not our own, in bytes.
pub const MAX_ID_LEN: usize = 128;
/// The longest note, in bytes.
pub const MAX_NOTE_LEN: usize = 1_000;

/// Who is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// A clinic, or it is switched off.
    Clinic,
    /// A driver, or they are switched off.
    Driver,
    /// A delivery or pickup.
    Task,
    /// A rule of pickups.
    Recurrence,
    /// A route.
    Route,
    /// An invoice.
    Invoice,
}

/// An operation was not done.
#[derive(Debug, thiserror::Error)]
pub enum OperationError {
    /// Fields are wrong.
    #[error("{} fields are wrong", .0.len())]
    Invalid(Vec<FieldError>),
    /// What it is about is not there.
    #[error("no such {0:?}")]
    Missing(Missing),
    /// A pickup may not be at that time.
    #[error("the window was refused")]
    Window(#[source] Box<WindowRefused>),
    /// What it is about does not stand so that it can be done.
    #[error("{0}")]
    State(&'static str),
    /// It was changed since the caller read it.
    #[error("it was changed meanwhile")]
    Version,
    /// The id is taken.
    #[error("the id is taken")]
    Exists,
    /// Too many others change the same thing.
    #[error("too many changes of the same thing at once")]
    Crowded,
    /// What is stored cannot be used.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The store could not be read.
    #[error("the store cannot be read")]
    Read(#[from] ReadError),
    /// The store did not take the commit.
    #[error("the commit was not applied")]
    Commit(#[from] CommitError),
}

impl Coded for OperationError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Invalid(_) => ErrorCode::RequestInvalid,
            Self::Missing(Missing::Clinic) => ErrorCode::ClinicNotFound,
            Self::Missing(Missing::Driver) => ErrorCode::DriverNotFound,
            Self::Missing(Missing::Task) => ErrorCode::LogisticsTaskNotFound,
            Self::Missing(Missing::Recurrence) => ErrorCode::PickupRecurrenceNotFound,
            Self::Missing(Missing::Route) => ErrorCode::RouteNotFound,
            Self::Missing(Missing::Invoice) => ErrorCode::InvoiceNotFound,
            Self::Window(_) => ErrorCode::PickupWindowRefused,
            Self::State(_) => ErrorCode::LogisticsStateConflict,
            Self::Version => ErrorCode::LogisticsVersionConflict,
            Self::Exists => ErrorCode::LogisticsExists,
            Self::Crowded => ErrorCode::StoreUnavailable,
            Self::Unreadable(_) => ErrorCode::ServerInternal,
            Self::Read(error) => error.code(),
            Self::Commit(error) => error.code(),
        }
    }
}

/// On whose account and why something is done.
#[derive(Debug, Clone)]
pub struct Cause {
    /// Whose data it is about.
    pub tenant: Tenant,
    /// The event that asks for it; follow-up events belong to its journey.
    pub event: Option<Event>,
    /// The time.
    pub now: Timestamp,
}

impl Cause {
    /// A call of the API.
    pub fn call(tenant: Tenant, now: Timestamp) -> Self {
        Self { tenant, event: None, now }
    }

    /// An event.
    pub fn event(event: Event, now: Timestamp) -> Self {
        Self { tenant: event.tenant.clone(), event: Some(event), now }
    }
}

/// What is to become true, and what the caller is told when it has.
#[derive(Debug)]
pub struct Planned<T> {
    /// The commit; empty when there is nothing to do.
    pub commit: Commit,
    /// What came of it.
    pub outcome: T,
}

/// A commit that grows.
#[derive(Debug)]
pub(crate) struct Draft<'a> {
    cause: &'a Cause,
    commit: Commit,
}

impl<'a> Draft<'a> {
    pub(crate) fn new(cause: &'a Cause) -> Self {
        Self { cause, commit: Commit::default() }
    }

    pub(crate) fn push(&mut self, statement: Statement) {
        self.commit.statements.push(statement);
    }

    pub(crate) fn extend(&mut self, statements: impl IntoIterator<Item = Statement>) {
        self.commit.statements.extend(statements);
    }

    /// Adds a follow-up event. Without a cause the first event of the commit begins the journey of the others.
    pub(crate) fn emit(&mut self, event_type: &'static str, subject: &str, data: &Value) {
        let event_type = EventType::parse(event_type).expect("invariant: our event types are valid");
        let now = self.cause.now;
        let mut event = Event::new(self.cause.tenant.clone(), SOURCE, event_type, now);
        event.subject = Some(subject.to_owned());
        event.data = Data::Json(data.to_string().into());
        if let Some(cause) = self.cause.event.as_ref().or(self.commit.events.first().map(|new| &new.event)) {
            event = event.caused_by(cause);
        }
        self.commit.events.push(NewEvent::new(event, now));
    }

    pub(crate) fn done<T>(self, outcome: T) -> Planned<T> {
        Planned { commit: self.commit, outcome }
    }
}

/// The tries of one operation: whoever loses against another commit plans again.
#[derive(Debug, Default)]
pub struct Tries(usize);

impl Tries {
    /// Commits a plan. `None` when another commit was faster and it has to be planned again.
    pub async fn commit<T>(
        &mut self,
        store: &Store,
        planned: Planned<T>,
    ) -> Result<Option<T>, OperationError> {
        if planned.commit.statements.is_empty() && planned.commit.events.is_empty() {
            return Ok(Some(planned.outcome));
        }
        match store.commit(planned.commit).await {
            Ok(_) => Ok(Some(planned.outcome)),
            Err(CommitError::Guard { .. } | CommitError::Constraint(_)) if self.0 < MAX_TRIES => {
                self.0 += 1;
                Ok(None)
            }
            Err(CommitError::Guard { .. } | CommitError::Constraint(_)) => Err(OperationError::Crowded),
            Err(error) => Err(error.into()),
        }
    }
}

/// Reads a clinic that tasks may be about.
pub(crate) async fn active_clinic(
    store: &Store,
    tenant: &Tenant,
    id: &str,
) -> Result<Clinic, OperationError> {
    let row = clinic_get(store, tenant, id).await?.filter(|row| row.is_active);
    let row = row.ok_or(OperationError::Missing(Missing::Clinic))?;
    Ok(Clinic::try_from(&row)?)
}

/// Reads a task.
pub(crate) async fn task(
    store: &Store,
    tenant: &Tenant,
    id: &str,
) -> Result<LogisticsTaskRow, OperationError> {
    logistics_task_get(store, tenant, id).await?.ok_or(OperationError::Missing(Missing::Task))
}

/// Holds a row's version against the one that the caller read.
pub(crate) fn check_version(version: i64, expected: Option<i64>) -> Result<(), OperationError> {
    if expected.is_none_or(|expected| expected == version) { Ok(()) } else { Err(OperationError::Version) }
}

/// The next version of a task.
pub(crate) fn changed(row: &LogisticsTaskRow, now: Timestamp) -> LogisticsTaskRow {
    LogisticsTaskRow { version: row.version + 1, updated_at: now, ..row.clone() }
}

/// Notes an id that cannot be one.
pub(crate) fn check_id(id: &str, pointer: &str, faults: &mut Vec<FieldError>) {
    if !(1..=MAX_ID_LEN).contains(&id.len()) || id.chars().any(char::is_control) {
        let detail = format!("must have 1 to {MAX_ID_LEN} bytes and no control characters");
        faults.push(FieldError::new(pointer, "invalid", detail));
    }
}

/// Notes a note that cannot be one.
pub(crate) fn check_note(note: Option<&str>, pointer: &str, faults: &mut Vec<FieldError>) {
    let is_text = |note: &str| {
        note.len() <= MAX_NOTE_LEN
            && !note.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
    };
    if !note.is_none_or(is_text) {
        let detail = format!("must have at most {MAX_NOTE_LEN} bytes and no control characters");
        faults.push(FieldError::new(pointer, "invalid", detail));
    }
}

/// Refuses when a fault was noted.
pub(crate) fn refuse(faults: Vec<FieldError>) -> Result<(), OperationError> {
    if faults.is_empty() { Ok(()) } else { Err(OperationError::Invalid(faults)) }
}

#[cfg(test)]
mod tests;
