//! Where each consumer stands in each shard.

use trunkline_model::{Seq, Shard};

use crate::{ReadError, Statement, Store, params};

/// Moves a cursor, creating it when it is new.
pub(crate) const MOVE_CURSOR: &str = "INSERT INTO consumer_cursors (consumer, shard, seq) VALUES ($1, $2, $3) \
     ON CONFLICT (consumer, shard) DO UPDATE SET seq = excluded.seq";

/// One consumer's place in one shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CursorRow {
    /// The consumer's name.
    pub consumer: String,
    /// The shard.
    pub shard: Shard,
    /// The last event handled.
    pub seq: Seq,
}

/// The last event a consumer has handled in a shard; 0 when it has handled none.
pub async fn cursor_get(store: &Store, consumer: &str, shard: Shard) -> Result<Seq, ReadError> {
    let sql = "SELECT seq FROM consumer_cursors WHERE consumer = $1 AND shard = $2";
    match store.query(sql, params![consumer, shard]).await?.pop() {
        Some(mut row) => row.int(),
        None => Ok(0),
    }
}

/// Makes a cursor at 0 if there is none yet.
pub fn cursor_create(consumer: &str, shard: Shard) -> Statement {
    Statement::new(
        "INSERT INTO consumer_cursors (consumer, shard, seq) VALUES ($1, $2, 0) ON CONFLICT DO NOTHING",
        params![consumer, shard],
    )
}

/// Makes a cursor at `seq` if there is none yet: for a consumer to which what was stored before means nothing.
pub fn cursor_create_at(consumer: &str, shard: Shard, seq: Seq) -> Statement {
    Statement::new(
        "INSERT INTO consumer_cursors (consumer, shard, seq) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        params![consumer, shard, seq],
    )
}

/// Demands that a cursor stands at `seq`. Must touch one row, otherwise another commit of the consumer came between.
///
/// A fence tells owners apart; this tells two runs of one owner apart, where a commit of the first may still be on its
/// way when the second begins.
pub fn cursor_expect(consumer: &str, shard: Shard, seq: Seq) -> Statement {
    Statement::one(
        "UPDATE consumer_cursors SET seq = seq WHERE consumer = $1 AND shard = $2 AND seq = $3",
        params![consumer, shard, seq],
    )
}

/// Lists every cursor.
pub async fn cursor_list(store: &Store) -> Result<Vec<CursorRow>, ReadError> {
    let sql = "SELECT consumer, shard, seq FROM consumer_cursors ORDER BY consumer, shard";
    let rows = store.query(sql, vec![]).await?;
    rows.into_iter()
        .map(|mut row| Ok(CursorRow { consumer: row.text()?, shard: row.int()?, seq: row.int()? }))
        .collect()
}
