//! Keeps one trouble from filling the log: what many calls or shards meet at once is a line now and then, with a count.
//!
//! Held in a `static` beside the line that it spaces, since a process has one log.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The least time between two lines.
const EVERY: Duration = Duration::from_secs(5);

/// When a line was last written, and what has happened since.
#[derive(Debug)]
pub struct LogSpacing(Mutex<State>);

#[derive(Debug)]
struct State {
    logged_at: Option<Instant>,
    n_unlogged: u64,
}

impl LogSpacing {
    /// Nothing has happened yet.
    pub const fn new() -> Self {
        Self(Mutex::new(State { logged_at: None, n_unlogged: 0 }))
    }

    /// Counts one happening. When it is time for a line, gives how many there were since the last one, this one included.
    pub fn note(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.n_unlogged += 1;
        if state.logged_at.is_some_and(|at| now.saturating_duration_since(at) < EVERY) {
            return None;
        }
        state.logged_at = Some(now);
        Some(std::mem::take(&mut state.n_unlogged))
    }
}

impl Default for LogSpacing {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lasting_trouble_is_told_now_and_then() {
        let (log, start) = (LogSpacing::new(), Instant::now());
        let at = |secs| log.note(start + Duration::from_secs(secs));
        assert_eq!(
            [at(0), at(0), at(4), at(5), at(9), at(60)],
            [Some(1), None, None, Some(3), None, Some(2)]
        );
    }
}
