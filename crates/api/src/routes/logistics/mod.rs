//! `/api/v1/clinics`, `/api/v1/drivers` with their positions, `/api/v1/logistics/tasks`, `/api/v1/pickups`, `/api/v1/routes` and
//! `/api/v1/invoices`: deliveries and pickups. The rules are those of the crate `logistics`; here requests are read and
//! answers are written.

mod clinics;
mod drivers;
mod fields;
mod invoices;
mod phones;
mod pickups;
pub(crate) mod positions;
mod rounds;
mod shown;
mod tasks;

use http::HeaderMap;
use http::header::IF_MATCH;
use trunkline_logistics::operations::OperationError;
use trunkline_model::{ErrorCode, FieldError};
use trunkline_store::{Commit, CommitError, Statement};

use crate::openapi::Operation;
use crate::problem::Problem;
use crate::state::ApiState;

const TAG_HEADERS: &[(&str, &str)] = &[("ETag", "The version, for `If-Match`.")];
const CREATED_HEADERS: &[(&str, &str)] =
    &[("ETag", "The version, for `If-Match`."), ("Location", "The path of what was made.")];

pub(super) fn operations() -> Vec<Operation> {
    let mut all = clinics::operations();
    all.extend(drivers::operations());
    all.extend(positions::operations());
    all.extend(phones::operations());
    all.extend(tasks::operations());
    all.extend(pickups::operations());
    all.extend(rounds::operations());
    all.extend(invoices::operations());
    all
}

/// What the caller is told of an operation that was not done.
fn refused(error: OperationError) -> Problem {
    match error {
        OperationError::Invalid(faults) => Problem::invalid(faults),
        OperationError::State(detail) => Problem::new(ErrorCode::LogisticsStateConflict).with_detail(detail),
        OperationError::Window(refusal) => {
            let detail = refusal.to_string();
            let fault = FieldError::new("/window", refusal.reason.as_str(), detail.clone());
            let open = refusal.open.into_iter().map(|span| (span.from, span.until)).collect();
            Problem::new(ErrorCode::PickupWindowRefused)
                .with_detail(detail)
                .with_errors(vec![fault])
                .with_open_hours(open)
        }
        error => error.into(),
    }
}

/// The version that `If-Match` names; `None` when any will do. A tag that no version of ours has matches none.
fn expected(headers: &HeaderMap) -> Result<Option<i64>, Problem> {
    let mut values = headers.get_all(IF_MATCH).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return if headers.contains_key(IF_MATCH) { Err(bad_tag()) } else { Ok(None) };
    };
    let text = value.to_str().map_err(|_| bad_tag())?.trim();
    if text == "*" {
        return Ok(None);
    }
    let opaque = text.strip_prefix("W/").unwrap_or(text);
    let tag = opaque.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).ok_or_else(bad_tag)?;
    if tag.contains(['"', ',']) {
        return Err(bad_tag());
    }
    let is_strong = opaque == text;
    Ok(Some(tag.parse().ok().filter(|version| is_strong && *version > 0).unwrap_or(-1)))
}

fn bad_tag() -> Problem {
    let detail = "must be * or one entity tag such as \"3\"";
    Problem::invalid(vec![FieldError::new("header:if-match", "invalid", detail)])
}

fn check_version(headers: &HeaderMap, version: i64) -> Result<(), Problem> {
    match expected(headers)? {
        Some(expected) if expected != version => Err(Problem::new(ErrorCode::LogisticsVersionConflict)),
        _ => Ok(()),
    }
}

/// Stores something new whose id may be taken.
async fn store_new(state: &ApiState, statement: Statement) -> Result<(), Problem> {
    match state.journal.commit(Commit::statements(vec![statement])).await {
        Ok(_) => Ok(()),
        Err(CommitError::Constraint(_)) => Err(Problem::new(ErrorCode::LogisticsExists)),
        Err(error) => Err(error.into()),
    }
}

/// Stores a change that is guarded by the version of its row.
async fn store_change(state: &ApiState, statement: Statement) -> Result<(), Problem> {
    match state.journal.commit(Commit::statements(vec![statement])).await {
        Ok(_) => Ok(()),
        Err(CommitError::Guard { .. }) => Err(Problem::new(ErrorCode::LogisticsVersionConflict)),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entity_tags_are_read() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(IF_MATCH, text.parse().unwrap());
            expected(&headers).map_err(|problem| problem.code())
        };
        assert_eq!(expected(&HeaderMap::new()).ok(), Some(None));
        for (text, version) in [("*", None), ("\"3\"", Some(3)), ("W/\"3\"", Some(-1)), ("\"x\"", Some(-1))] {
            assert_eq!(read(text), Ok(version), "{text}");
        }
        for text in ["3", "\"3\", \"4\"", "\"", ""] {
            assert_eq!(read(text), Err(ErrorCode::RequestInvalid), "{text}");
        }
    }
}
