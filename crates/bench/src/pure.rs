//! How fast the interpreter of workflows is by itself: tasks that only make data, without expressions, in one thread.

use std::time::Instant;

use trunkline_flow::engine::input::{Input, Outcome};
use trunkline_flow::engine::machine;
use trunkline_flow::engine::state::State;
use trunkline_flow::{Format, compile};
use trunkline_model::{Clock as _, SystemClock, WorkflowId};

use crate::Plan;
use crate::report::{self, Aim};

/// Tasks of an iteration.
const N_TASKS: usize = 10;
/// Iterations of one step: the interpreter lets a step do 100,000 tasks.
const N_ITERATIONS: usize = 9_000;

/// Runs the benchmark and prints it.
pub async fn run(plan: &Plan) -> anyhow::Result<()> {
    report::heading("tasks of workflows that only make data, one thread");
    let mut rates = Vec::new();
    for _ in 0..plan.rounds {
        let duration = plan.duration;
        let rate = tokio::task::spawn_blocking(move || measure(duration)).await??;
        report::line(&format!("{rate:.0} tasks/s"));
        rates.push(rate);
    }
    Aim::AtLeast(1e6).print("pure tasks", report::median(rates), |rate| format!("{rate:.0}/s"));
    Ok(())
}

fn definition() -> String {
    let tasks: Vec<String> = (0..N_TASKS).map(|n| format!("{{t{n}: {{set: {{n: {n}}}}}}}")).collect();
    format!(
        "document: {{dsl: '1.0.3', namespace: bench, name: pure, version: '1.0.0'}}\n\
         do: [{{l: {{for: {{in: '[range({N_ITERATIONS})]'}}, do: [{}]}}}}]",
        tasks.join(", ")
    )
}

fn measure(duration: std::time::Duration) -> anyhow::Result<f64> {
    let compiled = compile(&definition(), Format::Yaml).map_err(|refusal| anyhow::anyhow!("{refusal:?}"))?;
    let now = SystemClock.now();
    let (began, mut n_tasks) = (Instant::now(), 0);
    loop {
        let mut state = State::new(WorkflowId::fresh(), serde_json::json!({}), now);
        machine::step(&compiled.program, &mut state, &Input::Begun { seal: None }, now);
        anyhow::ensure!(matches!(state.outcome, Some(Outcome::Completed(_))), "it did not complete");
        n_tasks += N_ITERATIONS * N_TASKS;
        if began.elapsed() >= duration {
            return Ok(n_tasks as f64 / began.elapsed().as_secs_f64());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_completes_in_one_step() {
        assert!(measure(std::time::Duration::from_nanos(1)).unwrap() > 0.0);
    }
}
