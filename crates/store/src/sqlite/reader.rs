//! Read connections: each query borrows one on a blocking thread, so reads never wait for the writer.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use tokio::sync::Semaphore;

use super::connect_read_only;
use crate::error::ReadError;
use crate::{Row, Value};

/// A bounded set of read connections, opened on first use.
pub(crate) struct Readers {
    path: Arc<PathBuf>,
    idle: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub(crate) fn new(path: PathBuf, n_connections: usize) -> Self {
        Self {
            path: Arc::new(path),
            idle: Arc::default(),
            permits: Arc::new(Semaphore::new(n_connections.max(1))),
        }
    }

    /// Runs a query and makes something of each row, both on the blocking thread.
    pub(crate) async fn query<T: Send + 'static>(
        &self,
        sql: Cow<'static, str>,
        params: Vec<Value>,
        make: fn(Row) -> Result<T, ReadError>,
    ) -> Result<Vec<T>, ReadError> {
        let permit =
            Arc::clone(&self.permits).acquire_owned().await.map_err(|source| unavailable(source.into()))?;
        let (path, idle) = (Arc::clone(&self.path), Arc::clone(&self.idle));
        let answer = tokio::task::spawn_blocking(move || {
            let reused = idle.lock().pop();
            let connection = match reused {
                Some(connection) => connection,
                None => connect_read_only(&path)?,
            };
            let rows = query(&connection, &sql, &params)?;
            idle.lock().push(connection);
            drop(permit);
            Ok(rows.into_iter().map(make).collect())
        });
        answer
            .await
            .map_err(|source| unavailable(source.into()))?
            .map_err(|source: rusqlite::Error| unavailable(source.into()))?
    }
}

fn unavailable(source: crate::error::Cause) -> ReadError {
    ReadError::Unavailable(source)
}

pub(super) fn query(connection: &Connection, sql: &str, params: &[Value]) -> rusqlite::Result<Vec<Row>> {
    let mut statement = connection.prepare_cached(sql)?;
    debug_assert!(numbered_in_order(&statement), "parameters out of order in: {sql}");
    let n_columns = statement.column_count();
    let mut rows = statement.query(rusqlite::params_from_iter(params))?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        let mut values = Vec::with_capacity(n_columns);
        for column in 0..n_columns {
            values.push(match row.get_ref(column)? {
                ValueRef::Null => Value::Null,
                ValueRef::Integer(value) => Value::Int(value),
                ValueRef::Real(value) => Value::Int(value as i64),
                ValueRef::Text(value) => Value::Text(String::from_utf8_lossy(value).into_owned()),
                ValueRef::Blob(value) => Value::Blob(Bytes::copy_from_slice(value)),
            });
        }
        out.push(Row::new(values));
    }
    Ok(out)
}

/// SQLite numbers `$n` by first appearance, PostgreSQL by `n`; both agree only when the text is in order.
pub(super) fn numbered_in_order(statement: &rusqlite::Statement<'_>) -> bool {
    (1..=statement.parameter_count())
        .all(|index| statement.parameter_name(index).is_none_or(|name| name == format!("${index}")))
}
