//! Gates: what lets only so many through at once, or in a time (rule 44). The interpreter asks with a ticket and waits; who
//! is let through is decided by the owner of the lane (`engine/lanes`), and comes back as an input.

use super::Machine;
use super::outside::plain;
use crate::dsl::error::StandardError;
use crate::dsl::limits::LimitPolicy;
use crate::engine::input::{Failure, Outcome};
use crate::engine::state::{Gate, ROOT, Ticket, Work};
use crate::expression::Template;

/// The longest key, in characters; longer ones are cut.
const MAX_KEY: usize = 1_000;

/// The place of limits that tasks share by their keys.
const TASKS: &str = "*";

/// What a gate asks for.
struct Limit<'p> {
    gate: Gate,
    key: Option<&'p Template>,
    policy: LimitPolicy,
    most: u32,
    per: Option<std::time::Duration>,
}

impl<'a> Machine<'a> {
    /// Goes through the gates behind one, or all of them, and begins; stops at the first that has to be asked.
    pub(super) fn pass_gates(&mut self, frame: u32, behind: Option<Gate>) {
        match self.ask_next(frame, behind) {
            Err(failure) => self.raise(frame, failure),
            Ok(true) => {}
            Ok(false) if frame == ROOT => self.begin_free(),
            Ok(false) => {
                if let Some(task) = self.frame(frame).task.map(|task| self.program.task(task)) {
                    self.body(frame, task);
                }
            }
        }
    }

    /// The limits of a frame, in the order in which they are asked: a start is used up only where there is a place.
    fn limits(&mut self, frame: u32) -> Vec<Limit<'a>> {
        let program = self.program;
        let (places, starts) = match self.frame(frame).task {
            None => (&program.workflow().points.concurrency, &program.workflow().points.rate_limit),
            Some(task) => (&program.task(task).points.concurrency, &program.task(task).points.rate_limit),
        };
        let places = places.as_ref().map(|it| Limit {
            gate: Gate::Places,
            key: it.key.as_ref(),
            policy: it.policy,
            most: it.limit,
            per: None,
        });
        let starts = starts.as_ref().map(|it| Limit {
            gate: Gate::Starts,
            key: it.key.as_ref(),
            policy: it.policy,
            most: it.limit,
            per: Some(it.per),
        });
        places.into_iter().chain(starts).collect()
    }

    /// Asks the next gate; gives whether there is one.
    fn ask_next(&mut self, frame: u32, behind: Option<Gate>) -> Result<bool, Failure> {
        for limit in self.limits(frame) {
            if behind.is_some_and(|behind| limit.gate <= behind) {
                continue;
            }
            let key = match limit.key {
                None => String::new(),
                Some(key) => {
                    let input =
                        if frame == ROOT { &self.state.input } else { &self.state.frames[&frame].input };
                    let value = self.eval(frame, |view| key.evaluate(input, view))?;
                    if value.is_null() {
                        // No key, no limit.
                        continue;
                    }
                    plain(&self.labelled(value)).chars().take(MAX_KEY).collect()
                }
            };
            let task = self.frame(frame).task.map(|task| self.program.task(task));
            let ticket = Ticket {
                frame,
                gate: limit.gate,
                place: match task {
                    None => String::new(),
                    // Tasks that name the same key share a limit.
                    Some(_) if limit.key.is_some() => TASKS.to_owned(),
                    Some(task) => task.reference.to_string(),
                },
                key,
                policy: limit.policy,
                most: limit.most,
                per: limit.per,
                priority: task.and_then(|task| task.points.priority),
                asked_at: if frame == ROOT { self.state.started_at } else { self.at },
                is_held: false,
            };
            let id = self.state.take_id();
            self.changes.tickets_set.push((id, ticket.clone()));
            self.state.tickets.insert(id, ticket);
            self.frame(frame).work = Work::Queued;
            return Ok(true);
        }
        Ok(false)
    }

    /// A gate lets a frame through.
    pub(super) fn admitted(&mut self, id: u32) {
        let Some(ticket) = self.state.tickets.get_mut(&id).filter(|ticket| !ticket.is_held) else { return };
        let (frame, gate) = (ticket.frame, ticket.gate);
        ticket.is_held = true;
        if gate == Gate::Starts {
            // A start is used up; nobody holds it.
            self.state.tickets.remove(&id);
        }
        self.frame(frame).work = if frame == ROOT { Work::Root } else { Work::List };
        self.pass_gates(frame, Some(gate));
    }

    /// A gate does not let a frame through, and it does not wait.
    pub(super) fn refused(&mut self, id: u32) {
        let Some(Ticket { frame, gate, policy, most, .. }) = self.state.tickets.remove(&id) else { return };
        let why = match gate {
            Gate::Places => format!("{most} are at it already"),
            Gate::Starts => format!("{most} have started in the time"),
        };
        match policy {
            LimitPolicy::Skip if frame == ROOT => {
                self.end(Outcome::Cancelled(Some(format!("skipped: {why}"))));
            }
            LimitPolicy::Skip => {
                let Some(task) = self.frame(frame).task.map(|task| self.program.task(task)) else { return };
                let (parent, place) = self.place_of(frame);
                let Some(dropped) = self.drop_frame(frame) else { return };
                self.follow(parent, place, dropped.raw_input, task.skip.next, dropped.context);
            }
            _ => self.raise(frame, Failure::standard(StandardError::Runtime, why).with_status(429)),
        }
    }

    /// Gives back what a frame holds or waits for.
    pub(super) fn give_back(&mut self, frame: u32) {
        let mine: Vec<u32> =
            self.state.tickets.iter().filter(|(_, it)| it.frame == frame).map(|(id, _)| *id).collect();
        for id in mine {
            self.state.tickets.remove(&id);
            let n_before = self.changes.tickets_set.len();
            self.changes.tickets_set.retain(|(other, _)| *other != id);
            if self.changes.tickets_set.len() == n_before {
                self.changes.tickets_cleared.push(id);
            }
        }
    }
}
