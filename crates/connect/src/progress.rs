//! How far a call came: what is known of its connection and its answer, also when it failed. Filled in by the dialer and
//! the client while they work, read by whoever made the call.
//!
//! It rides along with the task ([`observed`]) and not through every return value, because a failure crosses the pool of
//! an HTTP library and the clients of brokers, which know nothing of it, and because a call that is given up returns
//! nothing. A task made on behalf of a call has to be told ([`carried`]).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::Opening;

tokio::task_local! {
    static PROGRESS: Arc<Mutex<Progress>>;
}

/// How far a call came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// What was opened for it, as far as that came; `None` when nothing was, or the name was not found.
    pub opening: Option<Opening>,
    /// The address it was opened to.
    pub peer: Option<SocketAddr>,
    /// When the head of the answer was there, since the call began.
    pub head: Option<Duration>,
}

/// Makes a call and tells how far it came.
pub async fn observed<T>(call: impl Future<Output = T>) -> (T, Progress) {
    let progress = Arc::<Mutex<Progress>>::default();
    let done = PROGRESS.scope(Arc::clone(&progress), call).await;
    let reached = *progress.lock();
    (done, reached)
}

/// Lets the work of another task, made for the call under way, count as part of it.
pub fn carried<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let progress = PROGRESS.try_with(Arc::clone).unwrap_or_default();
    PROGRESS.scope(progress, work)
}

/// Notes something of the call under way, if anybody wants to know.
fn note(change: impl FnOnce(&mut Progress)) {
    // Nobody does when the task has no such value.
    let _ = PROGRESS.try_with(|progress| change(&mut progress.lock()));
}

/// The name was found, in this time.
pub(crate) fn name_found(dns: Duration) {
    note(|progress| {
        *progress = Progress { opening: Some(Opening { dns, ..Opening::default() }), ..Progress::default() }
    });
}

/// The connection was opened, in this time.
pub(crate) fn connected(peer: SocketAddr, took: Duration) {
    note(|progress| {
        progress.peer = Some(peer);
        progress.opening.get_or_insert_default().connect = Some(took);
    });
}

/// TLS was established over it, in this time.
pub fn secured(took: Duration) {
    note(|progress| progress.opening.get_or_insert_default().tls = Some(took));
}

/// The head of the answer was there.
pub(crate) fn answered(after: Duration) {
    note(|progress| progress.head = Some(after));
}
