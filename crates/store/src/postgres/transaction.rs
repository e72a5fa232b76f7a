//! One commit as one transaction: fence, dedupe key, statements, events, cursors.
//!
//! Everything up to the answer "it may be committed" goes out in one round trip, everything after it with COMMIT in a
//! second one. A COMMIT behind a failed statement is a rollback for PostgreSQL, so sending it early is safe.

use std::collections::BTreeMap;

use tokio_postgres::Statement as PreparedStatement;
use tokio_postgres::types::ToSql;
use trunkline_model::{Seq, Shard};

use super::connect::Session;
use super::fault::Fault;
use super::journal::{ADD_USAGE, Placement, Plan, Prepared, Request, columns, pipelined, rows, say, touch};
use super::values::{Column, Text};
use crate::commit::placed;
use crate::tables::delivery::DeliveryRow;
use crate::tables::{consumer, delivery, inbound, lease, usage};
use crate::{Appended, Commit, CommitError, Committed, Expect, Seen, Statement, Value};

/// What became of a commit and which heads it moved.
pub(super) struct Outcome {
    pub(super) committed: Committed,
    pub(super) moved: Vec<(Shard, Seq)>,
}

/// Applies a commit. After a fault the connection may still be inside the transaction.
pub(super) async fn apply(session: &Session, commit: &Commit, n_shards: Shard) -> Result<Outcome, Fault> {
    let mut plan = Plan::new(commit.events.iter(), n_shards);
    let appends = if plan.is_empty() { None } else { Some(Prepared::on(session).await?) };
    let mut requests = first_round(session, commit).await?;
    if let Some(prepared) = &appends {
        requests.extend(plan.lock(session, prepared));
    }
    let mut answers = pipelined(requests).await.into_iter();
    let mut next = || answers.next().expect("invariant: every request has an answer").map_err(Fault::Undone);
    next()?;
    if let Some(fence) = &commit.fence
        && next()?.rows().is_empty()
    {
        return Err(Fault::Refused(CommitError::Fenced { shard: fence.shard }));
    }
    if let Some(seen) = &commit.seen
        && next()?.touched() == 0
    {
        return repeat(session, seen).await;
    }
    for (index, statement) in commit.statements.iter().enumerate() {
        check(index, statement, next()?.touched())?;
    }
    if !commit.deliveries.is_empty() {
        next()?;
        next()?;
    }
    let mut placement = Placement::default();
    if appends.is_some() {
        let (heads, known) = (next()?.rows(), next()?.rows());
        placement = std::mem::replace(&mut plan, Plan::new(std::iter::empty(), n_shards)).place(
            &heads,
            &known,
            |_| true,
        )?;
    }
    let extensions = placement.extensions();
    let places: Vec<Appended> = placement.places.iter().copied().flatten().collect();
    let own = placed(&commit.own_deliveries, &places);
    let mut requests = Vec::new();
    if let Some(prepared) = &appends {
        requests.extend(placement.write(session, prepared, &extensions));
    }
    requests.extend(insert_deliveries(session, &own).await?);
    if !commit.cursors.is_empty() {
        let prepared = session.prepare(consumer::MOVE_CURSOR).await?;
        for cursor in &commit.cursors {
            let params: [Box<dyn ToSql + Sync + Send>; 3] =
                [Box::new(Text(Some(&cursor.consumer))), Box::new(cursor.shard), Box::new(cursor.seq)];
            requests.push(touch(session, prepared.clone(), params.into()));
        }
    }
    requests.push(say(session, "COMMIT"));
    for answer in pipelined(requests).await {
        answer.map_err(Fault::in_last_round)?;
    }
    let committed = Committed::Applied(places);
    Ok(Outcome { committed, moved: placement.moved.into_iter().collect() })
}

/// BEGIN, the fence, the dedupe key, the statements and the deliveries.
async fn first_round<'s>(session: &'s Session, commit: &'s Commit) -> Result<Vec<Request<'s>>, Fault> {
    let mut prepared: Vec<PreparedStatement> = Vec::with_capacity(commit.statements.len());
    for statement in &commit.statements {
        prepared.push(session.prepare(&statement.sql).await?);
    }
    let mut requests = vec![say(session, "BEGIN")];
    if let Some(fence) = &commit.fence {
        let check = session.prepare(&format!("{} FOR SHARE", lease::CHECK_FENCE)).await?;
        let params: [Box<dyn ToSql + Sync + Send>; 3] =
            [Box::new(fence.shard), Box::new(Text(Some(&fence.owner))), Box::new(fence.epoch)];
        requests.push(rows(session, check, params.into()));
    }
    if let Some(seen) = &commit.seen {
        let claim = session.prepare(inbound::CLAIM).await?;
        let params: [Box<dyn ToSql + Sync + Send>; 4] = [
            Box::new(Text(Some(&seen.source))),
            Box::new(Text(Some(&seen.key))),
            Box::new(Text(Some(&seen.inbound_id))),
            Box::new(seen.seen_at.as_micros()),
        ];
        requests.push(touch(session, claim, params.into()));
    }
    for (statement, prepared) in commit.statements.iter().zip(prepared) {
        requests.push(run(session, prepared, &statement.params));
    }
    requests.extend(insert_deliveries(session, &commit.deliveries).await?);
    Ok(requests)
}

/// The requests that store deliveries and count them; none when there are none.
async fn insert_deliveries<'s>(
    session: &'s Session,
    deliveries: &'s [DeliveryRow],
) -> Result<Vec<Request<'s>>, Fault> {
    if deliveries.is_empty() {
        return Ok(Vec::new());
    }
    let insert = session.prepare(delivery::INSERT_ALL).await?;
    let columns = columns(deliveries.iter().map(delivery::columns), |index| {
        if delivery::INT_COLUMNS.contains(&index) {
            Column::Ints(Vec::with_capacity(deliveries.len()))
        } else {
            Column::Texts(Vec::with_capacity(deliveries.len()))
        }
    });
    let add = session.prepare(ADD_USAGE).await?;
    Ok(vec![touch(session, insert, columns), touch(session, add, usage_of(deliveries))])
}

/// What deliveries add to their tenants' figures as columns, sorted: every transaction adds in the same order.
fn usage_of(deliveries: &[DeliveryRow]) -> Vec<Box<dyn ToSql + Sync + Send + '_>> {
    let mut n_bytes: BTreeMap<(&str, Shard), i64> = BTreeMap::new();
    for row in deliveries {
        let shard = usage::attempts_shard(row.shard);
        *n_bytes.entry((row.tenant.as_str(), shard)).or_default() += delivery::stored_bytes(row);
    }
    vec![
        Box::new(n_bytes.keys().map(|(tenant, _)| Text(Some(tenant))).collect::<Vec<_>>()),
        Box::new(n_bytes.keys().map(|(_, shard)| *shard).collect::<Vec<_>>()),
        Box::new(vec![0_i64; n_bytes.len()]),
        Box::new(n_bytes.into_values().collect::<Vec<_>>()),
    ]
}

/// Runs a statement for its effect.
fn run<'s>(session: &'s Session, prepared: PreparedStatement, params: &'s [Value]) -> Request<'s> {
    Box::pin(async move {
        let params = params.iter().map(|param| param as &(dyn ToSql + Sync));
        session.client.execute_raw(&prepared, params).await.map(super::journal::Answer::Touched)
    })
}

fn check(index: usize, statement: &Statement, touched: u64) -> Result<(), Fault> {
    match statement.expect {
        Expect::Rows(expected) if touched != expected => {
            Err(Fault::Refused(CommitError::Guard { statement: index, expected, touched }))
        }
        _ => Ok(()),
    }
}

/// Undoes the transaction and finds the call that claimed the key first.
async fn repeat(session: &Session, seen: &Seen) -> Result<Outcome, Fault> {
    session.client.batch_execute("ROLLBACK").await?;
    let find = session.prepare(inbound::FIRST_WITH_KEY).await?;
    let row = session.client.query_opt(&find, &[&Text(Some(&seen.source)), &Text(Some(&seen.key))]).await?;
    let inbound_id = match row {
        Some(row) => row.try_get(0)?,
        // Forgotten between the two statements: as old a repeat as there can be.
        None => String::new(),
    };
    Ok(Outcome { committed: Committed::Repeat { inbound_id }, moved: Vec::new() })
}
