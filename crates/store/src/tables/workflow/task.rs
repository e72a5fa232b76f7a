//! Tasks that wait for people: what lists of tasks show. The decision is the instance's: rows are written in its commits
//! and say what its state says.

use trunkline_model::{PersonTaskId, Tenant, Timestamp, WorkflowId};

use super::instance::stored_words;
use crate::tables::select::Select;
use crate::{ReadError, Row, Statement, Store, params};

stored_words! {
    /// Where a task stands.
    TaskStatus, "task status":
    /// Nobody has taken it.
    Open "open",
    /// Somebody works on it.
    Claimed "claimed",
    /// It was decided.
    Completed "completed",
    /// It was not decided in time.
    Expired "expired",
    /// The workflow does not wait for it any more.
    Cancelled "cancelled",
}

impl TaskStatus {
    /// Whether somebody can still do something about it.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Open | Self::Claimed)
    }
}

/// One task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskRow {
    /// Its id.
    pub id: PersonTaskId,
    /// Who owns it.
    pub tenant: Tenant,
    /// The instance that waits for it.
    pub instance_id: WorkflowId,
    /// Namespace of its definition.
    pub namespace: String,
    /// Name of its definition.
    pub name: String,
    /// The document of the caller that the instance is about.
    pub document_id: Option<String>,
    /// JSON pointer to the task in the definition.
    pub reference: String,
    /// `approval` or `step`.
    pub kind: String,
    /// This activation of the task and no other.
    pub nonce: String,
    /// A line for people.
    pub title: String,
    /// More for people.
    pub description: Option<String>,
    /// JSON Schema of what has to be filled in.
    pub form: Option<String>,
    /// Users who may decide.
    pub assignees: Vec<String>,
    /// Groups whose members may decide.
    pub groups: Vec<String>,
    /// Users and groups who were asked later.
    pub escalated_to: Vec<String>,
    /// How many must agree.
    pub quorum: i64,
    /// The higher the sooner.
    pub priority: i64,
    /// Where it stands.
    pub status: TaskStatus,
    /// What came of it: `approved`, `rejected`, `done` or `timeout`.
    pub outcome: Option<String>,
    /// Who works on it.
    pub claimed_by: Option<String>,
    /// JSON array of what was done about it.
    pub history: String,
    /// When it is due.
    pub due_at: Option<Timestamp>,
    /// When further people are asked.
    pub escalate_at: Option<Timestamp>,
    /// Grows with each change.
    pub version: i64,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When it came to its end.
    pub closed_at: Option<Timestamp>,
}

const COLUMNS: [&str; 27] = [
    "id",
    "tenant",
    "instance_id",
    "namespace",
    "name",
    "document_id",
    "reference",
    "kind",
    "nonce",
    "title",
    "description",
    "form",
    "assignees",
    "groups",
    "escalated_to",
    "quorum",
    "priority",
    "status",
    "outcome",
    "claimed_by",
    "history",
    "due_at",
    "escalate_at",
    "version",
    "created_at",
    "updated_at",
    "closed_at",
];

fn columns(prefix: &str) -> String {
    COLUMNS.map(|column| format!("{prefix}{column}")).join(", ")
}

fn names(text: &str) -> Result<Vec<String>, ReadError> {
    let unreadable = |error| ReadError::Stored { what: "names of a task", source: Box::new(error) };
    serde_json::from_str(text).map_err(unreadable)
}

fn text_of(names: &[String]) -> String {
    serde_json::Value::from(names.to_vec()).to_string()
}

fn task_row(mut row: Row) -> Result<TaskRow, ReadError> {
    Ok(TaskRow {
        id: PersonTaskId::from_text(row.text()?),
        tenant: Tenant::from_stored(&row.text()?),
        instance_id: WorkflowId::from_text(row.text()?),
        namespace: row.text()?,
        name: row.text()?,
        document_id: row.opt_text()?,
        reference: row.text()?,
        kind: row.text()?,
        nonce: row.text()?,
        title: row.text()?,
        description: row.opt_text()?,
        form: row.opt_text()?,
        assignees: names(&row.text()?)?,
        groups: names(&row.text()?)?,
        escalated_to: names(&row.text()?)?,
        quorum: row.int()?,
        priority: row.int()?,
        status: TaskStatus::read(&row.text()?)?,
        outcome: row.opt_text()?,
        claimed_by: row.opt_text()?,
        history: row.text()?,
        due_at: row.opt_time()?,
        escalate_at: row.opt_time()?,
        version: row.int()?,
        created_at: row.time()?,
        updated_at: row.time()?,
        closed_at: row.opt_time()?,
    })
}

/// Writes a task as it is now, and whose list it is on.
pub fn task_put(row: &TaskRow) -> Vec<Statement> {
    let places = (1..=COLUMNS.len()).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ");
    let put = Statement::one(
        format!(
            "INSERT INTO workflow_tasks ({}) VALUES ({places}) ON CONFLICT (id) DO UPDATE SET \
             assignees = excluded.assignees, escalated_to = excluded.escalated_to, status = excluded.status, \
             outcome = excluded.outcome, claimed_by = excluded.claimed_by, history = excluded.history, \
             escalate_at = excluded.escalate_at, version = excluded.version, updated_at = excluded.updated_at, \
             closed_at = excluded.closed_at",
            columns("")
        ),
        params![
            row.id.as_str(),
            row.tenant.as_str(),
            row.instance_id.as_str(),
            row.namespace.as_str(),
            row.name.as_str(),
            row.document_id.as_deref(),
            row.reference.as_str(),
            row.kind.as_str(),
            row.nonce.as_str(),
            row.title.as_str(),
            row.description.as_deref(),
            row.form.as_deref(),
            text_of(&row.assignees),
            text_of(&row.groups),
            text_of(&row.escalated_to),
            row.quorum,
            row.priority,
            row.status.as_str(),
            row.outcome.as_deref(),
            row.claimed_by.as_deref(),
            row.history.as_str(),
            row.due_at,
            row.escalate_at,
            row.version,
            row.created_at,
            row.updated_at,
            row.closed_at
        ],
    );
    let mut statements = vec![put];
    if !row.status.is_open() {
        statements.push(Statement::new(
            "UPDATE workflow_task_people SET is_open = 0 WHERE task_id = $1",
            params![row.id.as_str()],
        ));
        return statements;
    }
    if row.version > 1 {
        statements.push(Statement::new(
            "DELETE FROM workflow_task_people WHERE task_id = $1",
            params![row.id.as_str()],
        ));
    }
    let of_kind = |kind: &'static str, names: &[String]| -> Vec<Statement> {
        names.iter().map(|name| person_insert(row, kind, name)).collect()
    };
    statements.extend(of_kind("user", &row.assignees));
    statements.extend(of_kind("group", &row.groups));
    statements.extend(of_kind("user", &row.escalated_to));
    statements.extend(of_kind("group", &row.escalated_to));
    statements
}

fn person_insert(row: &TaskRow, kind: &'static str, name: &str) -> Statement {
    Statement::new(
        "INSERT INTO workflow_task_people (tenant, kind, name, task_id, is_open) VALUES ($1, $2, $3, $4, 1) \
         ON CONFLICT DO NOTHING",
        params![row.tenant.as_str(), kind, name, row.id.as_str()],
    )
}

/// Reads one task of a tenant.
pub async fn task_get(store: &Store, tenant: &Tenant, id: &str) -> Result<Option<TaskRow>, ReadError> {
    let sql = format!("SELECT {} FROM workflow_tasks WHERE id = $1 AND tenant = $2", columns(""));
    store.query(sql, params![id, tenant.as_str()]).await?.pop().map(task_row).transpose()
}

/// What to list.
#[derive(Debug, Clone, Default)]
pub struct TaskFilter {
    /// Only those that stand here.
    pub status: Option<TaskStatus>,
    /// Only those that can still be decided.
    pub is_open: bool,
    /// Only those on the list of this user.
    pub assignee: Option<String>,
    /// Only those on the list of this group.
    pub group: Option<String>,
    /// Only those about this document.
    pub document_id: Option<String>,
    /// Only those of this instance.
    pub instance_id: Option<String>,
    /// Only those due before.
    pub due_before: Option<Timestamp>,
    /// Only below this id: the last one of the page before.
    pub before: Option<String>,
    /// At most this many.
    pub limit: i64,
}

/// Lists tasks of a tenant, newest first.
pub async fn task_list(
    store: &Store,
    tenant: &Tenant,
    filter: &TaskFilter,
) -> Result<Vec<TaskRow>, ReadError> {
    let mut people = [("user", &filter.assignee), ("group", &filter.group)]
        .into_iter()
        .filter_map(|(kind, name)| Some((kind, name.as_deref()?)));
    let columns = columns("t.");
    let is_open = filter.is_open || filter.status.is_some_and(TaskStatus::is_open);
    let (mut select, id) = match people.next() {
        None => {
            let sql = format!("SELECT {columns} FROM workflow_tasks AS t WHERE t.tenant = $1");
            (Select::new(sql, params![tenant.as_str()]), "t.id")
        }
        Some((kind, name)) => {
            let open = if is_open { " AND p.is_open = 1" } else { "" };
            let sql = format!(
                "SELECT {columns} FROM workflow_task_people AS p JOIN workflow_tasks AS t ON t.id = p.task_id \
                 WHERE p.tenant = $1 AND p.kind = $2 AND p.name = $3{open}"
            );
            (Select::new(sql, params![tenant.as_str(), kind, name]), "p.task_id")
        }
    };
    if let Some((kind, name)) = people.next() {
        select.add(
            " AND EXISTS (SELECT 1 FROM workflow_task_people AS q WHERE q.task_id = t.id AND q.kind = ?",
            kind,
        );
        select.add(" AND q.name = ?)", name);
    }
    if filter.is_open && filter.status.is_none() {
        select.sql.push_str(" AND t.status IN ('open', 'claimed')");
    }
    select.add_some(" AND t.status = ?", filter.status.map(TaskStatus::as_str));
    select.add_some(" AND t.document_id = ?", filter.document_id.as_deref());
    select.add_some(" AND t.instance_id = ?", filter.instance_id.as_deref());
    select.add_some(" AND t.due_at < ?", filter.due_before);
    select.add_some(&format!(" AND {id} < ?"), filter.before.as_deref());
    select.add(&format!(" ORDER BY {id} DESC LIMIT ?"), filter.limit);
    store.query(select.sql, select.values).await?.into_iter().map(task_row).collect()
}
