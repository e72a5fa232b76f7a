//! The interpreter alone, on virtual time: what tasks give, what waits, and that folding the records gives the state.

#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)] // everything here is a test; `json!` reads better given

mod errors;
mod events;
mod extend;
mod fold;
pub(in crate::engine) mod generate;
mod people;
mod tasks;

use serde_json::{Value, json};
use trunkline_model::{Timestamp, WorkflowId};

use super::{Changes, step};
use crate::engine::input::{Failure, Input, Outcome};
use crate::engine::state::{Action, Activity, HttpCall, State};
use crate::program::{Format, Program, compile};

/// What became of a task under way. What comes first after its beginning holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Became {
    Begun,
    Completed(Value),
    Faulted(Failure),
    /// Taken away; nothing where it had ended before.
    Dropped,
}

/// Compiles the tasks of a workflow.
pub(super) fn program(tasks: &str) -> Program {
    let head = "document: {dsl: '1.0.3', namespace: test, name: it, version: '1.0.0'}\n";
    let text = if tasks.contains("document") { tasks.to_owned() } else { format!("{head}{tasks}") };
    match compile(&text, Format::Yaml) {
        Ok(compiled) => compiled.program,
        Err(refusal) => panic!("{:#?}", refusal.faults),
    }
}

/// One instance, driven by hand.
pub(in crate::engine) struct Run {
    pub(super) program: Program,
    pub(in crate::engine) state: State,
    pub(super) now: Timestamp,
    pub(in crate::engine) records: Vec<(Timestamp, Input)>,
    /// What the last step changed.
    pub(in crate::engine) changes: Changes,
}

impl Run {
    pub(in crate::engine) fn start(tasks: &str, input: Value) -> Self {
        let now = Timestamp::from_secs(1_700_000_000);
        let state = State::new(WorkflowId::from_text("wf_1"), input, now);
        let mut run =
            Self { program: program(tasks), state, now, records: Vec::new(), changes: Changes::default() };
        run.take(Input::Begun { seal: None });
        run
    }

    pub(in crate::engine) fn take(&mut self, input: Input) -> &Changes {
        self.changes = step(&self.program, &mut self.state, &input, self.now);
        self.records.push((self.now, input));
        self.assert_foldable();
        &self.changes
    }

    /// Folding the records gives the state that was lived through, also by way of a stored snapshot.
    fn assert_foldable(&self) {
        let mut folded = State::new(self.state.id.clone(), self.state.input.clone(), self.state.started_at);
        for (index, (at, input)) in self.records.iter().enumerate() {
            step(&self.program, &mut folded, input, *at);
            if index % 3 == 1 {
                let stored = serde_json::to_string(&folded).unwrap();
                folded = serde_json::from_str(&stored).unwrap();
            }
        }
        assert_eq!(folded, self.state);
    }

    /// Goes to the next timer and fires it.
    pub(in crate::engine) fn wake(&mut self) -> &Changes {
        let next = self.state.timers.iter().min_by_key(|(id, timer)| (timer.fire_at, **id));
        let (timer, fire_at) = next.map(|(id, timer)| (*id, timer.fire_at)).expect("a timer is set");
        self.now = self.now.max(fire_at);
        self.take(Input::TimerFired { timer })
    }

    /// The calls under way.
    pub(super) fn calls(&self) -> Vec<(u32, &HttpCall)> {
        let calls = self.state.effects.iter().filter_map(|(id, effect)| match &effect.action {
            Action::Http(call) => Some((*id, call)),
            _ => None,
        });
        calls.collect()
    }

    /// Ends the oldest call.
    pub(super) fn answer(&mut self, result: Result<Value, u16>) {
        let effect = *self.state.effects.keys().next().expect("a call is under way");
        let result = result.map_err(|status| {
            let kind = crate::dsl::error::StandardError::Communication;
            Failure::standard(kind, "refused").with_status(status)
        });
        self.take(Input::EffectDone { effect, result });
    }

    #[track_caller]
    pub(super) fn output(&self) -> Value {
        match &self.state.outcome {
            Some(Outcome::Completed(output)) => output.clone(),
            other => panic!("{other:?} with {:#?}", self.state.frames),
        }
    }

    #[track_caller]
    pub(super) fn failure(&self) -> Value {
        match &self.state.outcome {
            Some(Outcome::Failed(failure)) => failure.to_value(),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn activity(&self) -> Activity {
        self.state.activity(self.now)
    }
}

/// Runs tasks that wait for nothing.
#[track_caller]
pub(super) fn check(tasks: &str, input: Value, expect: Value) {
    let run = Run::start(tasks, input);
    assert_eq!(run.output(), expect);
    assert!(run.state.frames.is_empty() && run.state.timers.is_empty() && run.state.waits.is_empty());
    assert_eq!(run.activity(), Activity::Ended);
}

/// An event as it reaches an instance.
pub(super) fn event(event_type: &str, data: Value) -> Value {
    json!({"specversion": "1.0", "id": "e1", "source": "test", "type": event_type, "data": data})
}
