//! Brings the schema up to date when the store is opened. Hubs that start together take turns on an advisory lock.

use tokio_postgres::Client;
use trunkline_model::{Seq, Shard};

use super::connect::Session;
use crate::Dialect;
use crate::error::OpenError;
use crate::migrate::{CREATE_HISTORY, MIGRATIONS, newest};

/// How many shards the journal of a new database gets.
const N_SHARDS: i64 = 64;
/// Key of the advisory lock: "trunk" and a number.
const LOCK_KEY: i64 = 0x7472_756e_6b00_0001;

/// Migrates as asked and gives the journal's heads.
pub(super) async fn prepare(session: &mut Session, apply: bool) -> Result<Vec<(Shard, Seq)>, OpenError> {
    let client = &mut session.client;
    client.execute("SELECT pg_advisory_lock($1)", &[&LOCK_KEY]).await.map_err(connect_error)?;
    let heads = migrate(client, apply).await;
    // The lock also ends with the connection.
    if let Err(error) = client.execute("SELECT pg_advisory_unlock($1)", &[&LOCK_KEY]).await {
        tracing::debug!(error = %error, "migration lock not released");
    }
    heads
}

fn connect_error(source: tokio_postgres::Error) -> OpenError {
    OpenError::Connect(source.into())
}

async fn migrate(client: &mut Client, apply: bool) -> Result<Vec<(Shard, Seq)>, OpenError> {
    client.batch_execute(CREATE_HISTORY).await.map_err(connect_error)?;
    let row = client
        .query_one("SELECT coalesce(max(version), 0) FROM schema_migrations", &[])
        .await
        .map_err(connect_error)?;
    let found: i64 = row.get(0);
    if found > newest() {
        return Err(OpenError::Newer { found, known: newest() });
    }
    for migration in MIGRATIONS.iter().filter(|migration| migration.version > found) {
        let version = migration.version;
        let failed = |source: tokio_postgres::Error| OpenError::Migration { version, source: source.into() };
        if !apply {
            return Err(OpenError::Migration { version, source: "pending; run `trunkline migrate`".into() });
        }
        let transaction = client.transaction().await.map_err(failed)?;
        transaction.batch_execute(&migration.sql(Dialect::Postgres)).await.map_err(failed)?;
        transaction
            .execute(
                "INSERT INTO schema_migrations VALUES ($1, $2, (extract(epoch FROM now()) * 1000000)::bigint)",
                &[&version, &migration.name],
            )
            .await
            .map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
    }
    heads(client).await.map_err(connect_error)
}

/// Reads the heads, making them when the journal is new. Their number never changes afterwards.
async fn heads(client: &Client) -> Result<Vec<(Shard, Seq)>, tokio_postgres::Error> {
    client
        .execute(
            "INSERT INTO journal_heads (shard, seq) SELECT shard, 0 FROM generate_series(0, $1::bigint - 1) AS shard \
             WHERE NOT EXISTS (SELECT 1 FROM journal_heads)",
            &[&N_SHARDS],
        )
        .await?;
    let rows = client.query("SELECT shard, seq FROM journal_heads ORDER BY shard", &[]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}
