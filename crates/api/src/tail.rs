//! Reading the journal from a position on, for callers that keep the position themselves: pollers and streams.
//!
//! A [`Cursor`] holds the last event handled in each shard. Read from it, every event of the tenant comes at least once,
//! and events of one key in their order. Nothing is passed over: a position moves only over events that are committed,
//! since seqs grow without gaps in commit order.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use trunkline_model::{EventRecord, Pattern, Seq, Shard, Tenant, Timestamp};
use trunkline_store::tables::event::{event_at, head_list};
use trunkline_store::tables::poll::{Stretch, event_behind, event_scan};
use trunkline_store::{ReadError, Store};

/// Events of all tenants that one read passes at most.
const MAX_PASSED: i64 = 10_000;
/// Events that are named at once.
const NAMED: i64 = 500;
/// Content bytes of one read, about.
const MAX_BYTES: usize = 4 << 20;
const SUM_LEN: usize = 6;
/// The longest cursor as text.
pub(crate) const MAX_CURSOR_LEN: usize = 4096;
/// How far apart the times of events that stand next to each other may be, generously.
const DISORDER: std::time::Duration = std::time::Duration::from_secs(10);

/// A position in the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// The shard that the next read begins with, so that a busy one does not keep others waiting.
    first: usize,
    /// The last event handled in each shard.
    seqs: Vec<Seq>,
}

impl Cursor {
    /// Before everything.
    pub(crate) fn start(store: &Store) -> Self {
        Self { first: 0, seqs: vec![0; usize::try_from(store.n_shards()).unwrap_or(1)] }
    }

    /// Behind everything stored by now.
    pub(crate) async fn end(store: &Store) -> Result<Self, ReadError> {
        let mut cursor = Self::start(store);
        for (shard, head) in head_list(store).await? {
            if let Some(seq) = cursor.at(shard) {
                *seq = head;
            }
        }
        Ok(cursor)
    }

    /// Before every event stored at or after `since`, and perhaps before a few stored shortly earlier.
    pub(crate) async fn since(store: &Store, since: Timestamp) -> Result<Self, ReadError> {
        let since = since.minus(DISORDER);
        let mut cursor = Self::start(store);
        for (shard, head) in head_list(store).await? {
            let (mut low, mut high) = (0, head);
            while low < high {
                let middle = low + (high - low) / 2;
                match event_behind(store, shard, middle).await? {
                    Some((seq, recorded_at)) if recorded_at < since => low = seq.max(middle + 1),
                    _ => high = middle,
                }
            }
            if let Some(seq) = cursor.at(shard) {
                *seq = low.min(head);
            }
        }
        Ok(cursor)
    }

    fn at(&mut self, shard: Shard) -> Option<&mut Seq> {
        usize::try_from(shard).ok().and_then(|index| self.seqs.get_mut(index))
    }

    /// The form that callers get: not to be read, only to be sent back.
    pub(crate) fn to_text(&self, tenant: &Tenant) -> String {
        let mut place = Vec::with_capacity(2 + self.seqs.len() * 4);
        put(&mut place, self.first as u64);
        for seq in &self.seqs {
            put(&mut place, seq.unsigned_abs());
        }
        let mut bytes = sum(&place, tenant).to_vec();
        bytes.extend(place);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads what [`to_text`](Self::to_text) gave for this tenant and as many shards.
    pub(crate) fn parse(text: &str, tenant: &Tenant, n_shards: Shard) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok().filter(|_| text.len() <= MAX_CURSOR_LEN)?;
        let (given, mut place) = bytes.split_at_checked(SUM_LEN)?;
        if given != sum(place, tenant) {
            return None;
        }
        let first = usize::try_from(take(&mut place)?).ok()?;
        let mut seqs = Vec::new();
        while !place.is_empty() {
            seqs.push(Seq::try_from(take(&mut place)?).ok()?);
        }
        let is_whole = seqs.len() == usize::try_from(n_shards).ok()? && first < seqs.len();
        is_whole.then_some(Self { first, seqs })
    }
}

/// LEB128: positions are mostly small.
fn put(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..63).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Tells a cursor that was altered, or is another tenant's.
fn sum(place: &[u8], tenant: &Tenant) -> [u8; SUM_LEN] {
    let covered = [b"cursor", tenant.as_str().as_bytes(), b"\0", place].concat();
    let mut sum = [0; SUM_LEN];
    sum.copy_from_slice(&digest(&SHA256, &covered).as_ref()[..SUM_LEN]);
    sum
}

/// What one read gave.
#[derive(Debug)]
pub(crate) struct Batch {
    /// Events in the order of reading, each with the position behind it.
    pub(crate) items: Vec<(EventRecord, Cursor)>,
    /// Where the next read goes on.
    pub(crate) cursor: Cursor,
    /// Whether it would find more, or has more to look through.
    pub(crate) has_more: bool,
}

/// Reads a tenant's events behind a cursor whose type one of the patterns selects. Bounded in events looked at, events
/// given and bytes.
pub(crate) async fn read(
    store: &Store,
    (tenant, patterns): (&Tenant, &[Pattern]),
    cursor: Cursor,
    limit: usize,
) -> Result<Batch, ReadError> {
    // Before the events: everything up to here is committed, nothing of it can still be on its way.
    let heads = head_list(store).await?;
    let mut reader =
        Reader { store, tenant, patterns, limit, cursor, items: vec![], n_bytes: 0, n_passed: 0 };
    let n_shards = heads.len();
    let first = reader.cursor.first;
    for index in 0..n_shards {
        let (shard, head) = heads[(first + index) % n_shards];
        if !reader.read_shard(shard, head).await? {
            reader.cursor.first = (first + index + 1) % n_shards;
            break;
        }
    }
    let Reader { items, mut cursor, .. } = reader;
    let has_more = heads.iter().any(|(shard, head)| cursor.at(*shard).is_some_and(|seq| *seq < *head));
    Ok(Batch { items, cursor, has_more })
}

struct Reader<'a> {
    store: &'a Store,
    tenant: &'a Tenant,
    patterns: &'a [Pattern],
    limit: usize,
    cursor: Cursor,
    items: Vec<(EventRecord, Cursor)>,
    n_bytes: usize,
    n_passed: i64,
}

impl Reader<'_> {
    fn is_full(&self) -> bool {
        self.items.len() >= self.limit || self.n_bytes >= MAX_BYTES || self.n_passed >= MAX_PASSED
    }

    /// Reads a shard up to its head; false when something is left because the read is full.
    async fn read_shard(&mut self, shard: Shard, head: Seq) -> Result<bool, ReadError> {
        while let Some(after) = self.cursor.at(shard).map(|seq| *seq).filter(|seq| *seq < head) {
            if self.is_full() {
                return Ok(false);
            }
            let until = head.min(after.saturating_add(MAX_PASSED - self.n_passed));
            let stretch = Stretch { shard, after, until };
            let named = event_scan(self.store, self.tenant, stretch, NAMED).await?;
            let is_all = (named.len() as i64) < NAMED;
            for (seq, event_type) in named {
                if self.is_full() {
                    return Ok(false);
                }
                self.pass(shard, seq);
                if self.patterns.iter().any(|pattern| pattern.matches(&event_type)) {
                    self.take(shard, seq).await?;
                }
            }
            if is_all {
                self.pass(shard, until);
            }
        }
        Ok(true)
    }

    fn pass(&mut self, shard: Shard, to: Seq) {
        if let Some(seq) = self.cursor.at(shard) {
            self.n_passed += to - *seq;
            *seq = to;
        }
    }

    async fn take(&mut self, shard: Shard, seq: Seq) -> Result<(), ReadError> {
        // Retention may have been faster.
        if let Some(record) = event_at(self.store, shard, seq).await? {
            self.n_bytes += record.event.data.len_bytes();
            self.items.push((record, self.cursor.clone()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn cursors_come_back_as_they_were(
            seqs in proptest::collection::vec(0..i64::MAX, 1..65), first in any::<prop::sample::Index>(),
        ) {
            let cursor = Cursor { first: first.index(seqs.len()), seqs };
            let tenant = Tenant::from_stored("a");
            let text = cursor.to_text(&tenant);
            let n_shards = cursor.seqs.len() as Shard;
            prop_assert_eq!(Cursor::parse(&text, &tenant, n_shards), Some(cursor));
            prop_assert_eq!(Cursor::parse(&text, &Tenant::from_stored("b"), n_shards), None);
            prop_assert_eq!(Cursor::parse(&text, &tenant, n_shards + 1), None);
        }

        #[test]
        fn foreign_texts_never_panic(text in "[A-Za-z0-9_-]{0,80}") {
            prop_assert_eq!(Cursor::parse(&text, &Tenant::from_stored("a"), 64), None);
        }
    }
}
