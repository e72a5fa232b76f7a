//! A connection that is opened when it is needed and kept while it is used. One per sink of a kind that keeps connections.
//!
//! ```text
//!           lease                        connected
//! Closed ──────────► Opening (one task) ───────────► Open ──(idle, ended, given up)──► Closed
//!   ▲                   │ failed                                                          │
//!   └── pause, doubling ┴─────────────── no pause ◄───────────────────────────────────────┘
//! ```
//!
//! - One opening at a time: leases that come meanwhile wait for it, each by its own deadline. An opening goes on when
//!   nobody waits any more; it has a limit of its own.
//! - During the pause after a failure leases fail at once with that failure: an outage costs one connection attempt per
//!   pause, however many events are due.
//! - A lease that is dropped without [`Lease::settle`] (its send timed out) gives the connection up: a peer that went away
//!   silently must not time out every later send. Sends under way on it go on.
//! - Only the opening and the wait for idleness are tasks of ours; neither logs nor repeats itself.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::Shared;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use trunkline_connect::{BoxFuture, SendError, progress};

use crate::SinkError;

/// The pause after the first failure to connect; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// Makes connections of one kind to one place.
pub(crate) trait Connect: Send + Sync + 'static {
    type Link: Link;

    fn connect(&self) -> BoxFuture<'_, Result<Self::Link, SinkError>>;
}

/// An open connection; dropping it closes it.
pub(crate) trait Link: Send + Sync + 'static {
    /// Whether a message may still be sent over it.
    fn is_usable(&self) -> bool;
}

/// The kept connection.
pub(crate) struct Kept<C: Connect>(Arc<Slot<C>>);

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeepLimits {
    /// For one opening, all steps together.
    pub(crate) open: Duration,
    /// How long an unused connection is kept.
    pub(crate) idle: Duration,
}

struct Slot<C: Connect> {
    connect: C,
    limits: KeepLimits,
    state: Mutex<State<C::Link>>,
}

struct State<L> {
    phase: Phase<L>,
    n_failures: u32,
    pause: Option<(Instant, SinkError)>,
}

enum Phase<L> {
    Closed,
    Opening(Opening<L>),
    Open { link: Arc<L>, used_at: Instant },
}

type Opening<L> = Shared<BoxFuture<'static, Result<Arc<L>, SinkError>>>;

impl<C: Connect> Kept<C> {
    pub(crate) fn new(connect: C, limits: KeepLimits) -> Self {
        let state = State { phase: Phase::Closed, n_failures: 0, pause: None };
        Self(Arc::new(Slot { connect, limits, state: Mutex::new(state) }))
    }

    /// The connection, opened first where there is none.
    pub(crate) async fn lease(&self, deadline: Instant) -> Result<Lease<C>, SinkError> {
        let opening = self.0.claim()?;
        let link = match timeout_at(deadline, opening).await {
            Ok(opened) => opened?,
            Err(_) => return Err(SendError::ConnectTimeout.into()),
        };
        Ok(Lease { slot: Arc::clone(&self.0), link, settled: false })
    }
}

impl<C: Connect> Slot<C> {
    /// The open connection, or the opening to wait for.
    fn claim(self: &Arc<Self>) -> Result<Opening<C::Link>, SinkError> {
        let now = Instant::now();
        let mut state = self.state.lock();
        match &mut state.phase {
            Phase::Open { link, used_at } if link.is_usable() => {
                *used_at = now;
                let link = Arc::clone(link);
                return Ok(std::future::ready(Ok(link)).boxed().shared());
            }
            Phase::Opening(opening) => return Ok(opening.clone()),
            Phase::Open { .. } | Phase::Closed => {}
        }
        if let Some((until, failure)) = &state.pause
            && now < *until
        {
            return Err(failure.clone());
        }
        let task = tokio::spawn(progress::carried(Arc::clone(self).open()));
        let opening = async { task.await.unwrap_or(Err(SinkError::Internal)) }.boxed().shared();
        state.phase = Phase::Opening(opening.clone());
        Ok(opening)
    }

    async fn open(self: Arc<Self>) -> Result<Arc<C::Link>, SinkError> {
        let connecting = AssertUnwindSafe(self.connect.connect()).catch_unwind();
        let opened = match timeout(self.limits.open, connecting).await {
            Ok(Ok(opened)) => opened.map(Arc::new),
            Ok(Err(_)) => Err(SinkError::Internal),
            Err(_) => Err(SendError::ConnectTimeout.into()),
        };
        let now = Instant::now();
        let mut state = self.state.lock();
        match &opened {
            Ok(link) => {
                let link = Arc::clone(link);
                tokio::spawn(close_when_idle(
                    Arc::downgrade(&self),
                    Arc::downgrade(&link),
                    now + self.limits.idle,
                ));
                *state = State { phase: Phase::Open { link, used_at: now }, n_failures: 0, pause: None };
            }
            Err(failure) => {
                state.phase = Phase::Closed;
                state.n_failures = state.n_failures.saturating_add(1);
                state.pause = Some((now + pause(state.n_failures), failure.clone()));
            }
        }
        opened
    }

    /// Forgets a connection unless another has taken its place.
    fn give_up(&self, link: &Arc<C::Link>) {
        let mut state = self.state.lock();
        if matches!(&state.phase, Phase::Open { link: kept, .. } if Arc::ptr_eq(kept, link)) {
            state.phase = Phase::Closed;
        }
    }

    /// Forgets the connection `link` if it is idle; else tells when to look again.
    fn close_if_idle(&self, link: &Weak<C::Link>) -> Option<Instant> {
        let mut state = self.state.lock();
        let Phase::Open { link: kept, used_at } = &state.phase else { return None };
        if !std::ptr::eq(Arc::as_ptr(kept), link.as_ptr()) {
            return None;
        }
        let idle_at = *used_at + self.limits.idle;
        if kept.is_usable() && Instant::now() < idle_at {
            return Some(idle_at);
        }
        state.phase = Phase::Closed;
        None
    }
}

async fn close_when_idle<C: Connect>(slot: Weak<Slot<C>>, link: Weak<C::Link>, idle_at: Instant) {
    let mut look_at = Some(idle_at);
    while let Some(at) = look_at {
        sleep_until(at).await;
        look_at = slot.upgrade().and_then(|slot| slot.close_if_idle(&link));
    }
}

fn pause(n_failures: u32) -> Duration {
    let doubled = 1_u32.checked_shl(n_failures.saturating_sub(1)).unwrap_or(u32::MAX);
    FIRST_PAUSE.saturating_mul(doubled).min(MAX_PAUSE)
}

/// The right to send one message over a connection.
pub(crate) struct Lease<C: Connect> {
    slot: Arc<Slot<C>>,
    link: Arc<C::Link>,
    settled: bool,
}

impl<C: Connect> Lease<C> {
    pub(crate) fn link(&self) -> &C::Link {
        &self.link
    }

    /// Hands the connection back with what came of the send, which tells whether it is used again.
    pub(crate) fn settle<T>(mut self, result: Result<T, SinkError>) -> Result<T, SinkError> {
        self.settled = !result.as_ref().is_err_and(SinkError::ends_connection);
        result
    }
}

impl<C: Connect> Drop for Lease<C> {
    fn drop(&mut self) {
        if !self.settled {
            self.slot.give_up(&self.link);
        }
    }
}

#[cfg(test)]
mod tests;
