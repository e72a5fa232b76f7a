//! One connection: says hello, then does whatever comes first, until something ends it.
//!
//! ```text
//!   stranger ──auth──► known ──subscribe──► receives ──► closing ──► closed
//!      │ 4408, 4401      │ 4401, 4408, 4409, 1001 … at any time     ▲
//!      └─────────────────┴─────────────────────────────────────────┘
//! ```
//!
//! One task reads and writes. While a write waits for the client nothing is read from it, and its queue fills; when that is full the
//! fan-out ends the connection. Frames that come faster than allowed are read later.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use governor::clock::Clock as _;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Bytes, Error as SocketError, Message};
use trunkline_model::{ErrorCode, Room, Timestamp};

use super::Socket;
use super::frames::{self, Frame, FrameId, Sent, Unreadable, Wish};
use crate::Shared;
use crate::door::{Credential, Refusal};
use crate::ending::Ending;
use crate::fanout::{QueueLimits, Queued, Seat};
use crate::principal::Principal;
use crate::slots::Slot;

/// How long a client may take none of what is sent to it.
const WRITE_WITHIN: Duration = Duration::from_secs(30);
/// How long a client may take to hear that the connection ends.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);
/// Frames without sense that are answered; the next one ends the connection.
const MAX_BAD_FRAMES: usize = 20;
/// Events written together.
const WRITTEN_TOGETHER: usize = 64;
/// A date so far away that it is never.
const NEVER: Duration = Duration::from_hours(24 * 365);

/// What a mark in the queue stands for.
pub(super) enum Mark {
    Heartbeat,
    Subscribed(Option<FrameId>, Vec<Room>),
    Unsubscribed(Option<FrameId>, Vec<Room>),
}

/// A connection whose client is known.
pub(super) struct Session<'a> {
    pub(super) live: &'a Arc<Shared>,
    pub(super) socket: &'a mut Socket,
    pub(super) principal: Principal,
    pub(super) seat: Arc<Seat>,
    queue: mpsc::Receiver<Queued>,
    /// What the marks in the queue stand for, in their order.
    pub(super) marks: VecDeque<Mark>,
    limiter: DefaultDirectRateLimiter,
    /// Until when nothing is read, because too much was, and the frame that was too much.
    read_from: Option<Instant>,
    held: Option<String>,
    n_bad: usize,
    heard_at: Instant,
    beat_at: Instant,
    expires_at: Instant,
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        self.live.fanout.leave_all(&self.seat);
    }
}

/// Waits for a stranger to say who they are.
pub(super) async fn meet<'a>(
    live: &'a Arc<Shared>,
    socket: &'a mut Socket,
    slot: &mut Slot,
) -> Result<Session<'a>, Ending> {
    let first = async {
        loop {
            if let Some(text) = received(socket.next().await)? {
                return Ok(text);
            }
        }
    };
    let text: String = tokio::select! {
        first = timeout(live.limits.auth_timeout, first) => first.map_err(|_| Ending::AuthTimeout)??,
        () = live.draining.cancelled() => return Err(Ending::GoingAway),
    };
    let (id, admitted) = match frames::parse(&text, live.journal.n_shards()) {
        Ok(Frame { id, wish: Wish::Token(token) }) => (id, live.door.admit(Credential::Token(&token)).await),
        Ok(Frame { id, wish: Wish::Ticket(ticket) }) => {
            (id, live.door.admit(Credential::Ticket(&ticket)).await)
        }
        Ok(Frame { id, .. }) => {
            (id, Err(Refusal::new(ErrorCode::AuthMissing, "the first frame must be auth")))
        }
        Err(Unreadable { id, refusal }) => (id, Err(refusal)),
    };
    match admitted {
        Ok(principal) if slot.assign(&principal.tenant) => begin(live, socket, principal, id).await,
        Ok(_) => Err(Ending::TooMany),
        Err(refusal) => {
            live.metrics.count_refused(refusal.code.as_str());
            let frame = Sent::refusal(id.as_ref(), &refusal).to_message();
            let _ = timeout(WRITE_WITHIN, socket.send(frame)).await;
            let is_transient = refusal.code.class().is_transient();
            Err(if is_transient { Ending::Unavailable } else { Ending::Unauthorized })
        }
    }
}

/// Begins the session of somebody who is known.
pub(super) async fn begin<'a>(
    live: &'a Arc<Shared>,
    socket: &'a mut Socket,
    principal: Principal,
    id: Option<FrameId>,
) -> Result<Session<'a>, Ending> {
    let limits = &live.limits;
    let queue_limits = QueueLimits { events: limits.queue_events, bytes: limits.queue_bytes };
    let (tenant, token_id) = (principal.tenant.clone(), principal.token_id.clone());
    let seated = live.fanout.connect(tenant, token_id, queue_limits).await;
    let (seat, queue) = seated.map_err(|error| {
        tracing::debug!(error = ?error, "a live connection cannot begin");
        Ending::Unavailable
    })?;
    let now = Instant::now();
    let per_second = NonZeroU32::new(limits.frames_per_s).unwrap_or(NonZeroU32::MIN);
    let quota = Quota::per_second(per_second).allow_burst(per_second.saturating_add(per_second.get()));
    let mut session = Session {
        live,
        socket,
        expires_at: expiry(live, &principal),
        principal,
        seat,
        queue,
        marks: VecDeque::new(),
        limiter: RateLimiter::direct(quota),
        read_from: None,
        held: None,
        n_bad: 0,
        heard_at: now,
        beat_at: now + limits.heartbeat,
    };
    session.greet(id.as_ref()).await.map(|()| session)
}

/// When a principal's token stops working, by the timer's clock.
fn expiry(live: &Shared, principal: &Principal) -> Instant {
    let left = principal.expires_at.map_or(NEVER, |at| at.since(live.journal.now()).min(NEVER));
    Instant::now() + left
}

/// Tells the client why the connection ends, and waits a moment until it has heard.
pub(super) async fn close(mut socket: Socket, ending: Ending) {
    let bye = async {
        if let Some((code, reason)) = ending.close() {
            let frame = CloseFrame { code: code.into(), reason: reason.into() };
            if socket.close(Some(frame)).await.is_err() {
                return;
            }
        }
        // Until the client has closed as well: a socket let go too early would take the reason with it.
        while let Some(Ok(_)) = socket.next().await {}
    };
    let _ = timeout(CLOSE_WITHIN, bye).await;
}

/// The text of a message, if it is one; why the connection ends, if that is what it says.
fn received(message: Option<Result<Message, SocketError>>) -> Result<Option<String>, Ending> {
    match message {
        Some(Ok(Message::Text(text))) => Ok(Some(text.as_str().to_owned())),
        Some(Ok(Message::Binary(_))) => Err(Ending::Binary),
        Some(Ok(Message::Close(_))) => Err(Ending::Left),
        Some(Ok(_)) => Ok(None),
        Some(Err(SocketError::Capacity(_))) => Err(Ending::TooBig),
        Some(Err(SocketError::Protocol(_) | SocketError::Utf8(_))) => Err(Ending::Protocol),
        Some(Err(_)) | None => Err(Ending::Lost),
    }
}

impl Session<'_> {
    /// Serves until something ends it.
    pub(super) async fn run(mut self) -> Ending {
        let mut queued = Vec::with_capacity(WRITTEN_TOGETHER);
        loop {
            let read_from = self.read_from.unwrap_or(self.beat_at);
            let done = tokio::select! {
                () = self.live.draining.cancelled() => Err(Ending::GoingAway),
                ending = self.seat.ended() => Err(ending),
                _ = self.queue.recv_many(&mut queued, WRITTEN_TOGETHER) => self.forward(&mut queued).await,
                message = self.socket.next(), if self.read_from.is_none() => self.hear(message).await,
                () = sleep_until(read_from), if self.read_from.is_some() => {
                    self.read_from = None;
                    match self.held.take() {
                        Some(text) => self.take(text).await,
                        None => Ok(()),
                    }
                }
                () = sleep_until(self.beat_at) => self.beat().await,
                () = sleep_until(self.expires_at) => Err(Ending::Expired),
            };
            if let Err(ending) = done {
                return ending;
            }
        }
    }

    async fn hear(&mut self, message: Option<Result<Message, SocketError>>) -> Result<(), Ending> {
        let text = received(message)?;
        self.heard_at = Instant::now();
        match text {
            Some(text) => self.take(text).await,
            None => Ok(()),
        }
    }

    /// Does what a frame asks for, now or when the rate allows it.
    async fn take(&mut self, text: String) -> Result<(), Ending> {
        if let Err(not_until) = self.limiter.check() {
            self.read_from = Some(Instant::now() + not_until.wait_time_from(self.limiter.clock().now()));
            self.held = Some(text);
            return Ok(());
        }
        let Frame { id, wish } = match frames::parse(&text, self.live.journal.n_shards()) {
            Ok(frame) => frame,
            Err(Unreadable { id, refusal }) => {
                self.n_bad += 1;
                if self.n_bad > MAX_BAD_FRAMES {
                    return Err(Ending::BadFrames);
                }
                return self.refuse(id.as_ref(), &refusal).await;
            }
        };
        match wish {
            Wish::Ping => self.send(Sent::Pong { id: id.as_ref() }.to_message()).await,
            Wish::Token(token) => self.authenticate_again(id, Credential::Token(&token)).await,
            Wish::Ticket(ticket) => self.authenticate_again(id, Credential::Ticket(&ticket)).await,
            Wish::Subscribe(rooms) => self.subscribe(id, rooms).await,
            Wish::Unsubscribe(rooms) => self.unsubscribe(id, &rooms).await,
            Wish::Publish(event) => self.publish(id, event).await,
            Wish::Positions { driver_id, positions } => self.take_positions(id, &driver_id, positions).await,
        }
    }

    /// Takes a newer token of the same tenant; rooms that it does not open are left.
    async fn authenticate_again(&mut self, id: Option<FrameId>, by: Credential<'_>) -> Result<(), Ending> {
        let principal = match self.live.door.admit(by).await {
            Ok(principal) if principal.tenant == self.principal.tenant => principal,
            Ok(_) => {
                let detail = "the token is of another tenant; connect anew with it";
                return self.refuse(id.as_ref(), &Refusal::new(ErrorCode::AuthForbidden, detail)).await;
            }
            Err(refusal) => return self.refuse(id.as_ref(), &refusal).await,
        };
        self.seat.set_token(principal.token_id.clone());
        self.expires_at = expiry(self.live, &principal);
        self.principal = principal;
        let mut lost = self.live.fanout.rooms_of(&self.seat);
        lost.retain(|room| !self.principal.may_join(room, &self.live.rules));
        if !lost.is_empty() {
            self.unsubscribe(None, &lost).await?;
        }
        self.greet(id.as_ref()).await
    }

    async fn greet(&mut self, id: Option<&FrameId>) -> Result<(), Ending> {
        let greeting = Sent::Authenticated {
            id,
            tenant: self.principal.tenant.as_str(),
            role: self.principal.role,
            user: self.principal.user.as_deref(),
            expires_at: self.principal.expires_at.map(Timestamp::to_rfc3339),
            heartbeat_s: self.live.limits.heartbeat.as_secs(),
        };
        let greeting = greeting.to_message();
        self.send(greeting).await
    }

    /// Tries whether the client is there, and lets it know how far it has come.
    async fn beat(&mut self) -> Result<(), Ending> {
        let now = Instant::now();
        if now.duration_since(self.heard_at) > self.live.limits.heartbeat * 2 {
            return Err(Ending::Silent);
        }
        self.beat_at = now + self.live.limits.heartbeat;
        // A queue that is full has news enough.
        if self.live.fanout.mark(&self.seat) {
            self.marks.push_back(Mark::Heartbeat);
        }
        self.send(Message::Ping(Bytes::new())).await
    }

    /// Sends what has been queued by now.
    pub(super) async fn drain_queue(&mut self) -> Result<(), Ending> {
        let mut queued = Vec::with_capacity(WRITTEN_TOGETHER);
        while let Ok(one) = self.queue.try_recv() {
            queued.push(one);
            if queued.len() == WRITTEN_TOGETHER {
                self.forward(&mut queued).await?;
            }
        }
        self.forward(&mut queued).await
    }

    /// Sends what was taken out of the queue.
    async fn forward(&mut self, queued: &mut Vec<Queued>) -> Result<(), Ending> {
        let mut messages = Vec::with_capacity(queued.len());
        let mut n_events = 0;
        for one in queued.drain(..) {
            match one {
                Queued::Event(event, mask) => {
                    messages.push(frames::event_message(&event, mask));
                    self.seat.taken(&event);
                    n_events += 1;
                }
                Queued::Mark(at) => messages.extend(self.marks.pop_front().map(|mark| match &mark {
                    Mark::Heartbeat => Sent::Heartbeat { at: &at }.to_message(),
                    Mark::Subscribed(id, rooms) => {
                        Sent::Subscribed { id: id.as_ref(), rooms, at: &at }.to_message()
                    }
                    Mark::Unsubscribed(id, rooms) => {
                        Sent::Unsubscribed { id: id.as_ref(), rooms }.to_message()
                    }
                })),
            }
        }
        self.send_all(messages).await?;
        self.live.metrics.sent.inc_by(n_events);
        Ok(())
    }

    pub(super) async fn refuse(&mut self, id: Option<&FrameId>, refusal: &Refusal) -> Result<(), Ending> {
        self.live.metrics.count_refused(refusal.code.as_str());
        self.send(Sent::refusal(id, refusal).to_message()).await
    }

    pub(super) async fn send(&mut self, message: Message) -> Result<(), Ending> {
        self.send_all(vec![message]).await
    }

    /// Sends messages together; whoever does not take them in time, or is ended meanwhile, is not waited for.
    pub(super) async fn send_all(&mut self, messages: Vec<Message>) -> Result<(), Ending> {
        if messages.is_empty() {
            return Ok(());
        }
        let socket = &mut *self.socket;
        let write = async {
            for message in messages {
                socket.feed(message).await?;
            }
            socket.flush().await
        };
        tokio::select! {
            biased;
            written = timeout(WRITE_WITHIN, write) => match written {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) => Err(Ending::Lost),
                Err(_) => Err(Ending::Slow),
            },
            ending = self.seat.ended() => Err(ending),
            () = self.live.draining.cancelled() => Err(Ending::GoingAway),
        }
    }
}
