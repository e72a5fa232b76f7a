//! Workflows made from seeds, cut off at commits chosen by the seed: what they come to is what the interpreter alone
//! comes to, undisturbed; no effect is lost, what is done twice is done under one key, and what may be done once only is
//! never done twice.
//!
//! A failure names its seed; `TRUNKLINE_TEST_SEED=17` runs that one alone.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use trunkline_store::tables::event::{EventFilter, event_list};
use trunkline_store::tables::workflow::definition::DefinitionState;
use trunkline_testkit::{TestStore, for_each_store};

use super::super::input::{Input, Outcome};
use super::super::machine::tests::Run;
use super::super::machine::tests::generate::{Dice, Palette, tasks};
use super::super::state::{Action, Effect};
use super::super::*;
use super::rig::{Outside, Rig, tenant};

/// How many runs are cut off on SQLite, and on PostgreSQL, where beginning again costs 64 shards.
const N_RUNS: [u64; 2] = [520, 60];
/// Every so many runs have calls that may not be repeated.
const ONCE_EVERY: u64 = 6;

/// What a run comes to.
#[derive(Debug, PartialEq)]
struct Came {
    /// The output, or the error.
    outcome: Result<Value, Value>,
    /// Under how many keys each call was made.
    calls: BTreeMap<String, usize>,
    n_events: usize,
}

/// The outside of the interpreter alone: each call is answered as the counted outside answers it.
#[derive(Default)]
struct Undisturbed {
    keys: BTreeMap<String, String>,
    n_events: usize,
    n_commits: usize,
}

impl Undisturbed {
    fn note(&mut self, run: &Run) {
        self.n_commits += 1;
        self.n_events += run.changes.events.len();
    }

    fn answer(&mut self, effect: &Effect) -> Result<Value, super::super::input::Failure> {
        let Action::Http(call) = &effect.action else { panic!("only calls are made") };
        let is_first =
            self.keys.insert(effect.key.clone(), format!("{} {:?}", call.url, call.body)).is_none();
        Outside::answer(&call.url, call.body.as_ref(), is_first)
    }

    /// Lives through a workflow without crashes.
    fn run(mut self, text: &str) -> (Came, usize) {
        let mut run = Run::start(text, json!({"n": 1}));
        self.note(&run);
        while run.state.outcome.is_none() {
            let asks = run.state.tickets.iter().find(|(_, it)| !it.is_held).map(|(id, _)| *id);
            if let Some(ticket) = asks {
                run.take(Input::Admitted { ticket });
                self.note(&run);
                continue;
            }
            let next = run.state.effects.iter().next().map(|(id, effect)| (*id, effect.clone()));
            match next {
                Some((effect, it)) => {
                    let result = self.answer(&it);
                    run.take(Input::EffectDone { effect, result });
                }
                None => drop(run.wake()),
            }
            self.note(&run);
        }
        let outcome = match run.state.outcome.take() {
            Some(Outcome::Completed(output)) => Ok(output),
            Some(Outcome::Failed(failure)) => Err(failure.to_value()),
            other => panic!("{other:?}"),
        };
        let came = Came { outcome, calls: counted(self.keys.into_values()), n_events: self.n_events };
        (came, self.n_commits)
    }
}

fn counted(calls: impl Iterator<Item = String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for call in calls {
        *counts.entry(call).or_default() += 1;
    }
    counts
}

/// Runs a workflow and cuts it off at a commit; now and then once more after that.
async fn run_cut(rig: &mut Rig, engine: Engine, seed: u64, n_commits: usize, text: &str) -> (Engine, Came) {
    let mut dice = Dice::new(seed ^ 0xc0ff_ee00);
    rig.outside.clear();
    // A draft: an engine that begins reads every active definition.
    let definition = rig.define_text(&engine, text.to_owned(), DefinitionState::Draft).await;
    let point = |dice: &mut Dice| [CommitPoint::Before, CommitPoint::After][dice.below(2)];
    engine.cut_at(point(&mut dice), 1 + dice.below(n_commits));
    let id = rig.begin(&engine, &definition, json!({"n": 1})).await;
    let lives = async {
        rig.ends(&engine, &id).await;
        // It has ended, and is cut off right after.
        std::future::pending::<()>().await;
    };
    let is_cut = async {
        tokio::select! { () = engine.tripped() => {}, () = lives => {} }
    };
    assert!(tokio::time::timeout(Duration::from_mins(1), is_cut).await.is_ok(), "not cut off: {text}");
    engine.crash().await;
    let mut engine = rig.start();
    if dice.below(3) == 0 {
        engine.cut_at(point(&mut dice), 1 + dice.below(3));
        let is_cut = tokio::select! {
            () = engine.tripped() => true,
            _ = rig.ends(&engine, &id) => false,
        };
        if is_cut {
            engine.crash().await;
            engine = rig.start();
        }
    }
    let row = rig.ends(&engine, &id).await;
    let outcome = match row.output.as_deref() {
        Some(output) => Ok(serde_json::from_str(output).unwrap()),
        None => Err(serde_json::from_str(row.error.as_deref().unwrap_or("null")).unwrap()),
    };
    let folded = rig.fold(&engine, &row).await;
    match (&folded.outcome, &outcome) {
        (Some(Outcome::Completed(folded)), Ok(output)) => assert_eq!(folded, output),
        (Some(Outcome::Failed(folded)), Err(error)) => assert_eq!(&folded.to_value(), error),
        other => panic!("the records and the row differ: {other:?}"),
    }
    let keys: BTreeMap<String, String> =
        rig.outside.seen().into_iter().map(|it| (it.key, format!("{} {:?}", it.url, it.body))).collect();
    let filter =
        EventFilter { event_type: Some("crash.seen".into()), limit: 9_999, ..EventFilter::default() };
    let events = event_list(&rig.store, &tenant(), &filter).await.unwrap();
    let n_events = events.iter().filter(|it| &*it.event.correlationid == id.as_str()).count();
    (engine, Came { outcome, calls: counted(keys.into_values()), n_events })
}

async fn run_seeds(home: &TestStore, seeds: impl Iterator<Item = u64>) {
    let mut rig = Rig::new(home).await;
    let mut engine = rig.start();
    for seed in seeds {
        let is_once = seed % ONCE_EVERY == 0;
        let text = tasks(seed, if is_once { Palette::Once } else { Palette::Steady });
        let (undisturbed, n_commits) = Undisturbed::default().run(&text);
        let _said = Seed(seed);
        let came;
        (engine, came) = run_cut(&mut rig, engine, seed, n_commits, &text).await;
        if is_once {
            let twice: Vec<_> = rig.outside.by_key().into_iter().filter(|(_, n)| *n > 1).collect();
            assert!(twice.is_empty(), "done twice: {twice:?} of {text}");
        } else {
            assert_eq!(came, undisturbed, "{text}");
        }
    }
    engine.stop().await;
}

/// Says which seed failed.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("TRUNKLINE_TEST_SEED={} fails", self.0);
        }
    }
}

#[test]
fn made_workflows_survive_a_crash_at_any_commit() {
    let one: Option<u64> = std::env::var("TRUNKLINE_TEST_SEED").ok().map(|seed| seed.parse().unwrap());
    for_each_store(async |home| {
        let n_runs = N_RUNS[usize::from(home.database().is_some())];
        match one {
            Some(seed) => run_seeds(home, std::iter::once(seed)).await,
            None => run_seeds(home, 1..=n_runs).await,
        }
    });
}
