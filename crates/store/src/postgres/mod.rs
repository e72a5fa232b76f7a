//! PostgreSQL behind the store: appenders with group commit, a pool for everything else, a listener for other hubs' news.
//!
//! ```text
//! plain appends ──► queue per appender ──► one transaction a group (unnest) ──► acks
//! other commits ──► pool ──► one pipelined transaction each               queries ──► pool
//! moved heads ──► local waiters, NOTIFY ──► listener of every hub (polls the heads as well)
//! ```
//!
//! Invariants: a commit is answered after the server's COMMIT with `synchronous_commit` on; the row lock on a shard's
//! head is held until COMMIT, so seqs are gapless and become visible in order, from however many hubs; locks are taken
//! in one order everywhere (dedupe keys, statements, heads by shard, events by id, usage), and a deadlock among
//! statements is answered by running the transaction again. A commit goes on when its caller stops waiting.

mod appender;
mod connect;
mod fault;
mod journal;
mod listen;
mod pool;
mod schema;
mod transaction;
mod values;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_postgres::types::ToSql;
use trunkline_model::Shard;

use self::connect::{Connector, LONG_SILENCE, Session};
use self::fault::MAX_REPEATS;
use self::listen::News;
use self::pool::Pool;
use crate::error::{CommitError, OpenError, ReadError};
use crate::{Commit, Committed, Heads, Row, StoreOptions, Value};

/// How many appenders share the shards.
const N_APPENDERS: usize = 2;

/// The PostgreSQL store.
pub(crate) struct PostgresBackend {
    core: Arc<Core>,
    /// Taken by `close`: without it no ticket can be drawn.
    entrance: Mutex<Option<Entrance>>,
    drained: tokio::sync::Mutex<mpsc::Receiver<()>>,
    listener: JoinHandle<()>,
    queue_limit: usize,
}

/// What tasks of the store share.
struct Core {
    pool: Pool,
    news: Arc<News>,
    n_shards: Shard,
}

struct Entrance {
    appenders: Vec<mpsc::UnboundedSender<appender::Job>>,
    n_waiting: Arc<AtomicUsize>,
    open: mpsc::Sender<()>,
}

/// Counts one waiting commit and keeps `close` from finishing before it is answered.
struct Ticket {
    n_waiting: Arc<AtomicUsize>,
    _open: mpsc::Sender<()>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.n_waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl PostgresBackend {
    pub(crate) async fn open(options: StoreOptions) -> Result<(Self, Arc<Heads>), OpenError> {
        let connector = Arc::new(Connector::new(&options.url)?);
        let mut session = connector.session().await.map_err(OpenError::Connect)?;
        let found = schema::prepare(&mut session, options.migrate).await?;
        let n_shards = found.len() as Shard;
        let heads = Arc::new(Heads::new(&found));
        let news = Arc::new(News::new(Arc::clone(&heads)));
        let appenders = (0..N_APPENDERS).map(|_| {
            let (jobs, queue) = mpsc::unbounded_channel();
            let (connector, news) = (Arc::clone(&connector), Arc::clone(&news));
            tokio::spawn(appender::Appender { connector, jobs: queue, news, n_shards }.run());
            jobs
        });
        let appenders = appenders.collect();
        let (open, drained) = mpsc::channel(1);
        let backend = Self {
            core: Arc::new(Core {
                pool: Pool::new(Arc::clone(&connector), options.n_connections),
                news: Arc::clone(&news),
                n_shards,
            }),
            entrance: Mutex::new(Some(Entrance { appenders, n_waiting: Arc::default(), open })),
            drained: tokio::sync::Mutex::new(drained),
            listener: tokio::spawn(listen::run(connector, news)),
            queue_limit: options.queue_limit,
        };
        Ok((backend, heads))
    }

    pub(crate) async fn commit(&self, commit: Commit) -> Result<Committed, CommitError> {
        let (reply, answer) = oneshot::channel();
        self.enter(commit, reply)?;
        answer.await.unwrap_or(Err(CommitError::Closed))
    }

    /// Puts a commit on its way.
    fn enter(
        &self,
        commit: Commit,
        reply: oneshot::Sender<Result<Committed, CommitError>>,
    ) -> Result<(), CommitError> {
        let entrance = self.entrance.lock();
        let entrance = entrance.as_ref().ok_or(CommitError::Closed)?;
        let n_before = entrance.n_waiting.fetch_add(1, Ordering::Relaxed);
        let ticket = Ticket { n_waiting: Arc::clone(&entrance.n_waiting), _open: entrance.open.clone() };
        if n_before >= self.queue_limit {
            return Err(CommitError::Busy);
        }
        if commit.is_plain_append() {
            let shard = commit.events.first().map_or(0, |new| new.event.shard(self.core.n_shards));
            let jobs = &entrance.appenders[shard as usize % N_APPENDERS];
            return jobs.send(appender::Job { commit, reply, ticket }).map_err(|_| CommitError::Closed);
        }
        let core = Arc::clone(&self.core);
        tokio::spawn(async move {
            // A caller that stopped waiting needs no answer.
            drop(reply.send(core.apply(&commit).await));
            drop(ticket);
        });
        Ok(())
    }

    pub(crate) async fn query(&self, sql: &str, params: Vec<Value>) -> Result<Vec<Row>, ReadError> {
        self.core.query(sql, &params).await
    }

    pub(crate) async fn close(&self) {
        drop(self.entrance.lock().take());
        // Nothing is ever sent: this returns when the last ticket is gone.
        self.drained.lock().await.recv().await;
        self.listener.abort();
        self.core.pool.close();
    }
}

impl Drop for PostgresBackend {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

impl Core {
    /// Applies one commit in a transaction of its own, again when that can help.
    async fn apply(&self, commit: &Commit) -> Result<Committed, CommitError> {
        let mut n_repeats = 0;
        loop {
            let connection = self.pool.get().await.map_err(CommitError::Unavailable)?;
            let session = connection.session();
            let applying = transaction::apply(session, commit, self.n_shards);
            match session.within(LONG_SILENCE, applying).await {
                Ok(outcome) => {
                    connection.give_back();
                    self.news.tell(&outcome.moved);
                    return Ok(outcome.committed);
                }
                Err(fault) => {
                    connection.give_back_after_failure(&fault).await;
                    if n_repeats == MAX_REPEATS || !fault.may_repeat() {
                        return Err(fault.into_commit_error());
                    }
                    n_repeats += 1;
                }
            }
        }
    }

    /// Runs a query; once more on a new connection when the first one turned out to be dead or out of date.
    async fn query(&self, sql: &str, params: &[Value]) -> Result<Vec<Row>, ReadError> {
        let mut is_second = false;
        loop {
            let connection = self.pool.get().await.map_err(ReadError::Unavailable)?;
            let session = connection.session();
            let querying = async { Ok(query(session, sql, params).await?) };
            match session.within(LONG_SILENCE, querying).await {
                Ok(rows) => {
                    connection.give_back();
                    return rows.iter().map(values::row).collect();
                }
                Err(fault) => {
                    connection.give_back_after_failure(&fault).await;
                    if is_second || !fault.may_repeat() {
                        return Err(ReadError::Unavailable(fault.into_commit_error().into()));
                    }
                    is_second = true;
                }
            }
        }
    }
}

async fn query(
    session: &Session,
    sql: &str,
    params: &[Value],
) -> Result<Vec<tokio_postgres::Row>, tokio_postgres::Error> {
    let statement = session.prepare(sql).await?;
    let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|param| param as _).collect();
    session.client.query(&statement, &params).await
}
