//! Moves committed pages from the write-ahead log into the database file, off the writer's path.
//!
//! A passive checkpoint on a connection of its own does the bulk while the writer goes on. Under constant load it never
//! catches the last frames, and the log only starts over when all are moved; so when the log is long and nearly moved,
//! the writer itself finishes the short rest between two batches. That bounds the log and keeps the stall small.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;

use rusqlite::Connection;

/// Frames in the log at which the background checkpoint starts (8 KiB each).
const START_FRAMES: i64 = 1_000;
/// Frames in the log beyond which the writer finishes the rest itself.
const RESET_FRAMES: i64 = 8_000;
/// The rest must be below this share of the log before the writer finishes it.
const REST_FRAMES: i64 = 2_000;
/// Beyond this the writer finishes whatever the rest is: the log must not grow without bound.
const LIMIT_FRAMES: i64 = 64_000;

/// What the writer and the checkpoint thread tell each other about the log.
pub(crate) struct Wal {
    wake: mpsc::SyncSender<()>,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    n_frames: AtomicI64,
    n_moved: AtomicI64,
}

/// Starts the checkpoint thread. It ends when the [`Wal`] is dropped.
pub(crate) fn spawn(path: PathBuf) -> (Wal, JoinHandle<()>) {
    let state = Arc::new(State::default());
    let (wake, woken) = mpsc::sync_channel(1);
    let shared = Arc::clone(&state);
    let thread = std::thread::Builder::new()
        .name("store-checkpoint".into())
        .spawn(move || run(&path, &woken, &shared))
        .expect("invariant: the system starts threads while the hub starts");
    (Wal { wake, state }, thread)
}

fn run(path: &std::path::Path, woken: &mpsc::Receiver<()>, state: &State) {
    let mut connection = None;
    while woken.recv().is_ok() {
        if connection.is_none() {
            connection = Connection::open(path).ok();
        }
        let Some(open) = &connection else { continue };
        match checkpoint(open, state) {
            Ok(()) => {}
            Err(error) => {
                tracing::warn!(error = %error, "background checkpoint failed");
                connection = None;
            }
        }
    }
}

fn checkpoint(connection: &Connection, state: &State) -> rusqlite::Result<()> {
    let (n_frames, n_moved): (i64, i64) =
        connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| Ok((row.get(1)?, row.get(2)?)))?;
    state.n_frames.store(n_frames, Ordering::Relaxed);
    state.n_moved.store(n_moved, Ordering::Relaxed);
    Ok(())
}

impl Wal {
    /// Called by the writer after each COMMIT with the log's length in frames.
    pub(crate) fn after_commit(&self, connection: &Connection, n_frames: i64) {
        let n_moved = self.state.n_moved.load(Ordering::Relaxed).min(n_frames);
        let rest = n_frames - n_moved;
        let nearly_moved = n_frames >= RESET_FRAMES && rest <= REST_FRAMES;
        if nearly_moved || n_frames >= LIMIT_FRAMES {
            if let Err(error) = checkpoint(connection, &self.state) {
                tracing::warn!(error = %error, "checkpoint failed");
            }
            // The next write starts the log over when everything was moved.
            if self.state.n_moved.load(Ordering::Relaxed) >= self.state.n_frames.load(Ordering::Relaxed) {
                self.state.n_moved.store(0, Ordering::Relaxed);
            }
        } else if rest >= START_FRAMES {
            // A full channel means that the thread is about to look anyway.
            let _ = self.wake.try_send(());
        }
    }
}
