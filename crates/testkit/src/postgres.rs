//! Databases for single tests on a PostgreSQL server.
//!
//! Migrating takes longer than copying, so one template database is made for each state of the migrations and copied
//! for each test. It appears under its name only when it is complete; test processes that start together take turns.

use std::io::Write as _;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio_postgres::{Client, Config, NoTls};
use trunkline_store::{Store, StoreOptions};

/// Key of the advisory lock under which the template is made.
const LOCK_KEY: i64 = 0x7465_7374_6b69_7401;

/// A database that is dropped together with this value.
#[derive(Debug)]
pub struct TestDatabase {
    name: String,
    server: String,
}

fn server() -> String {
    std::env::var("TRUNKLINE_TEST_POSTGRES")
        .unwrap_or_else(|_| "postgres://postgres@127.0.0.1:5432/postgres".to_owned())
}

/// The server's URL with another database; an option such as `?sslmode=` stays.
fn url_of(server: &str, database: &str) -> String {
    let (base, options) = match server.split_once('?') {
        Some((base, options)) => (base, format!("?{options}")),
        None => (server, String::new()),
    };
    let (scheme, rest) = base.split_once("://").unwrap_or(("postgres", base));
    let authority = rest.split_once('/').map_or(rest, |(authority, _)| authority);
    format!("{scheme}://{authority}/{database}{options}")
}

async fn connect(url: &str) -> Result<Client, tokio_postgres::Error> {
    let mut config: Config = url.parse()?;
    config.connect_timeout(std::time::Duration::from_secs(3));
    let (client, driver) = config.connect(NoTls).await?;
    tokio::spawn(async move { drop(driver.await) });
    Ok(client)
}

impl TestDatabase {
    /// Makes an empty, migrated database; `None` when no server answers and none is required.
    pub async fn create() -> Option<Self> {
        let server = server();
        let client = match connect(&server).await {
            Ok(client) => client,
            Err(error) => {
                skip(&error);
                return None;
            }
        };
        let template = template(&client, &server).await;
        let name = unique_name("trunkline_test");
        create_database(&client, &name, Some(&template)).await;
        Some(Self { name, server })
    }

    /// The database as a store URL.
    pub fn url(&self) -> String {
        url_of(&self.server, &self.name)
    }

    /// Where the server listens: host and port.
    pub fn server(&self) -> (String, u16) {
        let config: Config = self.server.parse().expect("invariant: a connection was made with it");
        let host = match config.get_hosts().first() {
            Some(tokio_postgres::config::Host::Tcp(host)) => host.clone(),
            _ => "127.0.0.1".to_owned(),
        };
        (host, config.get_ports().first().copied().unwrap_or(5432))
    }

    /// The database as a store URL that leads to a port on this machine, where a [`Proxy`](crate::Proxy) listens.
    pub fn url_through(&self, port: u16) -> String {
        let url = self.url();
        let (scheme, rest) = url.split_once("://").unwrap_or(("postgres", &url));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let user = authority.rsplit_once('@').map_or(String::new(), |(user, _)| format!("{user}@"));
        format!("{scheme}://{user}127.0.0.1:{port}/{path}")
    }

    /// Runs a statement on the database, past the store.
    pub async fn execute(&self, sql: &str) {
        let client = connect(&self.url()).await.expect("invariant: the server answered before");
        client.batch_execute(sql).await.expect("invariant: the test's own statement is right");
    }

    /// Everything in every table, as text.
    pub async fn contents(&self) -> String {
        let client = connect(&self.url()).await.expect("invariant: the server answered before");
        let tables = "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'";
        let tables = client.query(tables, &[]).await.expect("invariant: the catalogue can be read");
        let mut text = String::new();
        for table in tables {
            let table: String = table.get(0);
            let sql = format!("SELECT coalesce(string_agg(t::text, E'\n'), '') FROM {table} t");
            let row = client.query_one(&sql, &[]).await.expect("invariant: a table can be read");
            text.push_str(row.get(0));
            text.push('\n');
        }
        text
    }

    /// Ends every connection to the database but the one that says so, as a restart of the server would.
    pub async fn disconnect_everybody(&self) {
        self.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .await;
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        // The test's runtime may be gone or be this very thread's: a thread of its own can always wait.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
            runtime.block_on(async {
                let client = connect(&server).await.ok()?;
                client.batch_execute(&format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)")).await.ok()
            })
        });
        // Best effort: a left-over database costs some megabytes and nothing else.
        drop(dropping.join());
    }
}

fn skip(error: &tokio_postgres::Error) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    let url = server();
    let place = url.rsplit_once('@').map_or(url.as_str(), |(_, place)| place);
    assert!(
        std::env::var("TRUNKLINE_TEST_REQUIRE_POSTGRES").as_deref() != Ok("1"),
        "no PostgreSQL at {place}, and TRUNKLINE_TEST_REQUIRE_POSTGRES demands one: {error}"
    );
    // Written past the test harness, which hides the output of tests that pass.
    let line = format!("SKIPPED {test}: no PostgreSQL at {place} (set TRUNKLINE_TEST_POSTGRES)\n");
    drop(std::io::stderr().write_all(line.as_bytes()));
}

fn unique_name(prefix: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let id = trunkline_model::RequestId::fresh().into_string();
    format!("{prefix}_{}_{count}_{}", std::process::id(), &id[id.len() - 8..])
}

async fn create_database(client: &Client, name: &str, template: Option<&str>) {
    let template = template.map(|template| format!(" TEMPLATE \"{template}\"")).unwrap_or_default();
    client
        .batch_execute(&format!("CREATE DATABASE \"{name}\"{template}"))
        .await
        .expect("invariant: the test server lets us create databases");
}

/// The name of the template database, which is made first where it is missing.
async fn template(client: &Client, server: &str) -> String {
    let name = format!("trunkline_template_{:016x}", trunkline_store::schema_fingerprint());
    let lock = "SELECT pg_advisory_lock($1)";
    client.execute(lock, &[&LOCK_KEY]).await.expect("invariant: advisory locks need no rights");
    let found = client
        .query_opt("SELECT 1 FROM pg_database WHERE datname = $1", &[&name])
        .await
        .expect("invariant: the catalogue can be read");
    if found.is_none() {
        let unfinished = unique_name("trunkline_unfinished");
        create_database(client, &unfinished, None).await;
        let store = Store::open(StoreOptions::new(url_of(server, &unfinished)))
            .await
            .expect("invariant: an empty database can be migrated");
        store.close().await;
        drop(store);
        // The server notices a closed connection only after a moment; a rename needs all of them gone.
        let rename = format!(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{unfinished}';
             ALTER DATABASE \"{unfinished}\" RENAME TO \"{name}\""
        );
        for statement in rename.split(';') {
            client.batch_execute(statement).await.expect("invariant: nobody else uses the new database");
        }
    }
    let unlock = "SELECT pg_advisory_unlock($1)";
    client.execute(unlock, &[&LOCK_KEY]).await.expect("invariant: the lock is held");
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_keep_their_options() {
        assert_eq!(url_of("postgres://u@h:1/a?sslmode=disable", "b"), "postgres://u@h:1/b?sslmode=disable");
        assert_eq!(url_of("postgres://h1:1,h2:2", "b"), "postgres://h1:1,h2:2/b");
        let server = "postgres://u:p@db.test:5433/a?sslmode=disable".to_owned();
        // Not made, so not dropped either.
        let database = std::mem::ManuallyDrop::new(TestDatabase { name: "b".to_owned(), server });
        assert_eq!(database.server(), ("db.test".to_owned(), 5433));
        assert_eq!(database.url_through(7), "postgres://u:p@127.0.0.1:7/b?sslmode=disable");
    }
}
