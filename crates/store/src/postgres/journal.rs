//! Appending events inside a transaction: the part that group commits and single transactions share.
//!
//! First round: [`Plan::lock`] locks the heads of the touched shards, in shard order, and asks which events are there
//! already. Second round: [`Plan::place`] numbers the others without a gap, in the order given, and
//! [`Placement::write`] stores them, the heads and the usage figures. The lock on a shard's head makes its events become
//! visible in the order of their seq: a reader's cursor can never run past one that is still to come.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::pin::Pin;

use futures_util::future::{MaybeDone, maybe_done};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row, Statement};
use trunkline_model::{Seq, Shard};

use super::connect::Session;
use super::values::{Column, Text, clean};
use crate::tables::event;
use crate::value::BorrowedValue;
use crate::{Appended, NewEvent};

const LOCK_HEADS: &str =
    "SELECT shard, seq FROM journal_heads WHERE shard = ANY($1) ORDER BY shard FOR UPDATE";

/// The sub-query with LIMIT keeps one index look-up per key, whatever the planner thinks of the table's size.
const FIND_KNOWN: &str = "SELECT k.n, e.shard, e.seq \
     FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS k (id, tenant, source, n) \
     CROSS JOIN LATERAL (SELECT shard, seq FROM events \
     WHERE events.id = k.id AND events.tenant = k.tenant AND events.source = k.source LIMIT 1) AS e";

const INSERT_FROM: &str = " SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], \
     $6::text[], $7::text[], $8::bigint[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], \
     $14::text[], $15::text[], $16::text[], $17::bigint[], $18::bytea[], $19::text[])";

const MOVE_HEADS: &str = "UPDATE journal_heads SET seq = moved.seq \
     FROM unnest($1::bigint[], $2::bigint[]) AS moved (shard, seq) WHERE journal_heads.shard = moved.shard";

pub(super) const ADD_USAGE: &str = "INSERT INTO tenant_usage (tenant, shard, n_events, n_bytes) \
     SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[]) \
     ON CONFLICT (tenant, shard) DO UPDATE SET n_events = tenant_usage.n_events + excluded.n_events, \
     n_bytes = tenant_usage.n_bytes + excluded.n_bytes";

/// One request on its way; polled once it is sent.
pub(super) type Request<'a> = Pin<Box<dyn Future<Output = Result<Answer, Error>> + Send + 'a>>;

/// What came back for a request.
pub(super) enum Answer {
    Rows(Vec<Row>),
    Touched(u64),
}

impl Answer {
    pub(super) fn rows(self) -> Vec<Row> {
        match self {
            Self::Rows(rows) => rows,
            Self::Touched(_) => Vec::new(),
        }
    }

    pub(super) fn touched(&self) -> u64 {
        match self {
            Self::Rows(rows) => rows.len() as u64,
            Self::Touched(n) => *n,
        }
    }
}

/// Asks for rows.
pub(super) fn rows<'a>(
    session: &'a Session,
    statement: Statement,
    params: Vec<Box<dyn ToSql + Sync + Send + 'a>>,
) -> Request<'a> {
    Box::pin(async move {
        let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|param| &**param as _).collect();
        session.client.query(&statement, &params).await.map(Answer::Rows)
    })
}

/// Runs a statement for its effect.
pub(super) fn touch<'a>(
    session: &'a Session,
    statement: Statement,
    params: Vec<Box<dyn ToSql + Sync + Send + 'a>>,
) -> Request<'a> {
    Box::pin(async move {
        let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|param| &**param as _).collect();
        session.client.execute(&statement, &params).await.map(Answer::Touched)
    })
}

/// Turns rows into columns for `unnest`; `empty` makes the column at a position.
pub(super) fn columns<'a, const N: usize>(
    rows: impl Iterator<Item = [BorrowedValue<'a>; N]>,
    empty: impl FnMut(usize) -> Column<'a>,
) -> Vec<Box<dyn ToSql + Sync + Send + 'a>> {
    let mut columns: Vec<Column<'a>> = (0..N).map(empty).collect();
    for values in rows {
        for (column, value) in columns.iter_mut().zip(values) {
            column.push(value);
        }
    }
    columns.into_iter().map(|column| Box::new(column) as _).collect()
}

/// Sends a statement without parameters or answer, such as BEGIN.
pub(super) fn say<'a>(session: &'a Session, text: &'static str) -> Request<'a> {
    Box::pin(async move { session.client.batch_execute(text).await.map(|()| Answer::Touched(0)) })
}

/// Sends all requests at once, in this order, and gives the answers in the same order.
pub(super) async fn pipelined(requests: Vec<Request<'_>>) -> Vec<Result<Answer, Error>> {
    let mut sent: Vec<MaybeDone<Request<'_>>> = requests.into_iter().map(maybe_done).collect();
    // The first poll puts a request on the wire.
    std::future::poll_fn(|cx| {
        for request in &mut sent {
            let _ = Pin::new(request).poll(cx);
        }
        std::task::Poll::Ready(())
    })
    .await;
    let mut answers = Vec::with_capacity(sent.len());
    for mut request in sent {
        Pin::new(&mut request).await;
        answers
            .push(Pin::new(&mut request).take_output().expect("invariant: a finished request has an answer"));
    }
    answers
}

/// The statements of an append, prepared.
pub(super) struct Prepared {
    lock_heads: Statement,
    find_known: Statement,
    insert: Statement,
    move_heads: Statement,
    add_usage: Statement,
}

impl Prepared {
    pub(super) async fn on(session: &Session) -> Result<Self, Error> {
        let insert = format!("INSERT INTO events ({}){INSERT_FROM}", event::COLUMNS);
        Ok(Self {
            lock_heads: session.prepare(LOCK_HEADS).await?,
            find_known: session.prepare(FIND_KNOWN).await?,
            insert: session.prepare(&insert).await?,
            move_heads: session.prepare(MOVE_HEADS).await?,
            add_usage: session.prepare(ADD_USAGE).await?,
        })
    }
}

/// The events of one transaction, in the order in which they are to be numbered.
pub(super) struct Plan<'a> {
    events: Vec<(Shard, &'a NewEvent)>,
}

impl<'a> Plan<'a> {
    pub(super) fn new(events: impl Iterator<Item = &'a NewEvent>, n_shards: Shard) -> Self {
        Self { events: events.map(|new| (new.event.shard(n_shards), new)).collect() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// The two requests whose answers [`Self::place`] needs.
    pub(super) fn lock<'s>(&self, session: &'s Session, prepared: &Prepared) -> [Request<'s>; 2]
    where
        'a: 's,
    {
        let shards: BTreeSet<Shard> = self.events.iter().map(|(shard, _)| *shard).collect();
        let column = |part: fn(&'a NewEvent) -> &'a str| -> Box<dyn ToSql + Sync + Send + 's> {
            Box::new(self.events.iter().map(|(_, new)| Text(Some(part(new)))).collect::<Vec<_>>())
        };
        let keys = vec![
            column(|new| new.event.id.as_str()),
            column(|new| new.event.tenant.as_str()),
            column(|new| &new.event.source),
        ];
        let shards: Vec<Shard> = shards.into_iter().collect();
        [
            rows(session, prepared.lock_heads.clone(), vec![Box::new(shards)]),
            rows(session, prepared.find_known.clone(), keys),
        ]
    }

    /// Numbers the events for which `is_wanted` holds.
    pub(super) fn place(
        self,
        heads: &[Row],
        known: &[Row],
        is_wanted: impl Fn(usize) -> bool,
    ) -> Result<Placement<'a>, Error> {
        let mut next: HashMap<Shard, Seq> = HashMap::with_capacity(heads.len());
        for row in heads {
            next.insert(row.try_get(0)?, row.try_get(1)?);
        }
        let mut there: HashMap<usize, (Shard, Seq)> = HashMap::with_capacity(known.len());
        for row in known {
            there.insert((row.try_get::<_, i64>(0)? - 1) as usize, (row.try_get(1)?, row.try_get(2)?));
        }
        let mut placement =
            Placement { places: Vec::with_capacity(self.events.len()), ..Placement::default() };
        let mut in_batch = HashMap::with_capacity(self.events.len());
        for (index, (shard, new)) in self.events.into_iter().enumerate() {
            if !is_wanted(index) {
                placement.places.push(None);
                continue;
            }
            let event = &new.event;
            let key = (clean(event.id.as_str()), &event.tenant, clean(&event.source));
            let earlier = there.get(&index).or_else(|| in_batch.get(&key)).copied();
            if let Some((shard, seq)) = earlier {
                placement.places.push(Some(Appended { shard, seq, is_duplicate: true }));
                continue;
            }
            let seq = next.entry(shard).or_default();
            *seq += 1;
            in_batch.insert(key, (shard, *seq));
            placement.moved.insert(shard, *seq);
            let used = placement.usage.entry((event.tenant.as_str(), shard)).or_default();
            used.0 += 1;
            used.1 += event::stored_bytes(new);
            placement.fresh.push((shard, *seq, new));
            placement.places.push(Some(Appended { shard, seq: *seq, is_duplicate: false }));
        }
        // Every transaction adds to the unique index in one order, so that two never wait for each other.
        placement.fresh.sort_by(|(_, _, a), (_, _, b)| a.event.id.cmp(&b.event.id));
        Ok(placement)
    }
}

/// Events with their numbers.
#[derive(Default)]
pub(super) struct Placement<'a> {
    /// For each event its place; `None` when it was not wanted.
    pub(super) places: Vec<Option<Appended>>,
    /// The new heads.
    pub(super) moved: BTreeMap<Shard, Seq>,
    fresh: Vec<(Shard, Seq, &'a NewEvent)>,
    usage: BTreeMap<(&'a str, Shard), (i64, i64)>,
}

impl Placement<'_> {
    /// The requests that store the events; none when nothing is new.
    pub(super) fn write<'s>(
        &'s self,
        session: &'s Session,
        prepared: &Prepared,
        extensions: &'s [Option<String>],
    ) -> Vec<Request<'s>> {
        if self.fresh.is_empty() {
            return Vec::new();
        }
        let values = |((shard, seq, new), extensions): (&(Shard, Seq, &'s NewEvent), &'s Option<String>)| {
            event::columns(new, *shard, *seq, extensions.as_deref())
        };
        let columns = columns(self.fresh.iter().zip(extensions).map(values), |index| match index {
            0..=2 | 7 | 16 => Column::Ints(Vec::with_capacity(self.fresh.len())),
            17 => Column::Blobs(Vec::with_capacity(self.fresh.len())),
            _ => Column::Texts(Vec::with_capacity(self.fresh.len())),
        });
        let (shards, seqs): (Vec<Shard>, Vec<Seq>) = self.moved.iter().unzip();
        let tenants: Vec<Text<'s>> = self.usage.keys().map(|(tenant, _)| Text(Some(tenant))).collect();
        let used_shards: Vec<Shard> = self.usage.keys().map(|(_, shard)| *shard).collect();
        let (n_events, n_bytes): (Vec<i64>, Vec<i64>) = self.usage.values().copied().unzip();
        vec![
            touch(session, prepared.insert.clone(), columns),
            touch(session, prepared.move_heads.clone(), vec![Box::new(shards), Box::new(seqs)]),
            touch(
                session,
                prepared.add_usage.clone(),
                vec![Box::new(tenants), Box::new(used_shards), Box::new(n_events), Box::new(n_bytes)],
            ),
        ]
    }

    /// The extension attributes of the new events as JSON, for [`Self::write`].
    pub(super) fn extensions(&self) -> Vec<Option<String>> {
        self.fresh.iter().map(|(_, _, new)| event::extensions_json(&new.event)).collect()
    }
}
