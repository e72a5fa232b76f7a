//! Workflows that wait for nothing and call nobody: an event that starts one is answered by one commit, with start,
//! steps, emitted events and end beside the place of the reader.
//!
//! Whether a program is of that kind is known when it is compiled. What goes on for long all the same, or fails to end,
//! is started as any other.

use serde_json::Value;
use trunkline_model::{Shard, Timestamp};
use trunkline_store::tables::workflow::instance::InstanceRow;
use trunkline_store::{Commit, Fence};

use super::input::Input;
use super::live::Live;
use super::programs::Programs;
use super::start;
use crate::dsl::flow::Next;
use crate::dsl::tasks::Body;
use crate::dsl::tasks::call::Call;
use crate::dsl::tasks::call::function::Function;
use crate::program::{Program, TaskId};

/// Tells whether a program only makes data and emits events, and goes forward.
pub(crate) fn is_short(program: &Program) -> bool {
    let workflow = program.workflow();
    let goes_on = |from: TaskId, next: Next| !matches!(next, Next::Task(to) if to <= from);
    workflow.timeout.is_none()
        && workflow.extensions.is_empty()
        && workflow.secrets.is_empty()
        && program.tasks().iter().all(|task| {
            let is_own = match &task.body {
                Body::Call(Call::Function(call)) => match &call.function {
                    Function::Own(_) => true,
                    _ => call.of_default() == Some("event"),
                },
                Body::Emit(_) => true,
                body => body.is_pure(),
            };
            is_own && task.timeout.is_none() && task.jumps().iter().all(|jump| goes_on(task.id, jump.next))
        })
}

/// Runs a short instance from start to end; `None` where it does not come to its end at once, and nothing has happened.
pub(crate) async fn run(
    programs: &Programs,
    row: &InstanceRow,
    input: Value,
    at: Timestamp,
    n_shards: Shard,
) -> Option<(Commit, Live)> {
    let mut live = Live::fresh(programs, row.clone()).await.ok()?;
    // Whoever starts an instance need not own its shard: the row is not there yet, so nobody else works on it.
    let nobody = Fence { shard: row.shard, owner: String::new(), epoch: 0 };
    let mut commit = live.advance(&Input::Begun { seal: None }, None, at, &nobody, n_shards);
    live.state.outcome.as_ref()?;
    let mut statements = start::statements(row, input);
    statements.append(&mut commit.statements);
    Some((Commit { fence: None, statements, ..commit }, live))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::{Format, compile};

    #[test]
    fn only_what_goes_forward_and_reaches_nobody_is_short() {
        let check = |expect: bool, tasks: &str| {
            let text = format!(
                "document: {{dsl: '1.0.3', namespace: t, name: t, version: '1.0.0'}}\ndo:\n- a: {{set: {{n: 1}}}}\n- b: {tasks}"
            );
            let program = compile(&text, Format::Yaml).map_err(|it| it.faults).unwrap().program;
            assert_eq!(is_short(&program), expect, "{tasks}");
        };
        check(true, "{set: {x: 1}}");
        check(true, "{emit: {event: {with: {type: a.b}}}}");
        check(true, "{call: 'event:1@default', with: {type: a.b}}");
        check(true, "{for: {in: '[1, 2]'}, do: [{c: {emit: {event: {with: {type: a.b}}}}}]}");
        check(
            true,
            "{fork: {branches: [{c: {set: {x: 1}}}, {d: {raise: {error: {type: 'https://a.example/e', status: 400}}}}]}}",
        );
        check(false, "{wait: PT1S}");
        check(false, "{call: http, with: {method: get, endpoint: 'https://a.example/'}}");
        check(false, "{call: 'record-update:1@default', with: {collection: c, id: i, data: {}}}");
        check(false, "{switch: [{again: {when: '.n < 3', then: a}}]}");
        check(false, "{do: [{c: {listen: {to: {one: {with: {type: a.b}}}}}}]}");
        check(false, "{timeout: {after: PT1S}, set: {x: 1}}");
    }
}
