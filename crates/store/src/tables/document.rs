//! Where documents are: who holds each now, and where it was before.

use trunkline_model::{Tenant, Timestamp, WorkflowId};

use crate::tables::select::Select;
use crate::{ReadError, Row, Statement, Store, params};

/// Who can hold a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Holder {
    /// A person.
    User,
    /// The members of a group.
    Group,
    /// Whoever works on a queue.
    Queue,
}

impl Holder {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::User, Self::Group, Self::Queue];

    /// The stored form.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Group => "group",
            Self::Queue => "queue",
        }
    }

    /// Reads the stored form.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|holder| holder.as_str() == text)
    }
}

/// A document at one holder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentRow {
    /// Who owns it.
    pub tenant: Tenant,
    /// Its id, as the caller calls it.
    pub id: String,
    /// How it stands.
    pub status: String,
    /// What kind of holder has it.
    pub holder: Holder,
    /// Which one.
    pub holder_id: String,
    /// What was said about it.
    pub note: Option<String>,
    /// The workflow that sent it there.
    pub instance_id: WorkflowId,
    /// When.
    pub at: Timestamp,
}

const COLUMNS: &str = "tenant, id, status, holder, holder_id, note, instance_id, at";

fn document_row(mut row: Row) -> Result<DocumentRow, ReadError> {
    Ok(DocumentRow {
        tenant: Tenant::from_stored(&row.text()?),
        id: row.text()?,
        status: row.text()?,
        holder: Holder::parse(&row.text()?)
            .ok_or(ReadError::Stored { what: "holder of a document", source: "unknown kind".into() })?,
        holder_id: row.text()?,
        note: row.opt_text()?,
        instance_id: WorkflowId::from_text(row.text()?),
        at: row.time()?,
    })
}

/// Gives a document to a holder, and writes it down with the key of the call. The row of the document is the lock: its
/// version orders the history, also of what happens at one time.
pub fn document_route(row: &DocumentRow, key: &str) -> [Statement; 2] {
    let now = Statement::new(
        format!(
            "INSERT INTO documents ({COLUMNS}, version) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 1) \
             ON CONFLICT (tenant, id) DO UPDATE SET status = excluded.status, holder = excluded.holder, \
             holder_id = excluded.holder_id, note = excluded.note, instance_id = excluded.instance_id, \
             at = excluded.at, version = documents.version + 1"
        ),
        params![
            row.tenant.as_str(),
            row.id.as_str(),
            row.status.as_str(),
            row.holder.as_str(),
            row.holder_id.as_str(),
            row.note.as_deref(),
            row.instance_id.as_str(),
            row.at
        ],
    );
    let kept = Statement::one(
        format!(
            "INSERT INTO document_history (key, {COLUMNS}, version) \
             SELECT CAST($1 AS TEXT), {COLUMNS}, version FROM documents WHERE tenant = $2 AND id = $3"
        ),
        params![key, row.tenant.as_str(), row.id.as_str()],
    );
    [now, kept]
}

/// Reads where a document is.
pub async fn document_get(
    store: &Store,
    tenant: &Tenant,
    id: &str,
) -> Result<Option<DocumentRow>, ReadError> {
    let sql = format!("SELECT {COLUMNS} FROM documents WHERE tenant = $1 AND id = $2");
    store.query(sql, params![tenant.as_str(), id]).await?.pop().map(document_row).transpose()
}

/// Lists where a document was, oldest first; at most `limit` places.
pub async fn document_history(
    store: &Store,
    tenant: &Tenant,
    id: &str,
    limit: i64,
) -> Result<Vec<DocumentRow>, ReadError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM document_history WHERE tenant = $1 AND id = $2 ORDER BY version LIMIT $3"
    );
    store.query(sql, params![tenant.as_str(), id, limit]).await?.into_iter().map(document_row).collect()
}

/// Lists what a holder has, by id, from behind `after`; everything where no holder is named.
pub async fn document_list(
    store: &Store,
    tenant: &Tenant,
    holder: Option<(Holder, &str)>,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<DocumentRow>, ReadError> {
    let sql = format!("SELECT {COLUMNS} FROM documents WHERE tenant = $1");
    let mut select = Select::new(sql, params![tenant.as_str()]);
    if let Some((kind, id)) = holder {
        select.add(" AND holder = ?", kind.as_str());
        select.add(" AND holder_id = ?", id);
    }
    select.add_some(" AND id > ?", after);
    select.add(" ORDER BY id LIMIT ?", limit);
    store.query(select.sql, select.values).await?.into_iter().map(document_row).collect()
}
