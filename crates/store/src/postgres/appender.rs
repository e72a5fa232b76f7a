//! Group commit for plain appends: each appender owns some of the shards and one connection.
//!
//! Like the SQLite writer it needs no timer: while one transaction is on its way to the disk, the next group gathers in
//! the queue. Several appenders work on disjoint shards, so that their transactions do not wait for each other's locks
//! and the server can flush them together.
//!
//! A group that fails because of one commit in it is halved until that commit stands alone. One that fails before COMMIT
//! was sent is run again; one whose COMMIT got no answer is reported as such to everybody in it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;
use tokio_postgres::types::ToSql;
use trunkline_model::{Seq, Shard};

use super::Ticket;
use super::connect::{Connector, SILENCE, Session};
use super::fault::{Fault, MAX_REPEATS};
use super::journal::{Plan, Prepared, pipelined, rows, say};
use super::listen::News;
use super::values::{Text, clean};
use crate::tables::inbound;
use crate::{Commit, CommitError, Committed};

/// The most commits of one transaction.
const BATCH_COMMITS: usize = 1_024;
/// A transaction takes no further commit once its events hold this many bytes.
const BATCH_BYTES: usize = 8 << 20;

const CLAIM_ALL: &str = "INSERT INTO inbound_seen (source, dedupe_key, inbound_id, seen_at) \
     SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) \
     ON CONFLICT DO NOTHING RETURNING source, dedupe_key";

/// A commit that waits.
pub(super) struct Job {
    pub(super) commit: Commit,
    pub(super) reply: oneshot::Sender<Result<Committed, CommitError>>,
    pub(super) ticket: Ticket,
}

/// Takes jobs until their queue is closed.
pub(super) struct Appender {
    pub(super) connector: Arc<Connector>,
    pub(super) jobs: UnboundedReceiver<Job>,
    pub(super) news: Arc<News>,
    pub(super) n_shards: Shard,
}

/// The outcome of a group that was applied.
struct Applied {
    answers: Vec<Committed>,
    moved: Vec<(Shard, Seq)>,
}

impl Appender {
    pub(super) async fn run(mut self) {
        let mut session = None;
        // Waits for the first job only; whatever else is there already joins it.
        while let Some(first) = self.jobs.recv().await {
            let mut n_bytes = size(&first);
            let mut group = vec![first];
            while group.len() < BATCH_COMMITS && n_bytes < BATCH_BYTES {
                let Ok(job) = self.jobs.try_recv() else { break };
                n_bytes += size(&job);
                group.push(job);
            }
            self.apply(&mut session, group).await;
        }
    }

    /// Applies a group and answers everybody in it.
    async fn apply(&self, session: &mut Option<Session>, group: Vec<Job>) {
        let mut waiting = vec![group];
        while let Some(mut group) = waiting.pop() {
            match self.apply_repeatedly(session, &group).await {
                Ok(applied) => {
                    self.news.tell(&applied.moved);
                    for (job, committed) in group.into_iter().zip(applied.answers) {
                        answer(job, Ok(committed));
                    }
                }
                Err(fault) if group.len() > 1 && fault.blames_commit() => {
                    waiting.push(group.split_off(group.len() / 2));
                    waiting.push(group);
                }
                Err(fault) => answer_all(group, fault),
            }
        }
    }

    async fn apply_repeatedly(&self, slot: &mut Option<Session>, group: &[Job]) -> Result<Applied, Fault> {
        let mut n_repeats = 0;
        loop {
            let session = match slot.take().filter(|session| !session.client.is_closed()) {
                Some(session) => session,
                None => self
                    .connector
                    .session()
                    .await
                    .map_err(|source| Fault::Refused(CommitError::Unavailable(source)))?,
            };
            match session.within(SILENCE, transaction(&session, group, self.n_shards)).await {
                Ok(applied) => {
                    *slot = Some(session);
                    return Ok(applied);
                }
                Err(fault) => {
                    if session.reset(&fault).await {
                        *slot = Some(session);
                    }
                    if n_repeats == MAX_REPEATS || !fault.may_repeat() {
                        return Err(fault);
                    }
                    n_repeats += 1;
                }
            }
        }
    }
}

fn size(job: &Job) -> usize {
    job.commit.events.iter().map(|new| new.event.data.len_bytes()).sum()
}

fn answer(job: Job, result: Result<Committed, CommitError>) {
    // A task that stopped waiting needs no answer.
    drop(job.reply.send(result));
    drop(job.ticket);
}

/// Gives everybody in a group the same error.
fn answer_all(group: Vec<Job>, fault: Fault) {
    let error = fault.into_commit_error();
    let n_commits = group.len();
    tracing::debug!(error = %error, n_commits, "group of appends failed and was undone");
    let text = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
    for job in group {
        let copy = match &error {
            CommitError::Full => CommitError::Full,
            CommitError::Constraint(_) => CommitError::Constraint(text.clone().into()),
            _ => CommitError::Unavailable(text.clone().into()),
        };
        answer(job, Err(copy));
    }
}

/// The dedupe keys of a group.
#[derive(Default)]
struct Keys<'a> {
    /// First job with each key.
    first: HashMap<(std::borrow::Cow<'a, str>, std::borrow::Cow<'a, str>), usize>,
    /// Jobs whose key an earlier job of the group has: job and that earlier one.
    repeats: HashMap<usize, usize>,
}

impl<'a> Keys<'a> {
    fn of(group: &'a [Job]) -> Self {
        let mut keys = Self::default();
        for (index, job) in group.iter().enumerate() {
            let Some(seen) = &job.commit.seen else { continue };
            let key = (clean(&seen.source), clean(&seen.key));
            match keys.first.entry(key) {
                std::collections::hash_map::Entry::Occupied(first) => {
                    keys.repeats.insert(index, *first.get());
                }
                std::collections::hash_map::Entry::Vacant(free) => {
                    free.insert(index);
                }
            }
        }
        keys
    }

    /// The keys to claim as columns, sorted: every transaction claims in the same order.
    fn columns(&self, group: &'a [Job]) -> Vec<Box<dyn ToSql + Sync + Send + 'a>> {
        let mut sorted: Vec<_> = self.first.iter().collect();
        sorted.sort();
        let seen: Vec<_> =
            sorted.iter().filter_map(|(_, index)| group[**index].commit.seen.as_ref()).collect();
        vec![
            Box::new(seen.iter().map(|seen| Text(Some(&seen.source))).collect::<Vec<_>>()),
            Box::new(seen.iter().map(|seen| Text(Some(&seen.key))).collect::<Vec<_>>()),
            Box::new(seen.iter().map(|seen| Text(Some(&seen.inbound_id))).collect::<Vec<_>>()),
            Box::new(seen.iter().map(|seen| seen.seen_at.as_micros()).collect::<Vec<_>>()),
        ]
    }
}

/// Applies a group in one transaction.
async fn transaction(session: &Session, group: &[Job], n_shards: Shard) -> Result<Applied, Fault> {
    let prepared = Prepared::on(session).await?;
    let keys = Keys::of(group);
    let owners: Vec<usize> = (0..group.len()).filter(|job| !group[*job].commit.events.is_empty()).collect();
    let plan = Plan::new(group.iter().flat_map(|job| &job.commit.events), n_shards);
    let mut requests = vec![say(session, "BEGIN")];
    if !keys.first.is_empty() {
        requests.push(rows(session, session.prepare(CLAIM_ALL).await?, keys.columns(group)));
    }
    if !plan.is_empty() {
        requests.extend(plan.lock(session, &prepared));
    }
    let mut answers = Vec::with_capacity(4);
    for answer in pipelined(requests).await {
        answers.push(answer?.rows());
    }
    let mut answers = answers.into_iter().skip(1);
    let mut next = || answers.next().unwrap_or_default();
    let known_keys =
        if keys.first.is_empty() { HashMap::new() } else { repeats(session, group, &keys, &next()).await? };
    let (heads, known) = (next(), next());
    let is_repeat = |job: &usize| keys.repeats.contains_key(job) || known_keys.contains_key(job);
    let placement = plan.place(&heads, &known, |event| !is_repeat(&owners[event]))?;
    let extensions = placement.extensions();
    let mut requests = placement.write(session, &prepared, &extensions);
    requests.push(say(session, "COMMIT"));
    for answer in pipelined(requests).await {
        answer.map_err(Fault::in_last_round)?;
    }
    let mut places = placement.places.iter();
    let answers = (0..group.len()).map(|job| {
        let place = if group[job].commit.events.is_empty() { None } else { places.next().copied().flatten() };
        let first = *keys.repeats.get(&job).unwrap_or(&job);
        match (known_keys.get(&first), &group[first].commit.seen) {
            (Some(inbound_id), _) => Committed::Repeat { inbound_id: inbound_id.clone() },
            (None, Some(seen)) if first != job => Committed::Repeat { inbound_id: seen.inbound_id.clone() },
            _ => Committed::Applied(place.into_iter().collect()),
        }
    });
    Ok(Applied { answers: answers.collect(), moved: placement.moved.iter().map(|(a, b)| (*a, *b)).collect() })
}

/// The jobs whose keys were claimed by earlier transactions, with the ids of the calls that did.
async fn repeats(
    session: &Session,
    group: &[Job],
    keys: &Keys<'_>,
    claimed: &[tokio_postgres::Row],
) -> Result<HashMap<usize, String>, Fault> {
    let mut repeats = HashMap::new();
    if claimed.len() == keys.first.len() {
        return Ok(repeats);
    }
    let mut ours: HashSet<(&str, &str)> = HashSet::with_capacity(claimed.len());
    for row in claimed {
        ours.insert((row.try_get(0)?, row.try_get(1)?));
    }
    let find = session.prepare(inbound::FIRST_WITH_KEY).await?;
    let (mut jobs, mut requests) = (Vec::new(), Vec::new());
    for (key, job) in &keys.first {
        if let (false, Some(seen)) = (ours.contains(&(&*key.0, &*key.1)), &group[*job].commit.seen) {
            jobs.push(*job);
            let params: [Box<dyn ToSql + Sync + Send>; 2] =
                [Box::new(Text(Some(&seen.source))), Box::new(Text(Some(&seen.key)))];
            requests.push(rows(session, find.clone(), params.into()));
        }
    }
    for (job, answer) in jobs.into_iter().zip(pipelined(requests).await) {
        let rows = answer?.rows();
        let inbound_id = rows.first().map_or(Ok(String::new()), |row| row.try_get(0))?;
        repeats.insert(job, inbound_id);
    }
    Ok(repeats)
}
