//! Keeping one connection: single flight, pauses, giving up, idleness. On virtual time.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;

const LIMITS: KeepLimits = KeepLimits { open: Duration::from_secs(10), idle: Duration::from_mins(5) };

/// What the next attempts to connect come to; a success when the list is empty.
#[derive(Default)]
struct Script {
    failures: Mutex<Vec<SinkError>>,
    takes: Mutex<Duration>,
    n_attempts: AtomicUsize,
    n_open: Arc<AtomicUsize>,
}

#[derive(Clone, Default)]
struct Scripted(Arc<Script>);

struct TestLink {
    is_over: AtomicBool,
    n_open: Arc<AtomicUsize>,
}

impl Link for TestLink {
    fn is_usable(&self) -> bool {
        !self.is_over.load(Ordering::SeqCst)
    }
}

impl Drop for TestLink {
    fn drop(&mut self) {
        self.n_open.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Connect for Scripted {
    type Link = TestLink;

    fn connect(&self) -> BoxFuture<'_, Result<TestLink, SinkError>> {
        Box::pin(async move {
            self.0.n_attempts.fetch_add(1, Ordering::SeqCst);
            let takes = *self.0.takes.lock();
            tokio::time::sleep(takes).await;
            if let Some(failure) = self.0.failures.lock().pop() {
                return Err(failure);
            }
            self.0.n_open.fetch_add(1, Ordering::SeqCst);
            Ok(TestLink { is_over: AtomicBool::new(false), n_open: Arc::clone(&self.0.n_open) })
        })
    }
}

impl Scripted {
    fn n_attempts(&self) -> usize {
        self.0.n_attempts.load(Ordering::SeqCst)
    }

    fn n_open(&self) -> usize {
        self.0.n_open.load(Ordering::SeqCst)
    }

    fn fail(&self, n: usize) {
        self.0.failures.lock().extend(vec![SendError::ConnectTimeout.into(); n]);
    }
}

fn kept(script: &Scripted) -> Kept<Scripted> {
    Kept::new(script.clone(), LIMITS)
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(1)
}

async fn send(kept: &Kept<Scripted>) -> Result<(), SinkError> {
    kept.lease(soon()).await?.settle(Ok(()))
}

#[tokio::test(start_paused = true)]
async fn many_sends_open_one_connection() {
    let script = Scripted::default();
    *script.0.takes.lock() = Duration::from_millis(500);
    let kept = kept(&script);
    let sends: Vec<_> = (0..50).map(|_| send(&kept)).collect();
    for sent in futures_util::future::join_all(sends).await {
        sent.unwrap();
    }
    send(&kept).await.unwrap();
    assert_eq!((script.n_attempts(), script.n_open()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn an_outage_costs_one_attempt_per_pause() {
    let script = Scripted::default();
    script.fail(8);
    let kept = kept(&script);
    let mut waits = Vec::new();
    for n_attempts in 1..=8 {
        for _ in 0..10 {
            let error = send(&kept).await.unwrap_err();
            assert_eq!(error.class(), "connect_timeout");
        }
        assert_eq!(script.n_attempts(), n_attempts);
        waits.push(pause(n_attempts as u32));
        tokio::time::advance(pause(n_attempts as u32)).await;
    }
    let millis: Vec<_> = waits.iter().map(Duration::as_millis).collect();
    assert_eq!(millis, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    assert_eq!(pause(u32::MAX), MAX_PAUSE);
    send(&kept).await.unwrap();
    script.fail(1);
    drop(kept.lease(soon()).await.unwrap());
    send(&kept).await.unwrap_err();
    tokio::time::advance(FIRST_PAUSE).await;
    send(&kept).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_opening_outlives_impatient_senders() {
    let script = Scripted::default();
    *script.0.takes.lock() = Duration::from_secs(2);
    let kept = kept(&script);
    let error = send(&kept).await.unwrap_err();
    assert_eq!(error.class(), "connect_timeout");
    tokio::time::advance(Duration::from_secs(2)).await;
    send(&kept).await.unwrap();
    assert_eq!(script.n_attempts(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_opening_has_a_limit_of_its_own() {
    let script = Scripted::default();
    *script.0.takes.lock() = Duration::from_hours(1);
    let kept = kept(&script);
    let error = kept.lease(Instant::now() + Duration::from_hours(1)).await.map(drop).unwrap_err();
    assert_eq!((error.class(), script.n_attempts()), ("connect_timeout", 1));
}

#[tokio::test(start_paused = true)]
async fn broken_and_abandoned_connections_are_replaced_and_refusals_keep_theirs() {
    let script = Scripted::default();
    let kept = kept(&script);
    let check = async |result: Option<Result<(), SinkError>>, expect_replaced: bool| {
        send(&kept).await.unwrap();
        let before = script.n_attempts();
        let lease = kept.lease(soon()).await.unwrap();
        match result {
            Some(result) => drop(lease.settle(result)),
            None => drop(lease),
        }
        send(&kept).await.unwrap();
        assert_eq!((script.n_attempts() - before == 1, script.n_open()), (expect_replaced, 1));
    };
    check(Some(Ok(())), false).await;
    check(Some(Err(SinkError::refused("no"))), false).await;
    check(Some(Err(SinkError::Auth("no".into()))), false).await;
    check(Some(Err(SinkError::Protocol("noise".into()))), true).await;
    check(Some(Err(SinkError::reset(std::io::Error::other("gone")))), true).await;
    check(None, true).await;
    let lease = kept.lease(soon()).await.unwrap();
    lease.link().is_over.store(true, Ordering::SeqCst);
    drop(lease.settle(Ok(())));
    let before = script.n_attempts();
    send(&kept).await.unwrap();
    assert_eq!((script.n_attempts(), script.n_open()), (before + 1, 1));
}

#[tokio::test(start_paused = true)]
async fn giving_up_a_connection_spares_the_sends_on_it() {
    let script = Scripted::default();
    let kept = kept(&script);
    let slow = kept.lease(soon()).await.unwrap();
    drop(kept.lease(soon()).await.unwrap());
    send(&kept).await.unwrap();
    assert_eq!(script.n_open(), 2);
    slow.settle(Ok(())).unwrap();
    assert_eq!(script.n_open(), 1);
    send(&kept).await.unwrap();
    assert_eq!(script.n_attempts(), 2);
}

#[tokio::test(start_paused = true)]
async fn idle_connections_are_closed_and_used_ones_stay() {
    let script = Scripted::default();
    let kept = kept(&script);
    for _ in 0..5 {
        send(&kept).await.unwrap();
        tokio::time::sleep(Duration::from_secs(299)).await;
    }
    assert_eq!((script.n_attempts(), script.n_open()), (1, 1));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(script.n_open(), 0);
    send(&kept).await.unwrap();
    assert_eq!((script.n_attempts(), script.n_open()), (2, 1));
    drop(kept);
    assert_eq!(script.n_open(), 0);
}
