//! `/api/v1/workflows/sla`: how promises about time stand, by definition.
//!
//! Read from counts that are kept in the commits which change them, never counted from the history.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use trunkline_store::tables::workflow::promise::{PromiseScope, Standing, promise_count};
use utoipa::ToSchema;

use super::answers::json as answer_json;
use crate::auth::{Permit, grants};
use crate::openapi::{Answer, Operation};
use crate::problem::Problem;
use crate::state::ApiState;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::get("/api/v1/workflows/sla", "getWorkflowSla", report)
            .about("workflows", "Shows how many workflows and tasks keep the time they were promised to take")
            .details(
                "Of definitions with `sla`, over all their versions and all time. `GET /api/v1/workflows?sla=breached` lists \
                 the workflows themselves.",
            )
            .permit::<grants::WorkflowsRead>()
            .answer(Answer::json::<SlaAnswer>(200, "The figures.")),
    ]
}

/// How promises about time stand.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WorkflowSla)]
struct SlaAnswer {
    /// Of workflows and tasks together.
    all: Promises,
    definitions: Vec<OfDefinition>,
}

/// How the promises of one definition stand.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WorkflowDefinitionSla)]
struct OfDefinition {
    namespace: String,
    name: String,
    workflows: Promises,
    tasks: Promises,
}

/// Promises about time, by how they stand.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = WorkflowPromises)]
struct Promises {
    /// Under way, and nothing was warned of.
    #[schema(minimum = 0)]
    within: i64,
    /// Under way, and it was warned of.
    #[schema(minimum = 0)]
    warned: i64,
    /// Under way, and too late.
    #[schema(minimum = 0)]
    breached: i64,
    /// Done in time.
    #[schema(minimum = 0)]
    met: i64,
    /// Ended too late.
    #[schema(minimum = 0)]
    missed: i64,
    /// The part of those that came to an end which was done in time; absent before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = f64, minimum = 0, maximum = 1)]
    met_ratio: Option<f64>,
}

impl Promises {
    fn add(&mut self, standing: Standing, n: i64) {
        *match standing {
            Standing::Within => &mut self.within,
            Standing::Warned => &mut self.warned,
            Standing::Breached => &mut self.breached,
            Standing::Met => &mut self.met,
            Standing::Missed => &mut self.missed,
        } += n;
        let n_ended = self.met + self.missed;
        self.met_ratio = (n_ended > 0).then(|| self.met as f64 / n_ended as f64);
    }
}

async fn report(
    permit: Permit<grants::WorkflowsRead>,
    State(state): State<ApiState>,
) -> Result<Response, Problem> {
    let mut all = Promises::default();
    let mut definitions: BTreeMap<(String, String), OfDefinition> = BTreeMap::new();
    for count in promise_count(state.store(), &permit.tenant).await? {
        all.add(count.standing, count.n);
        let place = (count.namespace.clone(), count.name.clone());
        let of = definitions.entry(place).or_insert_with(|| OfDefinition {
            namespace: count.namespace,
            name: count.name,
            workflows: Promises::default(),
            tasks: Promises::default(),
        });
        let promises = match count.scope {
            PromiseScope::Workflow => &mut of.workflows,
            PromiseScope::Task => &mut of.tasks,
        };
        promises.add(count.standing, count.n);
    }
    let definitions = definitions.into_values().collect();
    Ok(answer_json(StatusCode::OK, &SlaAnswer { all, definitions }))
}
