//! What stands before a provider that is asked over the network: answers that are remembered for a while, a budget of questions,
//! and a breaker, so that one that is down costs nobody a wait.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use trunkline_model::Timestamp;

use super::{EtaError, EtaFuture, EtaProvider};
use crate::Position;

/// How long an answer is remembered.
const REMEMBER_FOR: Duration = Duration::from_mins(5);
/// Answers that are remembered at most.
const MAX_REMEMBERED: usize = 10_000;
/// Positions are alike within so many ten-millionths of a degree: about 100 metres.
const CELL_E7: i64 = 10_000;
/// So many failures in a row open the breaker.
const FAILURES: u32 = 3;
/// How long it stays open.
const OPEN_FOR: Duration = Duration::from_mins(1);

type Cell = (i64, i64);

fn cell(position: Position) -> Cell {
    (position.lat_e7().div_euclid(CELL_E7), position.lon_e7().div_euclid(CELL_E7))
}

/// A provider that is asked sparingly.
pub struct Guarded {
    inner: Arc<dyn EtaProvider>,
    per_hour: u32,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    remembered: HashMap<(Cell, Cell), (Timestamp, Duration)>,
    /// The hour that is counted, and how often it was asked in it.
    hour: i64,
    n_asked: u32,
    n_failures: u32,
    open_until: Option<Timestamp>,
}

impl std::fmt::Debug for Guarded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guarded").field("inner", &self.inner.name()).finish_non_exhaustive()
    }
}

impl Guarded {
    /// Asks `inner` at most so often in an hour.
    pub fn new(inner: Arc<dyn EtaProvider>, per_hour: u32) -> Self {
        Self { inner, per_hour, state: Mutex::default() }
    }

    /// What is remembered, or leave to ask.
    fn begin(&self, key: (Cell, Cell), at: Timestamp) -> Result<Option<Duration>, EtaError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((since, takes)) = state.remembered.get(&key)
            && at.since(*since) < REMEMBER_FOR
        {
            return Ok(Some(*takes));
        }
        if state.open_until.is_some_and(|until| at < until) {
            return Err(EtaError::Unavailable("it failed lately".to_owned()));
        }
        let hour = at.as_secs().div_euclid(3_600);
        if state.hour != hour {
            (state.hour, state.n_asked) = (hour, 0);
        }
        if state.n_asked >= self.per_hour {
            return Err(EtaError::Unavailable("the budget of this hour is spent".to_owned()));
        }
        state.n_asked += 1;
        Ok(None)
    }

    fn end(&self, key: (Cell, Cell), at: Timestamp, answer: &Result<Duration, EtaError>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(answer, Err(EtaError::Unavailable(_))) {
            state.n_failures += 1;
            if state.n_failures >= FAILURES {
                state.open_until = Some(at.plus(OPEN_FOR));
            }
            return;
        }
        (state.n_failures, state.open_until) = (0, None);
        if let Ok(takes) = answer {
            if state.remembered.len() >= MAX_REMEMBERED {
                state.remembered.clear();
            }
            state.remembered.insert(key, (at, *takes));
        }
    }
}

impl EtaProvider for Guarded {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn travel_time(&self, from: Position, to: Position, at: Timestamp) -> EtaFuture<'_> {
        Box::pin(async move {
            let key = (cell(from), cell(to));
            if let Some(takes) = self.begin(key, at)? {
                return Ok(takes);
            }
            let mut asked = Asked { guarded: self, key, at, answer: Err(gave_up()) };
            asked.answer = self.inner.travel_time(from, to, at).await;
            asked.answer.clone()
        })
    }
}

fn gave_up() -> EtaError {
    EtaError::Unavailable("it takes too long".to_owned())
}

/// A question under way. One that is given up, because it takes too long, has failed.
struct Asked<'a> {
    guarded: &'a Guarded,
    key: (Cell, Cell),
    at: Timestamp,
    answer: Result<Duration, EtaError>,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.guarded.end(self.key, self.at, &self.answer);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[derive(Default)]
    struct Counts {
        n_asked: AtomicUsize,
        is_down: bool,
    }

    impl EtaProvider for Counts {
        fn name(&self) -> &'static str {
            "counts"
        }

        fn travel_time(&self, _: Position, _: Position, _: Timestamp) -> EtaFuture<'_> {
            self.n_asked.fetch_add(1, Ordering::Relaxed);
            let answer = if self.is_down {
                Err(EtaError::Unavailable("down".to_owned()))
            } else {
                Ok(Duration::from_secs(90))
            };
            Box::pin(std::future::ready(answer))
        }
    }

    fn place(n: i32) -> Position {
        Position::from_degrees(52.0 + f64::from(n) / 100.0, 13.0).unwrap()
    }

    async fn ask(guarded: &Guarded, to: i32, second: i64) -> Result<Duration, EtaError> {
        guarded.travel_time(place(0), place(to), Timestamp::from_secs(7_200 + second)).await
    }

    #[tokio::test]
    async fn answers_are_remembered_and_questions_counted() {
        let counts = Arc::new(Counts::default());
        let guarded = Guarded::new(Arc::clone(&counts) as _, 3);
        for second in [0, 10, 299] {
            assert_eq!(ask(&guarded, 1, second).await, Ok(Duration::from_secs(90)));
        }
        assert_eq!(counts.n_asked.load(Ordering::Relaxed), 1);
        for to in 1..6 {
            let answer = ask(&guarded, to, 300).await;
            assert_eq!(answer.is_ok(), to < 3, "{to}: the budget is spent");
        }
        assert!(ask(&guarded, 1, 310).await.is_ok(), "what is remembered costs nothing");
        assert!(ask(&guarded, 5, 3_600).await.is_ok(), "another hour");
        assert_eq!(counts.n_asked.load(Ordering::Relaxed), 4);
    }

    #[tokio::test]
    async fn one_that_is_down_is_left_alone_for_a_while() {
        let counts = Arc::new(Counts { is_down: true, ..Counts::default() });
        let guarded = Guarded::new(Arc::clone(&counts) as _, 1_000);
        for _ in 0..9 {
            assert!(ask(&guarded, 1, 0).await.is_err());
        }
        assert_eq!(counts.n_asked.load(Ordering::Relaxed), 3);
        assert!(ask(&guarded, 1, 61).await.is_err());
        assert!(ask(&guarded, 1, 62).await.is_err());
        assert_eq!(counts.n_asked.load(Ordering::Relaxed), 4, "one question tries whether it is well again");
    }
}
