//! Tasks of people: asked, answered, given away, escalated, late.

use serde_json::{Value, json};
use trunkline_model::PersonTaskId;

use super::{Machine, Todo, derived_id, hex_digest};
use crate::dsl::error::StandardError;
use crate::dsl::tasks::call::Call;
use crate::dsl::tasks::call::human::{HumanTask, Kind, OnTimeout, SelfApproval};
use crate::dsl::tasks::{Body, Task};
use crate::engine::input::Failure;
use crate::engine::people::{Act, Actor, Asked, TaskStatus};
use crate::engine::state::{Purpose, Work};
use crate::expression::Template;

/// The most people, and groups, that one task names.
const MAX_NAMES: usize = 100;
/// The longest name, in characters.
const MAX_NAME: usize = 256;
/// The longest title, in characters; longer ones are cut.
const MAX_TITLE: usize = 500;
/// The longest description, likewise.
const MAX_DESCRIPTION: usize = 10_000;

impl<'a> Machine<'a> {
    pub(super) fn ask(
        &mut self,
        frame: u32,
        task: &Task,
        human: &HumanTask,
        input: &Value,
    ) -> Result<(), Failure> {
        let title = match &human.title {
            None => task.name.to_string(),
            Some(title) => self.text_of(frame, title, input)?,
        };
        let description = human.description.as_ref().map(|it| self.text_of(frame, it, input)).transpose()?;
        let assignees = self.names(frame, human.assignees.as_ref(), input)?;
        let groups = self.names(frame, human.groups.as_ref(), input)?;
        let is_approval = human.kind == Kind::Approval;
        if is_approval && assignees.is_empty() && groups.is_empty() {
            let detail = "nobody may decide: `assignees` and `groups` are empty";
            return Err(Failure::standard(StandardError::Expression, detail));
        }
        let may_be_late = human.due.as_ref().map(|due| self.delay(frame, due)).transpose()?;
        let escalates = human.escalation.as_ref().map(|it| self.delay(frame, &it.after)).transpose()?;
        for (purpose, after) in [(Purpose::Wait, may_be_late), (Purpose::Escalate, escalates)] {
            if let Some(after) = after {
                self.set_timer(frame, purpose, after);
            }
        }
        // Ids of frames are never given twice, so neither is the nonce: not in loops, retries or jumps back.
        let place = format!("{}{}@{frame}", self.state.id, self.path_of(frame));
        let bars_starter = is_approval && human.self_approval == SelfApproval::Refused;
        let asked = Asked {
            id: PersonTaskId::from_text(format!("{}{}", PersonTaskId::PREFIX, derived_id(self.at, &place))),
            nonce: hex_digest(place.as_bytes())[..40].to_owned(),
            title: cut(title, MAX_TITLE),
            description: description.map(|it| cut(it, MAX_DESCRIPTION)),
            is_approval,
            assignees,
            groups,
            escalated_to: Vec::new(),
            delegated: std::collections::BTreeMap::new(),
            barred: self.state.started_by.clone().filter(|_| bars_starter),
            quorum: human.quorum,
            due_at: may_be_late.map(|after| self.at.plus(after)),
            escalate_at: escalates.map(|after| self.at.plus(after)),
            asked_at: self.at,
            changed_at: self.at,
            status: TaskStatus::Open,
            outcome: None,
            claimed_by: None,
            history: Vec::new(),
            version: 1,
        };
        self.tell_of_task("task.created", task, &asked);
        self.changes.asked.insert(frame, (task.id, asked.clone()));
        self.frame(frame).work = Work::Person(Box::new(asked));
        Ok(())
    }

    /// A list of names that an expression or the definition gives.
    fn names(&self, frame: u32, template: Option<&Template>, input: &Value) -> Result<Vec<String>, Failure> {
        let Some(template) = template else { return Ok(Vec::new()) };
        let unfit = |detail: &str| Failure::standard(StandardError::Expression, detail.to_owned());
        let value = self.eval(frame, |view| template.evaluate(input, view))?;
        let items = match value {
            Value::Array(items) => items,
            Value::Null => Vec::new(),
            one @ Value::String(_) => vec![one],
            _ => return Err(unfit("people and groups are a list of names")),
        };
        let mut names: Vec<String> = Vec::new();
        for item in items {
            let Value::String(name) = item else {
                return Err(unfit("a name of a person or group is no text"));
            };
            let is_fit =
                !name.is_empty() && name.chars().count() <= MAX_NAME && !name.chars().any(char::is_control);
            if !is_fit {
                return Err(unfit("a name of a person or group is empty, too long or no line of text"));
            }
            if !names.contains(&name) {
                names.push(name);
            }
        }
        if names.len() > MAX_NAMES {
            return Err(unfit("more than 100 people or groups for one task"));
        }
        Ok(names)
    }

    fn human_of(&mut self, frame: u32) -> Option<(&'a Task, &'a HumanTask)> {
        let task = self.frame(frame).task.map(|task| self.program.task(task))?;
        match &task.body {
            Body::Call(Call::Human(human)) => Some((task, human)),
            _ => None,
        }
    }

    /// Somebody did something about a task. What may not be done changes nothing: whoever asked was told before it came
    /// here, or reads it off the task.
    pub(super) fn acted(&mut self, nonce: &str, key: &str, actor: &Actor, act: &Act) {
        let found = self.state.people().find(|(_, asked, _)| asked.nonce == nonce).map(|(frame, ..)| frame);
        let Some(frame) = found else {
            return;
        };
        let Some((task, human)) = self.human_of(frame) else { return };
        let at = self.at;
        let Work::Person(asked) = &mut self.frame(frame).work else { return };
        if asked.check(act, actor, human.form.as_deref()).is_err() {
            return;
        }
        asked.apply(key, act, actor, at);
        let asked = (**asked).clone();
        self.changes.asked.insert(frame, (task.id, asked.clone()));
        if asked.outcome.is_some() {
            self.tell_of_task("task.completed", task, &asked);
            self.todo.push_back(Todo::Finish { frame, output: asked.output(), next: None });
        } else if matches!(act, Act::Claim | Act::Delegate { .. }) {
            self.tell_of_task("task.assigned", task, &asked);
        }
    }

    /// Further people are asked.
    pub(super) fn escalate(&mut self, frame: u32) {
        let Some((task, HumanTask { escalation: Some(escalation), .. })) = self.human_of(frame) else {
            return;
        };
        if matches!(&self.frame(frame).work, Work::Person(asked) if !asked.escalated_to.is_empty()) {
            // By its own time, or by a promise that was broken before.
            return;
        }
        let input = self.frame(frame).input.clone();
        let to = match self.names(frame, Some(&escalation.to), &input) {
            Ok(to) => to,
            Err(failure) => return self.raise(frame, failure),
        };
        let at = self.at;
        let Work::Person(asked) = &mut self.frame(frame).work else { return };
        asked.escalate(to, at);
        let asked = (**asked).clone();
        self.tell_of_task("task.escalated", task, &asked);
        self.changes.asked.insert(frame, (task.id, asked));
    }

    /// Nobody did it in time.
    pub(super) fn person_late(&mut self, frame: u32) {
        let Some((task, human)) = self.human_of(frame) else { return };
        let Some(asked) = self.close_task(frame, TaskStatus::Expired) else { return };
        self.tell_of_task("task.completed", task, &asked);
        if human.on_timeout == OnTimeout::Error {
            self.raise(frame, Failure::standard(StandardError::Timeout, "nobody did it in time"));
        } else {
            self.todo.push_back(Todo::Finish { frame, output: asked.output(), next: None });
        }
    }

    /// The workflow waits for it no more.
    pub(super) fn close_task(&mut self, frame: u32, status: TaskStatus) -> Option<Asked> {
        let at = self.at;
        let task = self.frame(frame).task?;
        let Work::Person(asked) = &mut self.frame(frame).work else { return None };
        if !asked.status.is_open() {
            return None;
        }
        asked.close(status, at);
        let asked = (**asked).clone();
        self.changes.asked.insert(frame, (task, asked.clone()));
        Some(asked)
    }

    fn tell_of_task(&mut self, event_type: &str, task: &Task, asked: &Asked) {
        let mut news = asked.to_news();
        news["reference"] = json!(&*task.reference);
        let seed = format!("{}{}", asked.id, asked.version);
        self.tell(event_type, asked.id.as_str(), &seed, news);
    }
}

fn cut(text: String, max_chars: usize) -> String {
    match text.char_indices().nth(max_chars) {
        None => text,
        Some((end, _)) => text[..end].to_owned(),
    }
}
