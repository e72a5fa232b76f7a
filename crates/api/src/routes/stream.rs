//! `/api/v1/events/stream`: events as they are stored, as server-sent events.
//!
//! A stream is a pull: the next batch is read when the client has taken the one before, so a slow client holds one batch
//! and nothing piles up. It ends when the hub drains, when the token has stopped working (looked at each minute), and
//! when the store cannot be read; clients come back by themselves and go on behind the last id they have seen.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::Response;
use futures_util::future::select_all;
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;
use trunkline_model::{ErrorCode, FieldError, Pattern, Seq, Tenant, TokenId};
use trunkline_store::ReadError;
use trunkline_store::tables::token::token_get;

use super::events::show;
use crate::auth::{Permit, grants, token};
use crate::input::{Field, Kind, Query, Text};
use crate::openapi::{Answer, Operation};
use crate::problem::Problem;
use crate::state::ApiState;
use crate::tail::{self, Cursor};

/// A comment is sent after this long without an event, so that nothing in between takes the connection for dead.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How often the token is looked at.
const RECHECK: Duration = Duration::from_mins(1);
/// Streams that a tenant may have open on this hub.
const MAX_STREAMS: usize = 20;
/// Events of one batch.
const BATCH: usize = 50;
/// Patterns of one stream.
const MAX_PATTERNS: usize = 20;

static QUERY: &[Field] = &[Field::required(
    "events",
    Kind::Text(Text {
        min: 1,
        max: 2048,
        pattern: "^[A-Za-z0-9_.*,-]+$",
        accepts: |text| patterns(text).is_some(),
        rule: "must be up to 20 patterns such as order.* or **, separated by commas",
    }),
    "Patterns of the event types wanted, separated by commas; `**` for all.",
)];

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::get("/api/v1/events/stream", "streamEvents", open)
            .about("events", "Follows events as they are stored, as server-sent events")
            .details(
                "Each event is `data`, a CloudEvent, with an `id` behind which a later stream goes on when it is sent as \
                 `Last-Event-ID`; without that header the stream begins now. At least once, in order for each key. A comment \
                 comes every 15 seconds when there is nothing else. The stream ends when the hub stops or the token does. A \
                 tenant may have 20 streams open on one hub.",
            )
            .permit::<grants::EventsRead>()
            .query(QUERY)
            .answer(Answer::text("text/event-stream", "Events, until one side ends it."))
            .problems(&[ErrorCode::RequestRateLimited]),
    ]
}

fn patterns(text: &str) -> Option<Vec<Pattern>> {
    let all: Option<Vec<Pattern>> = text.split(',').map(|part| Pattern::parse(part).ok()).collect();
    all.filter(|all| all.len() <= MAX_PATTERNS)
}

/// How many streams each tenant has open.
#[derive(Debug, Default, Clone)]
pub(crate) struct StreamSlots(Arc<Mutex<HashMap<Tenant, usize>>>);

impl StreamSlots {
    fn take(&self, tenant: &Tenant) -> Option<StreamSlot> {
        let mut open = self.0.lock();
        let n_open = open.entry(tenant.clone()).or_default();
        (*n_open < MAX_STREAMS).then(|| {
            *n_open += 1;
            StreamSlot { slots: self.clone(), tenant: tenant.clone() }
        })
    }
}

/// One open stream; given back when dropped.
#[derive(Debug)]
struct StreamSlot {
    slots: StreamSlots,
    tenant: Tenant,
}

impl Drop for StreamSlot {
    fn drop(&mut self) {
        let mut open = self.slots.0.lock();
        if let Some(n_open) = open.get_mut(&self.tenant) {
            *n_open -= 1;
            if *n_open == 0 {
                open.remove(&self.tenant);
            }
        }
    }
}

async fn open(
    permit: Permit<grants::EventsRead>,
    State(state): State<ApiState>,
    Query(query): Query,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let patterns = query.text("events").as_deref().and_then(patterns).unwrap_or_default();
    let cursor = match headers.get("last-event-id") {
        None => Cursor::end(state.store()).await?,
        Some(value) => {
            let n_shards = state.store().n_shards();
            let text = value.to_str().unwrap_or_default();
            Cursor::parse(text, &permit.tenant, n_shards).ok_or_else(|| {
                let detail = "is not an id of this stream";
                Problem::invalid(vec![FieldError::new("header:last-event-id", "invalid", detail)])
            })?
        }
    };
    let slot = state.streams().take(&permit.tenant).ok_or_else(|| {
        Problem::new(ErrorCode::RequestRateLimited)
            .with_detail(format!("at most {MAX_STREAMS} streams may be open; end one first"))
    })?;
    let heads = (0..state.store().n_shards()).filter_map(|shard| state.store().watch_head(shard)).collect();
    let now = Instant::now();
    let follower = Follower {
        tenant: permit.tenant,
        token_id: permit.token_id,
        patterns,
        cursor,
        heads,
        quiet_since: now,
        checked_at: now,
        is_new: true,
        _slot: slot,
        state,
    };
    let body = stream::unfold(Some(follower), |follower| async move {
        let (chunk, follower) = follower?.next().await;
        Some((Ok::<_, std::convert::Infallible>(chunk), follower))
    });
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies that gather answers would hold events back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// One open stream's side of the journal.
struct Follower {
    state: ApiState,
    tenant: Tenant,
    token_id: TokenId,
    patterns: Vec<Pattern>,
    cursor: Cursor,
    heads: Vec<watch::Receiver<Seq>>,
    quiet_since: Instant,
    checked_at: Instant,
    is_new: bool,
    _slot: StreamSlot,
}

impl Follower {
    /// The next bytes, and the follower when there can be more.
    async fn next(mut self) -> (Bytes, Option<Self>) {
        if std::mem::take(&mut self.is_new) {
            // Sent at once, so that the client knows that it is connected.
            return (Bytes::from_static(b"retry: 2000\n\n"), Some(self));
        }
        loop {
            match self.step().await {
                Ok(Some(Sent::More(bytes))) => {
                    self.quiet_since = Instant::now();
                    return (bytes, Some(self));
                }
                Ok(Some(Sent::Last(comment))) => return (Bytes::from_static(comment), None),
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(error = ?error, "event stream ended: the store cannot be read");
                    return (Bytes::from_static(b": try again later\n\n"), None);
                }
            }
        }
    }

    async fn step(&mut self) -> Result<Option<Sent>, ReadError> {
        if self.state.is_draining() {
            return Ok(Some(Sent::Last(b": the hub is stopping\n\n")));
        }
        if self.checked_at.elapsed() >= RECHECK {
            if !self.may_go_on().await? {
                return Ok(Some(Sent::Last(b": the token has stopped working\n\n")));
            }
            self.checked_at = Instant::now();
        }
        // Seen before the read: what comes later wakes the wait below.
        for head in &mut self.heads {
            head.borrow_and_update();
        }
        let wanted = (&self.tenant, self.patterns.as_slice());
        let batch = tail::read(self.state.store(), wanted, self.cursor.clone(), BATCH).await?;
        self.cursor = batch.cursor;
        if !batch.items.is_empty() {
            let mut text = String::new();
            for (record, cursor) in &batch.items {
                let (id, data) = (cursor.to_text(&self.tenant), show(record));
                // JSON has line breaks between its parts only, where a space does as well.
                let data = data.get().replace(['\n', '\r'], " ");
                text.extend(["id: ", &id, "\ndata: ", &data, "\n\n"]);
            }
            return Ok(Some(Sent::More(text.into())));
        }
        if batch.has_more {
            return Ok(None);
        }
        Ok(self.wait().await)
    }

    /// Waits for something to do.
    async fn wait(&mut self) -> Option<Sent> {
        let beat_at = self.quiet_since + HEARTBEAT;
        let check_at = self.checked_at + RECHECK;
        let grown = select_all(self.heads.iter_mut().map(|head| Box::pin(head.changed())));
        tokio::select! {
            () = self.state.draining.cancelled() => None,
            (changed, ..) = grown => {
                // The store is closed.
                changed.is_err().then_some(Sent::Last(b": the hub is stopping\n\n"))
            }
            () = tokio::time::sleep_until(check_at) => None,
            () = tokio::time::sleep_until(beat_at) => Some(Sent::More(Bytes::from_static(b":\n\n"))),
        }
    }

    async fn may_go_on(&self) -> Result<bool, ReadError> {
        let row = token_get(self.state.store(), self.token_id.as_str()).await?;
        Ok(row.is_some_and(|row| token::is_live(&row, self.state.now())))
    }
}

/// What a step gives to the client.
enum Sent {
    /// And then on.
    More(Bytes),
    /// And no more.
    Last(&'static [u8]),
}
