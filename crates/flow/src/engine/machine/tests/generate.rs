//! Workflows made from a seed, for tests that ask for more of them than anybody writes.

use serde_json::{Value, json};

/// Numbers that look like chance, the same for the same seed (splitmix64).
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

/// What workflows may be made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Palette {
    /// What comes to the same whenever it is interrupted: no races, no limits of time, nobody else.
    Steady,
    /// The same, with calls that may not be repeated.
    Once,
    /// Everything.
    All,
}

struct Maker {
    dice: Dice,
    palette: Palette,
    n_tasks: usize,
}

/// The tasks of a workflow, as JSON.
pub(crate) fn tasks(seed: u64, palette: Palette) -> String {
    let mut maker = Maker { dice: Dice::new(seed), palette, n_tasks: 0 };
    let mut list = maker.list(0, false);
    // Something to interrupt.
    list.as_array_mut().unwrap().push(json!({"last": maker.call()}));
    if palette == Palette::Steady && maker.dice.below(3) == 0 {
        // Whatever can be undone is.
        let fails = json!({"raise": {"error": {"type": "https://a.test/end", "status": 418}}});
        list.as_array_mut().unwrap().push(json!({"fails": fails}));
    }
    let mut workflow = json!({"do": list});
    if palette == Palette::All && maker.dice.below(4) == 0 {
        workflow["timeout"] = json!({"after": "PT1M"});
    }
    let head =
        json!({"dsl": "1.0.3", "namespace": "test", "name": format!("seed-{seed}"), "version": "1.0.0"});
    workflow["document"] = head;
    workflow.to_string()
}

impl Maker {
    /// A list of one to three tasks. Only where an error is caught may one be raised.
    fn list(&mut self, depth: usize, is_caught: bool) -> Value {
        let n = 1 + self.dice.below(3);
        let tasks = (0..n).map(|_| {
            self.n_tasks += 1;
            let name = format!("t{}", self.n_tasks);
            let task = self.task(depth, is_caught);
            json!({name: task})
        });
        Value::Array(tasks.collect())
    }

    fn task(&mut self, depth: usize, is_caught: bool) -> Value {
        let is_full = depth >= 3 || self.n_tasks > 12;
        match self.dice.below(if is_full { 8 } else { 15 }) {
            0 | 1 => json!({"set": {"size": "${ (tojson | length) % 97 }", "n": self.n_tasks}}),
            2 => json!({"set": {"n": self.n_tasks}, "export": {"as": "${ $context + {last: .n} }"}}),
            3 | 4 => self.call(),
            5 => json!({"wait": format!("PT{}S", 1 + self.dice.below(3))}),
            6 => json!({
                "emit": {"event": {"with": {"type": "crash.seen", "data": {"size": "${ (tojson | length) % 97 }"}}}},
                "output": {"as": "${ .data }"}
            }),
            7 if is_caught => self.failure(),
            8 => json!({"do": self.list(depth + 1, is_caught)}),
            9 => json!({"for": {"each": "it", "in": "[1, 2]"}, "do": self.list(depth + 1, is_caught)}),
            10 => json!({"fork": {"branches": self.branches(depth)}}),
            11 => json!({"switch": [{"odd": {"when": "(tojson | length) % 2 == 1", "then": "exit"}}]}),
            12 => {
                let tasks = self.list(depth + 1, true);
                json!({"try": tasks, "catch": {
                    "retry": {"delay": "PT1S", "limit": {"attempt": {"count": 1}}},
                    "do": [{"handled": {"set": {"caught": "${ $error.status }"}}}]
                }})
            }
            13 if self.palette == Palette::All => self.special(depth),
            _ => json!({"if": "(tojson | length) % 3 != 0", "do": self.list(depth + 1, is_caught)}),
        }
    }

    fn branches(&mut self, depth: usize) -> Value {
        json!([{"a": {"do": self.list(depth + 1, false)}}, {"b": {"do": self.list(depth + 1, false)}}])
    }

    fn call(&mut self) -> Value {
        let endpoint = format!("http://a.test/{}", self.n_tasks);
        let call = json!({"call": "http", "with": {"method": "post", "endpoint": endpoint, "body": "${ {got: .} }"}});
        self.marked(call)
    }

    /// Something that fails, always or for the first time.
    fn failure(&mut self) -> Value {
        if self.dice.below(2) == 0 {
            return json!({"raise": {"error": {"type": "https://a.test/bad", "status": 418}}});
        }
        let endpoint = format!("http://a.test/{}/flaky", self.n_tasks);
        let call =
            json!({"call": "http", "with": {"method": "post", "endpoint": endpoint, "body": {"n": 1}}});
        self.marked(call)
    }

    fn marked(&mut self, mut call: Value) -> Value {
        match self.palette {
            Palette::Once => {
                call["metadata"] = json!({"trunkline": {"idempotency": {"mode": "at-most-once"}}});
            }
            Palette::Steady => call["metadata"] = json!({"trunkline": self.points()}),
            Palette::All => {}
        }
        call
    }

    /// Limits, and what undoes the task.
    fn points(&mut self) -> Value {
        let mut points = json!({});
        if self.dice.below(3) == 0 {
            let endpoint = format!("http://a.test/{}/undo", self.n_tasks);
            let body = json!({"undo": "${ .output }"});
            let undo =
                json!({"call": "http", "with": {"method": "post", "endpoint": endpoint, "body": body}});
            let told = json!({"emit": {"event": {"with": {"type": "crash.seen", "data": {"undone": true}}}}});
            points["compensate"] = json!([{"undo": undo}, {"told": told}]);
        }
        match self.dice.below(5) {
            0 => points["concurrency"] = json!({"key": "one"}),
            1 => points["rateLimit"] = json!({"limit": 1, "per": "PT1S"}),
            _ => {}
        }
        points
    }

    /// Races, limits of time, events, people.
    fn special(&mut self, depth: usize) -> Value {
        match self.dice.below(5) {
            0 => json!({"fork": {"compete": true, "branches": self.branches(depth)}}),
            1 => json!({"timeout": {"after": "PT2S"}, "do": self.list(depth + 1, false)}),
            2 => json!({"listen": {"to": {"any": [{"with": {"type": "t.one"}}], "until": "length >= 2"}}}),
            3 => {
                json!({"listen": {"to": {"all": [{"with": {"type": "t.one"}}, {"with": {"type": "t.two"}}]}}})
            }
            _ => json!({"call": "step:1@default", "with": {"due": "PT5S"}}),
        }
    }
}

#[test]
fn every_seed_gives_a_workflow_that_compiles() {
    for seed in 0..300 {
        for palette in [Palette::Steady, Palette::Once, Palette::All] {
            let text = tasks(seed, palette);
            assert_eq!(text, tasks(seed, palette));
            super::program(&text);
        }
    }
}
