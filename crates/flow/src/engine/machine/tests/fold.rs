//! Whatever happens in whatever order: folding the records gives the state, and every call, timer and subscription of
//! the state was announced once.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::json;

use super::generate::{Palette, tasks};
use super::{Run, event};
use crate::engine::input::{Failure, Input};
use crate::engine::people::{Act, Actor, Decided};

const WORKFLOWS: [&str; 6] = [
    "document: {dsl: '1.0.3', namespace: test, name: it, version: '1.0.0', metadata: {trunkline: {concurrency: {}, sla: {duration: PT10S, warnAt: 50%}}}}\ndo:\n- f: {fork: {branches: [{x: {metadata: {trunkline: {concurrency: {key: k, policy: skip}, rateLimit: {limit: 1, per: PT1M}, sla: {duration: PT3S}, compensate: [{u: {call: http, with: {method: get, endpoint: 'http://a.test/u'}}}, {w: {wait: PT2S}}]}}, call: http, with: {method: get, endpoint: 'http://a.test/x'}}}, {y: {try: [{c: {metadata: {trunkline: {rateLimit: {limit: 1, per: PT1M, policy: fail}, compensate: [{v: {wait: PT9S}}]}}, wait: PT1S}}, {d: {call: http, with: {method: get, endpoint: 'http://a.test/d'}}}], catch: {retry: {delay: PT1S, limit: {attempt: {count: 1}}}, do: [{s: {set: {y: 1}}}]}}}]}}\n- l: {listen: {to: {one: {with: {type: t.one}}}}}",
    "do:\n- a: {fork: {branches: [{x: {try: [{c: {call: http, with: {method: get, endpoint: 'http://a.test'}}}], catch: {retry: {delay: PT1S, backoff: {exponential: {}}, jitter: {from: PT0S, to: PT1S}, limit: {attempt: {count: 3}}}, do: [{s: {set: {x: 1}}}]}}}, {y: {for: {each: i, in: '[1,2,3]'}, do: [{c: {call: http, with: {method: post, endpoint: 'http://b.test', body: '${ $i }'}}}, {w: {wait: PT5S}}]}}]}}\n- b: {set: {out: '${ . }', at: '${ now }'}}",
    "do:\n- l: {timeout: {after: PT1H}, listen: {to: {any: [{with: {type: t.one}}, {with: {type: t.two}}], until: '(. | length) >= 3'}}, foreach: {item: it, do: [{c: {call: http, with: {method: get, endpoint: 'http://a.test'}}}]}}\n- e: {emit: {event: {with: {type: it.over, data: '${ . }'}}}}",
    "do:\n- r: {fork: {compete: true, branches: [{p: {call: 'step:1@default', with: {due: PT1M}}}, {l: {listen: {to: {one: {with: {type: t.one}}}}}}, {c: {run: {workflow: {namespace: n, name: m, version: latest}}}}]}}\n- again: {set: {n: '${ ($context.n // 0) + 1 }'}, export: {as: .}}\n- s: {switch: [{more: {when: .n < 3, then: r}}]}",
    "timeout: {after: PT2M}\ndo:\n- t: {try: [{d: {timeout: {after: PT7S}, do: [{c: {call: http, with: {method: get, endpoint: 'http://a.test'}}}, {w: {wait: PT5S}}]}}], catch: {errors: {with: {status: 408}}, retry: {delay: PT3S, limit: {duration: PT40S, attempt: {duration: PT6S}}}}}",
    "do:\n- f: {fork: {branches: [{a: {call: 'approval:1@default', with: {groups: [doctors], quorum: 2, due: PT1M, escalate: {after: PT20S, to: [eve]}}}}, {b: {for: {each: i, in: '[1,2]'}, do: [{s: {call: 'step:1@default', with: {assignees: [ann, eve]}}}]}}]}}",
];

/// Does something to an instance, chosen by a number.
fn prod(run: &mut Run, choice: u8) {
    let nth = |n: usize| usize::from(choice >> 3) % n.max(1);
    let effects: Vec<u32> = run.state.effects.keys().copied().collect();
    let waits: Vec<u32> = run.state.waits.keys().copied().collect();
    let people: Vec<String> = run.state.people().map(|(_, asked, _)| asked.nonce.clone()).collect();
    match choice % 8 {
        0 | 1 if !effects.is_empty() => {
            let failure = Failure::standard(crate::dsl::error::StandardError::Communication, "no");
            let result = if choice & 64 == 0 { Ok(json!({"id": "wf_9"})) } else { Err(failure) };
            run.take(Input::EffectDone { effect: effects[nth(effects.len())], result });
        }
        2 if !waits.is_empty() => {
            let event_type = ["t.one", "t.two"][nth(2)];
            run.take(Input::EventMatched {
                wait: waits[nth(waits.len())],
                event: event(event_type, json!(choice)),
            });
        }
        3 if !people.is_empty() => {
            let nonce = people[nth(people.len())].clone();
            let user = ["ann", "bob", "eve"][nth(3)].to_owned();
            let actor =
                Actor { user, groups: vec!["doctors".to_owned()], on_behalf_of: None, is_operator: false };
            let decide = |decision| Act::Complete { decision, data: json!(choice), comment: None };
            let act = match choice >> 6 {
                0 => Act::Claim,
                1 => Act::Delegate { to: "bob".to_owned() },
                2 => decide(Some(Decided::Approved)),
                _ => decide(None),
            };
            run.take(Input::Acted { nonce, key: choice.to_string(), actor, act });
        }
        4 if choice > 200 => drop(run.take(Input::Suspend { reason: None })),
        5 => drop(run.take(Input::Resume)),
        6 if run.state.tickets.values().any(|it| !it.is_held) => {
            let asks = run.state.tickets.iter().filter(|(_, it)| !it.is_held).map(|(id, _)| *id);
            let asks: Vec<u32> = asks.collect();
            let ticket = asks[nth(asks.len())];
            let is_refused = choice & 64 != 0 && choice & 128 != 0;
            run.take(if is_refused { Input::Refused { ticket } } else { Input::Admitted { ticket } });
        }
        4 if choice > 180 => drop(run.take(Input::Cancel { reason: None })),
        // What nobody waits for changes nothing.
        6 => drop(run.take(Input::EffectDone { effect: 9_999, result: Ok(json!(1)) })),
        _ if !run.state.timers.is_empty() => drop(run.wake()),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn folding_the_records_gives_the_state(which in 0..WORKFLOWS.len(), choices in prop::collection::vec(any::<u8>(), 0..40)) {
        live_through(WORKFLOWS[which], choices);
    }

    #[test]
    fn folding_the_records_of_made_workflows_gives_the_state(seed in any::<u64>(), choices in prop::collection::vec(any::<u8>(), 0..40)) {
        live_through(&tasks(seed, Palette::All), choices);
    }
}

fn live_through(tasks: &str, choices: Vec<u8>) {
    let mut run = Run::start(tasks, json!({"n": 1}));
    let mut timers = BTreeSet::new();
    let mut waits = BTreeSet::new();
    let mut tickets = BTreeSet::new();
    let mut promises: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    let mut follow = |run: &Run| {
        for (id, _) in &run.changes.timers_set {
            assert!(timers.insert(*id), "set twice");
        }
        for (id, _) in &run.changes.timers_cleared {
            assert!(timers.remove(id), "cleared and never set");
        }
        for (id, ..) in &run.changes.waits_set {
            assert!(waits.insert(*id), "set twice");
        }
        for (id, ..) in &run.changes.waits_cleared {
            assert!(waits.remove(id), "cleared and never set");
        }
        for (id, _) in &run.changes.tickets_set {
            assert!(tickets.insert(*id), "asked twice");
        }
        for id in &run.changes.tickets_cleared {
            assert!(tickets.remove(id), "given back and never asked for");
        }
        // Starts that are used up, and what was refused, are taken away by the owner of the lane.
        assert!(run.state.tickets.keys().all(|id| tickets.contains(id)), "every ticket is a row");
        for change in &run.changes.promises {
            for (standing, n) in [(change.from, -1), (change.to, 1)] {
                *standing.map_or(&mut 0, |it| {
                    promises.entry((change.scope.as_str(), it.as_str())).or_insert(0)
                }) += n;
            }
        }
        let open: i64 = ["within", "warned", "breached"]
            .iter()
            .flat_map(|standing| ["workflow", "task"].map(|scope| promises.get(&(scope, *standing)).copied()))
            .flatten()
            .inspect(|n| assert!(*n >= 0))
            .sum();
        let promised = run.state.frames.values().filter(|frame| frame.promise.is_some()).count();
        assert_eq!(open, promised as i64, "the counts are the promises of the state");
        assert!(timers.iter().eq(run.state.timers.keys()), "the rows are the timers of the state");
        assert!(waits.iter().eq(run.state.waits.keys()), "the rows are the waits of the state");
    };
    follow(&run);
    for choice in choices {
        let n_before = run.records.len();
        prod(&mut run, choice);
        if run.records.len() > n_before {
            follow(&run);
        }
    }
}
