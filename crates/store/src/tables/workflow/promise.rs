//! How promises about time stand, counted by definition in the commits that change it: a report reads sums, not instances.

use trunkline_model::Tenant;

use super::instance::{InstanceRow, stored_words};
use crate::{ReadError, Statement, Store, params};

stored_words! {
    /// What was promised a time.
    PromiseScope, "scope of a promise":
    /// A workflow.
    Workflow "workflow",
    /// A task of one.
    Task "task",
}

stored_words! {
    /// How a promise stands.
    Standing, "standing of a promise":
    /// Under way, and nothing was warned of.
    Within "within",
    /// Under way, and it was warned of.
    Warned "warned",
    /// Under way, and too late.
    Breached "breached",
    /// Ended in time.
    Met "met",
    /// Ended too late.
    Missed "missed",
}

/// One change of how promises stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PromiseChange {
    /// Of what.
    pub scope: PromiseScope,
    /// How it stood; nothing for a new one.
    pub from: Option<Standing>,
    /// How it stands; nothing where nobody minds any more.
    pub to: Option<Standing>,
}

/// Counts a change.
pub fn promise_move(row: &InstanceRow, change: PromiseChange) -> Vec<Statement> {
    let add = |standing: Standing, n: i64| {
        Statement::new(
            "INSERT INTO workflow_promises AS p (tenant, namespace, name, scope, standing, shard, n) \
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (tenant, namespace, name, scope, standing, shard) \
             DO UPDATE SET n = p.n + excluded.n",
            params![
                row.tenant.as_str(),
                row.namespace.as_str(),
                row.name.as_str(),
                change.scope.as_str(),
                standing.as_str(),
                row.shard,
                n
            ],
        )
    };
    change.from.map(|it| add(it, -1)).into_iter().chain(change.to.map(|it| add(it, 1))).collect()
}

/// How many promises of a definition stand so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromiseCount {
    /// Namespace of the definition.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Of workflows or of tasks.
    pub scope: PromiseScope,
    /// How they stand.
    pub standing: Standing,
    /// How many.
    pub n: i64,
}

/// Counts a tenant's promises by definition, scope and standing.
pub async fn promise_count(store: &Store, tenant: &Tenant) -> Result<Vec<PromiseCount>, ReadError> {
    let sql = "SELECT namespace, name, scope, standing, CAST(sum(n) AS BIGINT) FROM workflow_promises \
         WHERE tenant = $1 GROUP BY namespace, name, scope, standing ORDER BY namespace, name, scope, standing";
    let rows = store.query(sql, params![tenant.as_str()]).await?;
    rows.into_iter()
        .map(|mut row| {
            Ok(PromiseCount {
                namespace: row.text()?,
                name: row.text()?,
                scope: PromiseScope::read(&row.text()?)?,
                standing: Standing::read(&row.text()?)?,
                n: row.int()?,
            })
        })
        .collect()
}
