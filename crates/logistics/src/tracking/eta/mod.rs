//! When a driver will be there: asked of providers in order, and estimated along the straight line when none answers.
//!
//! A provider that fails, is slow or is not configured costs a wait that is bounded, and never the answer. Each answer
//! names its source, so that whoever shows it can say how good it is.

mod guard;
mod remote;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use trunkline_model::Timestamp;

use crate::Position;

pub use guard::Guarded;
pub use remote::{Remote, Service};

/// How long one provider may take.
pub const PROVIDER_TIMEOUT: Duration = Duration::from_secs(2);
/// What the straight line is called as a source.
pub const STRAIGHT_LINE: &str = "straight_line";
/// Longer estimates are none.
const MAX_ETA: Duration = Duration::from_hours(48);

/// What a provider answers with, later.
pub type EtaFuture<'a> = Pin<Box<dyn Future<Output = Result<Duration, EtaError>> + Send + 'a>>;

/// A provider has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EtaError {
    /// It cannot be reached, or its answer makes no sense.
    #[error("the provider does not answer: {0}")]
    Unavailable(String),
    /// It knows no way.
    #[error("the provider knows no way")]
    NoWay,
}

/// Knows how long a way takes.
pub trait EtaProvider: Send + Sync + 'static {
    /// What it is called as a source.
    fn name(&self) -> &'static str;

    /// How long the way takes when one leaves at `at`.
    fn travel_time(&self, from: Position, to: Position, at: Timestamp) -> EtaFuture<'_>;
}

/// An estimate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Eta {
    /// How long it takes.
    pub takes: Duration,
    /// When the driver is there.
    pub at: Timestamp,
    /// Who says so.
    pub source: &'static str,
    /// Whether a better source had no answer.
    pub is_fallback: bool,
}

/// Distances up to which ways are alike, in metres; the last group is open.
const GROUPS: [f64; 3] = [1_000.0, 5_000.0, 20_000.0];
/// Seconds a metre of the straight line before anything is learned: short ways are slow and winding.
const BEFORE: [f64; 4] = [0.24, 0.17, 0.11, 0.07];
/// What no way on a road is outside of, in seconds a metre.
const SENSIBLE: std::ops::RangeInclusive<f64> = 0.02..=2.0;
/// How much one way counts against all before it.
const WEIGHT: f64 = 0.1;

/// Estimates along the straight line, by what earlier ways took.
#[derive(Debug, Clone, PartialEq)]
pub struct StraightLine {
    seconds_per_metre: [f64; 4],
}

impl Default for StraightLine {
    fn default() -> Self {
        Self { seconds_per_metre: BEFORE }
    }
}

impl StraightLine {
    fn group(distance_m: f64) -> usize {
        GROUPS.iter().position(|most| distance_m <= *most).unwrap_or(GROUPS.len())
    }

    /// Learns from a way that was driven. One that makes no sense teaches nothing.
    pub fn learn(&mut self, from: Position, to: Position, took: Duration) {
        let distance = from.distance_m(to);
        let observed = took.as_secs_f64() / distance;
        if distance >= 50.0 && SENSIBLE.contains(&observed) {
            let known = &mut self.seconds_per_metre[Self::group(distance)];
            *known += WEIGHT * (observed - *known);
        }
    }

    /// How long a way takes.
    pub fn estimate(&self, from: Position, to: Position) -> Duration {
        let distance = from.distance_m(to);
        // Never shorter than a shorter way: the groups meet without a step down.
        let mut seconds = distance * self.seconds_per_metre[Self::group(distance)];
        for (most, known) in GROUPS.iter().zip(self.seconds_per_metre) {
            if distance > *most {
                seconds = seconds.max(most * known);
            }
        }
        Duration::from_secs_f64(seconds).min(MAX_ETA)
    }
}

/// Providers in order, the best first.
#[derive(Default)]
pub struct EtaChain {
    providers: Vec<Arc<dyn EtaProvider>>,
    straight: StraightLine,
}

impl std::fmt::Debug for EtaChain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.providers.iter().map(|provider| provider.name())).finish()
    }
}

impl EtaChain {
    /// Asks these providers, then the straight line.
    pub fn new(providers: Vec<Arc<dyn EtaProvider>>, straight: StraightLine) -> Self {
        Self { providers, straight }
    }

    /// Estimates; there is always an answer.
    pub async fn estimate(&self, from: Position, to: Position, at: Timestamp) -> Eta {
        for (place, provider) in self.providers.iter().enumerate() {
            let asked = tokio::time::timeout(PROVIDER_TIMEOUT, provider.travel_time(from, to, at)).await;
            match asked {
                Ok(Ok(takes)) if takes <= MAX_ETA => {
                    return Eta {
                        takes,
                        at: at.plus(takes),
                        source: provider.name(),
                        is_fallback: place > 0,
                    };
                }
                Ok(Ok(_)) => tracing::debug!(provider = provider.name(), "an estimate makes no sense"),
                Ok(Err(error)) => tracing::debug!(provider = provider.name(), error = %error, "no estimate"),
                Err(_) => tracing::debug!(provider = provider.name(), "an estimate takes too long"),
            }
        }
        self.straight_line(from, to, at)
    }

    /// Estimates along the straight line alone.
    pub fn straight_line(&self, from: Position, to: Position, at: Timestamp) -> Eta {
        let takes = self.straight.estimate(from, to);
        let is_fallback = !self.providers.is_empty();
        Eta { takes, at: at.plus(takes), source: STRAIGHT_LINE, is_fallback }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(lat: f64, lon: f64) -> Position {
        Position::from_degrees(lat, lon).unwrap()
    }

    /// Answers so, or never.
    struct Says(&'static str, Option<Result<Duration, EtaError>>);

    impl EtaProvider for Says {
        fn name(&self) -> &'static str {
            self.0
        }

        fn travel_time(&self, _: Position, _: Position, _: Timestamp) -> EtaFuture<'_> {
            let answer = self.1.clone();
            Box::pin(async move {
                match answer {
                    Some(answer) => answer,
                    None => std::future::pending().await,
                }
            })
        }
    }

    async fn ask(providers: Vec<Says>) -> (&'static str, bool, Duration) {
        let providers = providers.into_iter().map(|one| Arc::new(one) as Arc<dyn EtaProvider>).collect();
        let chain = EtaChain::new(providers, StraightLine::default());
        let (from, to) = (at(52.5, 13.4), at(52.5, 13.5));
        let eta = chain.estimate(from, to, Timestamp::from_secs(100)).await;
        assert_eq!(eta.at, Timestamp::from_secs(100).plus(eta.takes));
        (eta.source, eta.is_fallback, eta.takes)
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_that_answers_counts_and_is_named() {
        let minutes = |n| Duration::from_mins(n);
        let good = || Says("good", Some(Ok(minutes(9))));
        assert_eq!(ask(vec![good()]).await, ("good", false, minutes(9)));
        let failing = || Says("failing", Some(Err(EtaError::Unavailable("500".to_owned()))));
        assert_eq!(ask(vec![failing(), Says("silent", None), good()]).await, ("good", true, minutes(9)));
        let absurd = Says("absurd", Some(Ok(Duration::from_hours(9_999))));
        let (source, is_fallback, takes) = ask(vec![failing(), absurd]).await;
        assert_eq!((source, is_fallback), (STRAIGHT_LINE, true));
        assert!((minutes(10)..minutes(15)).contains(&takes), "{takes:?}");
        assert!(!ask(vec![]).await.1, "nothing better was asked for");
    }

    #[test]
    fn the_straight_line_learns_from_ways_that_were_driven() {
        let mut line = StraightLine::default();
        let (from, to) = (at(52.5, 13.4), at(52.5, 13.44));
        for _ in 0..200 {
            line.learn(from, to, Duration::from_mins(15));
        }
        assert!((line.estimate(from, to).as_secs_f64() - 900.0).abs() < 5.0);
        let before = line.clone();
        line.learn(from, to, Duration::from_hours(90));
        line.learn(from, from, Duration::from_secs(5));
        assert_eq!(line, before, "nonsense teaches nothing");
    }

    proptest! {
        #[test]
        fn a_longer_way_never_takes_less(near in 0.0..0.9_f64, more in 0.0..0.9_f64) {
            let line = StraightLine::default();
            let takes = |degrees: f64| line.estimate(at(0.0, 0.0), at(degrees, 0.0));
            prop_assert!(takes(near + more) >= takes(near));
        }
    }
}
