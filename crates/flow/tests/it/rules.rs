//! The rules of the profile that concern the language, one test or more for each, named by its number.

use std::time::Duration;

use serde_json::{Value, json};
use trunkline_flow::dsl::cron::Cron;
use trunkline_flow::dsl::error::{StandardError, canonical_type};
use trunkline_flow::dsl::flow::Next;
use trunkline_flow::dsl::points::{CatchUp, EffectMode, InitialContext, Overlap};
use trunkline_flow::dsl::retry::Backoff;
use trunkline_flow::dsl::schedule::Schedule;
use trunkline_flow::dsl::tasks::call::human::Kind;
use trunkline_flow::dsl::tasks::fork::Join;
use trunkline_flow::dsl::tasks::{Body, call::Call};
use trunkline_flow::expression::{Scope, Template, Variable};
use trunkline_flow::{Compiled, FaultKind, MAX_KEY_BYTES, Program, Rule};

use crate::{lines, with_tasks, yaml};

/// Expressions that see nothing.
struct Nothing;

impl Scope for Nothing {
    fn value(&self, _: &Variable) -> Value {
        Value::Null
    }

    fn now(&self) -> f64 {
        1_700_000_000.0
    }
}

#[track_caller]
fn compiled(text: &str) -> Compiled {
    yaml(text).unwrap_or_else(|refusal| panic!("{}\n{text}", lines(&refusal.faults).join("\n")))
}

#[track_caller]
fn program(tasks: &str) -> Program {
    compiled(&with_tasks(tasks)).program
}

/// Asserts that a text breaks one rule and nothing else; returns the pointers of the faults.
#[track_caller]
fn broken(text: &str, rule: Rule) -> Vec<String> {
    let Err(refusal) = yaml(text) else { panic!("accepted against {rule}:\n{text}") };
    for fault in &refusal.faults {
        assert_eq!(fault.kind, FaultKind::Rule(rule), "{fault}\n{text}");
    }
    refusal.faults.into_iter().map(|fault| fault.pointer).collect()
}

#[track_caller]
fn breaks(tasks: &str, rule: Rule) -> Vec<String> {
    broken(&with_tasks(tasks), rule)
}

#[track_caller]
fn warned(tasks: &str, rule: Rule) -> Vec<String> {
    let warnings = compiled(&with_tasks(tasks)).warnings;
    assert!(warnings.iter().all(|it| it.kind == FaultKind::Rule(rule)), "{:?}", lines(&warnings));
    warnings.into_iter().map(|it| it.pointer).collect()
}

#[test]
fn the_profile_describes_every_rule() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/workflow-profile.md");
    let page = std::fs::read_to_string(path).unwrap();
    for rule in Rule::ALL {
        assert!(page.contains(&format!("\n### {}. ", rule.number())), "{rule} is not described");
        assert!(!rule.summary().is_empty());
        // What a rule means while running is tested with the engine, what it means to the language here.
        let test = format!("fn rule_{:02}_", rule.number());
        assert!(include_str!("rules.rs").contains(&test), "{rule} has no test");
    }
}

#[test]
fn rule_01_branches_keep_their_order() {
    let program = program("- a: {fork: {branches: [{z: {wait: PT2S}}, {b: {wait: PT1S}}]}}");
    let Body::Fork(fork) = &program.tasks()[0].body else { panic!("no fork") };
    let names: Vec<&str> = fork.branches.tasks.iter().map(|id| &*program.task(*id).name).collect();
    assert_eq!((names, fork.join), (vec!["z", "b"], Join::All));
    // Branches do not follow one another.
    assert!(fork.branches.tasks.iter().all(|id| program.task(*id).then.next == Next::EndOfList));
}

#[test]
fn rule_02_a_race_has_branches() {
    let fork = |branches: &str| format!("- a: {{fork: {{compete: true, branches: {branches}}}}}");
    assert_eq!(breaks(&fork("[]"), Rule::ForkCompete), ["/do/0/a/fork"]);
    let program = program(&fork("[{b: {wait: PT1S}}]"));
    let Body::Fork(fork) = &program.tasks()[0].body else { panic!("no fork") };
    assert_eq!(fork.join, Join::First);
}

#[test]
fn rule_03_a_branch_may_end_the_workflow_and_export() {
    program("- a: {fork: {branches: [{b: {set: {x: 1}, export: {as: '$context + .'}, then: end}}]}}");
}

#[test]
fn rule_04_the_context_begins_as_the_document_says() {
    let begins = |metadata: &str| {
        let text = with_tasks("- a: {set: {x: 1}}").replace("'0.1.0'}", &format!("'0.1.0'{metadata}}}"));
        compiled(&text).program.workflow().points.initial_context
    };
    assert_eq!(begins(""), InitialContext::Empty);
    assert_eq!(begins(", metadata: {trunkline: {initialContext: input}}"), InitialContext::Input);
}

#[test]
fn rule_05_an_export_that_drops_the_context_is_warned_of() {
    let tasks = "- a: {set: {x: 1}, export: {as: '$context + {x: .x}'}}\n- b: {set: {y: 1}, export: {as: {y: '${ .y }'}}}\n";
    assert_eq!(warned(tasks, Rule::ExportInput), ["/do/1/b"]);
    assert!(warned("- a: {set: {x: 1}, export: {as: .x}}", Rule::ExportInput).is_empty());
}

#[test]
fn rule_06_a_handler_without_tasks_is_not_the_same_as_none() {
    let program = program("- a: {try: [], catch: {}}\n- b: {try: [], catch: {do: []}}\n");
    let has_handler = |index: usize| match &program.tasks()[index].body {
        Body::Try(body) => body.catch.has_handler,
        _ => panic!("no try"),
    };
    assert!(!has_handler(0) && has_handler(1));
}

#[test]
fn rule_07_a_limit_is_for_an_attempt_or_for_all() {
    let program = program(
        "- a:\n    try: [{b: {wait: PT1S}}]\n    catch:\n      retry:\n        limit:\n          \
         attempt: {count: 3, duration: PT5S}\n          duration: PT1M\n",
    );
    let Body::Try(body) = &program.tasks()[0].body else { panic!("no try") };
    let retry = body.catch.retry.as_ref().unwrap();
    let fixed = |delay: &Option<trunkline_flow::dsl::duration::Delay>| match delay {
        Some(trunkline_flow::dsl::duration::Delay::Literal(duration)) => duration.as_secs(),
        other => panic!("{other:?}"),
    };
    assert_eq!((retry.max_retries, fixed(&retry.attempt_time), fixed(&retry.total_time)), (Some(3), 5, 60));
    let warned = warned("- a: {try: [{b: {wait: PT1S}}], catch: {retry: {delay: PT1S}}}", Rule::RetryLimits);
    assert_eq!(warned, ["/do/0/a/catch/retry"]);
}

#[test]
fn rule_08_waits_grow_as_the_backoff_says() {
    let waits = |backoff: Backoff| [1, 2, 3, 4].map(|n| backoff.wait(Duration::from_secs(3), n).as_secs());
    assert_eq!(waits(Backoff::Constant), [3, 3, 3, 3]);
    assert_eq!(waits(Backoff::Linear), [3, 6, 9, 12]);
    assert_eq!(waits(Backoff::Exponential), [3, 6, 12, 24]);
    let century = trunkline_flow::dsl::duration::MAX_DURATION;
    assert_eq!(Backoff::Exponential.wait(Duration::from_secs(3), u32::MAX), century);
    let retry =
        "- a: {try: [], catch: {retry: {backoff: {linear: {increment: 1}}, limit: {duration: PT1M}}}}";
    assert_eq!(breaks(retry, Rule::Backoff), ["/do/0/a/catch/retry/backoff/linear"]);
}

#[test]
fn rule_09_a_loop_takes_an_expression_or_a_list() {
    let program = program(
        "- a: {for: {in: .pets}, do: [{b: {set: '${ . + {($item.id): $index} }'}}]}\n\
         - c: {for: {each: pet, at: n, in: [{id: '${ .first }'}, {}]}, do: []}\n",
    );
    let loops: Vec<_> = program
        .tasks()
        .iter()
        .filter_map(|task| match &task.body {
            Body::For(body) => {
                Some((&*body.each, &*body.at, body.items.evaluate(&json!({"first": 7}), &Nothing)))
            }
            _ => None,
        })
        .collect();
    assert_eq!(loops[0], ("item", "index", Ok(Value::Null)));
    assert_eq!(loops[1], ("pet", "n", Ok(json!([{"id": 7}, {}]))));
    assert_eq!(breaks("- a: {for: {each: x, at: x, in: .a}, do: []}", Rule::Variables).len(), 1);
}

#[test]
fn rule_10_a_switch_goes_on_without_a_match() {
    let program = program(
        "- a:\n    switch: [{x: {when: .x, then: c}}, {y: {when: .y, then: exit}}, {z: {when: .z, then: continue}}]\n\
         - b: {set: {n: 1}, then: end}\n- c: {set: {n: 2}}\n",
    );
    let [a, b, c] = [0, 1, 2].map(|index| &program.tasks()[index]);
    let Body::Switch(body) = &a.body else { panic!("no switch") };
    let cases: Vec<Next> = body.cases.iter().map(|case| case.then.next).collect();
    assert_eq!(cases, [Next::Task(c.id), Next::Exit, Next::Task(b.id)]);
    assert_eq!((a.then.next, b.then.next, c.then.next), (Next::Task(b.id), Next::End, Next::EndOfList));
}

#[test]
fn rule_11_a_jump_stays_in_its_list() {
    let inner = "- a:\n    do:\n      - b: {set: {x: 1}, then: c}\n- c: {set: {x: 1}}\n";
    assert_eq!(breaks(inner, Rule::JumpInScope), ["/do/0/a/do/0/b/then"]);
    assert_eq!(breaks("- a: {set: {x: 1}, then: z}", Rule::JumpInScope), ["/do/0/a/then"]);
    for word in ["exit", "c"] {
        let branches = format!("[{{b: {{set: {{x: 1}}, then: {word}}}}}, {{c: {{set: {{x: 1}}}}}}]");
        let fork = format!("- a: {{fork: {{branches: {branches}}}}}");
        assert_eq!(breaks(&fork, Rule::JumpInScope), ["/do/0/a/fork/branches/0/b/then"]);
    }
    let catch = "- a:\n    try: [{b: {set: {x: 1}}}]\n    catch: {then: b}\n";
    assert_eq!(breaks(catch, Rule::JumpInScope), ["/do/0/a/catch/then"]);
    let back = program("- a: {if: .again, set: {x: 1}}\n- b: {if: .x, set: {y: 1}, then: a}\n");
    assert_eq!(back.tasks()[1].then.next, Next::Task(back.tasks()[0].id));
    assert_eq!(back.tasks()[1].skip.next, Next::EndOfList);
}

#[test]
fn rule_12_an_empty_any_takes_one_event_and_look_back_is_a_setting() {
    let program = program("- a:\n    listen: {to: {any: []}}\n    metadata: {trunkline: {lookBack: PT1M}}\n");
    assert_eq!(program.tasks()[0].points.look_back, Some(Duration::from_mins(1)));
    assert_eq!(breaks("- a: {listen: {to: {all: []}}}", Rule::Listen), ["/do/0/a/listen/to/all"]);
    let pattern = "- a: {listen: {to: {one: {with: {type: '('}}}}}";
    assert_eq!(breaks(pattern, Rule::Listen), ["/do/0/a/listen/to/one/with/type"]);
}

#[test]
fn rule_13_secrets_are_declared_and_have_two_names() {
    let uses = |expression: &str| {
        format!(
            "{}use: {{secrets: [key]}}\n",
            with_tasks(&format!("- a: {{set: {{x: '${{ {expression} }}'}}}}"))
        )
    };
    let program = compiled(&uses("$secrets.key + $secret[\"key\"]")).program;
    let Body::Set(set) = &program.tasks()[0].body else { panic!("no set") };
    let mut secrets = None;
    set.data.each_expression(&mut |expression| secrets = expression.secrets());
    assert_eq!(secrets.unwrap().into_iter().collect::<Vec<_>>(), ["key"]);
    assert_eq!(broken(&uses("$secrets.other"), Rule::Secrets), ["/do/0/a/set/x"]);
    assert_eq!(compiled(&uses("$secrets | length")).warnings[0].kind, FaultKind::Rule(Rule::Secrets));
}

#[test]
fn rule_14_fields_of_expressions_need_no_braces_and_other_text_does() {
    let program = program("- a: {if: .x, set: {plain: .x, computed: '${ .x }', text: 'a .x'}}");
    let task = &program.tasks()[0];
    assert_eq!(task.condition.as_ref().unwrap().text(), ".x");
    let Body::Set(set) = &task.body else { panic!("no set") };
    let made = set.data.evaluate(&json!({"x": 7}), &Nothing).unwrap();
    assert_eq!(made, json!({"plain": ".x", "computed": 7, "text": "a .x"}));
    let marked = self::program("- a: {if: '${ .x }', set: '${ {y: .x} }'}");
    assert_eq!(marked.tasks()[0].condition.as_ref().unwrap().text(), " .x ");
    assert_eq!(warned("- a: {set: {x: 'Dear ${ .name }'}}", Rule::ExpressionFields), ["/do/0/a/set/x"]);
    let loose = format!("{}evaluate: {{mode: loose}}\n", with_tasks("- a: {set: {x: .x}}"));
    compiled(&loose);
}

#[test]
fn rule_15_an_expression_may_have_several_lines() {
    let program =
        program("- a:\n    set:\n      x: |\n        ${\n          .a\n          | .b\n        }\n");
    let Body::Set(set) = &program.tasks()[0].body else { panic!("no set") };
    assert_eq!(set.data.evaluate(&json!({"a": {"b": 1}}), &Nothing), Ok(json!({"x": 1})));
}

#[test]
fn rule_16_no_result_is_null_and_several_are_an_error() {
    assert_eq!(warned("- a: {set: {x: '${ .[] }'}}", Rule::OneOutput), ["/do/0/a/set/x"]);
    let program = program("- a: {set: {x: '${ empty }'}}\n- b: {set: {x: '${ .[] }'}}\n");
    let data = |index: usize| match &program.tasks()[index].body {
        Body::Set(set) => set.data.clone(),
        _ => panic!("no set"),
    };
    assert_eq!(data(0).evaluate(&json!(null), &Nothing), Ok(json!({"x": null})));
    assert_eq!(data(1).evaluate(&json!([1]), &Nothing), Ok(json!({"x": 1})));
    assert!(data(1).evaluate(&json!([1, 2]), &Nothing).unwrap_err().to_string().contains("several results"));
}

#[test]
fn rule_17_data_that_looks_like_an_expression_stays_data() {
    let program = program("- a: {set: {x: '${ .text }'}}");
    let Body::Set(set) = &program.tasks()[0].body else { panic!("no set") };
    let made = set.data.evaluate(&json!({"text": "${ 1 + 1 }"}), &Nothing);
    assert_eq!(made, Ok(json!({"x": "${ 1 + 1 }"})));
}

#[test]
fn rule_18_uri_templates_take_scalars_of_the_top_level() {
    let call = |endpoint: &str| format!("- a: {{call: http, with: {{method: get, endpoint: '{endpoint}'}}}}");
    let uri = |endpoint: &str, input: &Value| {
        let program = program(&call(endpoint));
        let Body::Call(Call::Http(http)) = &program.tasks()[0].body else { panic!("no call") };
        http.endpoint.uri.evaluate(input, &Nothing)
    };
    let input = json!({"id": "a b/c", "n": 7, "pet.id": true, "o": {}});
    assert_eq!(uri("https://x/{id}?n={n}", &input).as_deref(), Ok("https://x/a%20b%2Fc?n=7"));
    assert_eq!(uri("https://x/{pet.id}/{missing}", &input).as_deref(), Ok("https://x/true/"));
    assert!(uri("https://x/{o}", &input).is_err());
    assert_eq!(
        uri("${ \"https://y/\\\\(.n)\" }".replace("\\\\", "\\").as_str(), &input).as_deref(),
        Ok("https://y/7")
    );
    for wrong in ["https://x/{", "https://x/}", "https://x/{}", "https://x/{+a}", "https://x/{a,b}"] {
        assert_eq!(breaks(&call(wrong), Rule::UriTemplate), ["/do/0/a/with/endpoint"], "{wrong}");
    }
}

#[test]
fn rule_19_cron_has_five_fields_and_its_zone_in_the_metadata() {
    let text = with_tasks("- a: {set: {x: 1}}").replace(
        "'0.1.0'}",
        "'0.1.0', metadata: {trunkline: {schedule: {timezone: Asia/Kolkata, catchUp: all, overlap: skip}}}}",
    );
    let compiled = compiled(&format!("{text}schedule: {{cron: '0 9 * * mon'}}\n"));
    let workflow = compiled.program.workflow();
    let Some(Schedule::Cron(cron)) = &workflow.schedule else { panic!("no cron") };
    assert_eq!(*cron, Cron::parse("0 9 * * 1").unwrap());
    let points = &workflow.points.schedule;
    assert_eq!((points.catch_up, points.overlap), (CatchUp::All, Overlap::Skip));
    assert_eq!(points.timezone.iana_name(), Some("Asia/Kolkata"));
    let wrong = format!("{}schedule: {{cron: '0 0 9 * * mon'}}\n", with_tasks("- a: {set: {x: 1}}"));
    assert_eq!(broken(&wrong, Rule::Cron), ["/schedule/cron"]);
}

#[test]
fn rule_20_yaml_is_read_by_its_present_version() {
    let program = program("- on: {set: {no: no, octal: 0o17, old: 017, yes: 'y'}}");
    let Body::Set(set) = &program.tasks()[0].body else { panic!("no set") };
    assert_eq!(set.data, Template::Literal(json!({"no": "no", "octal": 15, "old": 17, "yes": "y"})));
    for text in ["- a: {set: {x: 1, x: 2}}", "- a: {set: {x: !!str 1}}"] {
        assert_eq!(yaml(&with_tasks(text)).unwrap_err().faults[0].kind, FaultKind::Syntax, "{text}");
    }
}

#[test]
fn rule_21_unknown_keys_are_refused() {
    let root = format!("{}outptu: {{as: .}}\n", with_tasks("- a: {set: {x: 1}}"));
    assert_eq!(broken(&root, Rule::UnknownKeys), ["/outptu"]);
    let catch = "- a: {try: [], catch: {errors: {when: .x}}}";
    assert_eq!(breaks(catch, Rule::UnknownKeys), ["/do/0/a/catch/errors/when"]);
    program("- a: {set: {x: 1}, metadata: {anything: goes}}");
}

#[test]
fn rule_22_containers_are_refused() {
    let run = "- a: {run: {container: {image: alpine}}}";
    assert_eq!(breaks(run, Rule::NoContainers), ["/do/0/a/run/container"]);
}

#[test]
fn rule_23_processes_need_the_operators_switch() {
    let program = program(
        "- a: {run: {shell: {command: ls}}}\n- b: {run: {script: {language: js, code: '1'}}}\n\
         - c: {call: mcp, with: {method: tools/list, transport: {stdio: {command: x}}}}\n\
         - d: {run: {workflow: {namespace: a, name: b, version: latest}}}\n- e: {call: 'email:1@default', with: {to: a@b.example, subject: s, body: b}}\n",
    );
    let requirements = program.requirements();
    assert_eq!(requirements.processes, ["/do/0/a", "/do/1/b", "/do/2/c"]);
    assert_eq!(requirements.functions, ["email:1"]);
    let ruby = "- a: {run: {script: {language: ruby, code: '1'}}}";
    assert_eq!(breaks(ruby, Rule::Processes), ["/do/0/a/run/script/language"]);
}

#[test]
fn rule_24_credentials_are_not_written_out() {
    let call = |policy: &str| {
        let endpoint = format!("{{uri: 'https://x', authentication: {policy}}}");
        format!("- a: {{call: http, with: {{method: get, endpoint: {endpoint}}}}}")
    };
    for policy in ["{bearer: {token: abc}}", "{basic: {username: a, password: b}}"] {
        assert_eq!(breaks(&call(policy), Rule::Credentials).len(), 1, "{policy}");
    }
    assert_eq!(breaks(&call("{bearer: {use: key}}"), Rule::Secrets).len(), 1);
    let declared = |policy: &str| format!("{}use: {{secrets: [key]}}\n", with_tasks(&call(policy)));
    compiled(&declared("{bearer: {use: key}}"));
    compiled(&declared("{bearer: {token: '${ $secrets.key }'}}"));
}

#[test]
fn rule_25_components_are_declared() {
    for (tasks, pointer) in [
        ("- a: {raise: {error: gone}}", "/do/0/a/raise/error"),
        ("- a: {set: {x: 1}, timeout: long}", "/do/0/a/timeout"),
        ("- a: {try: [], catch: {retry: often}}", "/do/0/a/catch/retry"),
        ("- a: {call: function}", "/do/0/a/call"),
        ("- a: {call: 'f:1@elsewhere'}", "/do/0/a/call"),
        ("- a: {call: 'f@default'}", "/do/0/a/call"),
        (
            "- a: {set: {x: 1}, metadata: {trunkline: {compensate: undo}}}",
            "/do/0/a/metadata/trunkline/compensate",
        ),
    ] {
        assert_eq!(breaks(tasks, Rule::References), [pointer]);
    }
    let endpoint = "{uri: 'https://x', authentication: {use: shop}}";
    let call = format!("- a: {{call: http, with: {{method: get, endpoint: {endpoint}}}}}");
    assert_eq!(breaks(&call, Rule::References).len(), 1);
}

#[test]
fn rule_26_names_are_unique_and_no_words_of_flow() {
    assert_eq!(breaks("- a: {set: {x: 1}}\n- a: {set: {x: 2}}", Rule::TaskNames), ["/do/1/a"]);
    assert_eq!(breaks("- exit: {set: {x: 1}}", Rule::TaskNames), ["/do/0/exit"]);
    program("- a: {do: [{a: {set: {x: 1}}}]}");
}

#[test]
fn rule_27_unreachable_tasks_are_warned_of() {
    let tasks = "- a: {set: {x: 1}, then: d}\n- b: {set: {x: 2}}\n- c: {set: {x: 3}}\n- d: {set: {x: 4}}\n";
    assert_eq!(warned(tasks, Rule::Unreachable), ["/do/1/b"]);
    let skipped = "- a: {if: .x, raise: {error: {type: 'http://e', status: 400}}}\n- b: {set: {x: 2}}\n";
    assert!(warned(skipped, Rule::Unreachable).is_empty());
}

#[test]
fn rule_28_a_loop_that_neither_ends_nor_waits_is_refused() {
    let spin = "- a: {set: {x: 1}}\n- b: {set: {x: 2}, then: a}\n";
    assert_eq!(breaks(spin, Rule::EndlessLoop), ["/do/0/a"]);
    let poll = "- a: {wait: PT1M}\n- b: {set: {x: 2}, then: a}\n";
    assert_eq!(warned(poll, Rule::EndlessLoop), ["/do/0/a"]);
    for tasks in [
        "- a: {set: {x: 1}}\n- b: {if: .x, set: {x: 2}, then: a}\n",
        "- a: {set: {x: 1}}\n- b: {switch: [{c: {when: .x, then: end}}], then: a}\n",
        "- a: {do: [{b: {if: .x, set: {x: 2}, then: end}}], then: a}\n",
    ] {
        program(tasks);
    }
}

#[test]
fn rule_29_durations_have_a_fixed_length() {
    for wait in ["P1M", "P1Y", "{seconds: -1}", "P40000D"] {
        assert_eq!(breaks(&format!("- a: {{wait: {wait}}}"), Rule::Durations), ["/do/0/a/wait"], "{wait}");
    }
    program("- a: {wait: PT0.5S}\n- b: {wait: {days: 1, milliseconds: 5}}\n- c: {wait: '${ .delay }'}\n");
}

#[test]
fn rule_30_a_schedule_has_one_trigger() {
    let schedule = |text: &str| format!("{}schedule: {text}\n", with_tasks("- a: {set: {x: 1}}"));
    for text in ["{}", "{every: PT1H, cron: '0 0 * * *'}"] {
        assert_eq!(broken(&schedule(text), Rule::Schedule), ["/schedule"]);
    }
    assert_eq!(broken(&schedule("{every: PT0S}"), Rule::Schedule), ["/schedule/every"]);
    compiled(&schedule("{on: {one: {with: {type: a.b}}}, read: envelope}"));
}

#[test]
fn rule_31_standard_errors_have_several_uris() {
    let today = StandardError::Timeout.uri();
    for former in [
        "https://serverlessworkflow.io/spec/1.0.0/errors/timeout",
        "https://serverlessworkflow.io/dsl/errors/types/timeout",
        "https://open-workflow-specification.org/dsl/errors/types/timeout",
    ] {
        assert_eq!(canonical_type(former), today);
    }
    assert_eq!(canonical_type("https://example.com/errors/timeout"), "https://example.com/errors/timeout");
    let program = program(
        "- a: {try: [], catch: {errors: {with: {type: 'https://serverlessworkflow.io/spec/1.0.0/errors/timeout'}}}}",
    );
    let Body::Try(body) = &program.tasks()[0].body else { panic!("no try") };
    assert!(body.catch.errors.as_ref().unwrap().takes(&json!({"type": today, "status": 408})));
}

#[test]
fn rule_32_the_language_is_1_0_with_jq() {
    let text = with_tasks("- a: {set: {x: 1}}");
    assert_eq!(broken(&text.replace("1.0.3", "0.9.0"), Rule::Version), ["/document/dsl"]);
    let js = format!("{text}evaluate: {{language: js}}\n");
    assert_eq!(broken(&js, Rule::Version), ["/evaluate/language"]);
}

#[test]
fn rule_33_a_switch_has_one_default_at_the_end() {
    let tasks = "- a: {switch: [{x: {then: end}}, {y: {when: .y, then: exit}}]}";
    assert_eq!(breaks(tasks, Rule::SwitchDefault), ["/do/0/a/switch/1/y"]);
}

#[test]
fn rule_34_functions_do_not_call_themselves() {
    let functions = "use:\n  functions:\n    f: {call: g}\n    g: {do: [{x: {call: f}}]}\n    h: {call: f}\n";
    let text = format!("{}{functions}", with_tasks("- a: {call: h}"));
    assert_eq!(broken(&text, Rule::FunctionCycle), ["/use/functions/f", "/use/functions/g"]);
}

#[test]
fn rule_35_extensions_apply_to_kinds_of_tasks() {
    let extensions = "use:\n  extensions:\n    - log: {extend: composite, before: [{x: {set: {y: 1}}}]}\n    \
                      - none: {extend: all}\n";
    let compiled = compiled(&format!("{}{extensions}", with_tasks("- a: {do: []}")));
    assert_eq!(compiled.warnings[0].kind, FaultKind::Rule(Rule::Extensions));
    let extension = &compiled.program.workflow().extensions[0];
    assert!(extension.target.takes(compiled.program.tasks()[0].body.kind()));
    assert!(!extension.target.takes(compiled.program.task(extension.before.tasks[0]).body.kind()));
}

#[test]
fn rule_36_keys_are_short() {
    let tasks = |length: usize| format!("- a: {{set: {{{}: 1}}}}", "k".repeat(length));
    program(&tasks(MAX_KEY_BYTES));
    assert_eq!(breaks(&tasks(MAX_KEY_BYTES + 1), Rule::Size), [""]);
}

#[test]
fn rule_37_schemas_are_checked() {
    let schema = |text: &str| format!("- a: {{set: {{x: 1}}, input: {{schema: {text}}}}}");
    let typo = breaks(&schema("{document: {tpye: object}}"), Rule::Schemas);
    assert_eq!(typo, ["/do/0/a/input/schema/document/tpye"]);
    let avro = breaks(&schema("{format: avro, document: {}}"), Rule::Schemas);
    assert_eq!(avro, ["/do/0/a/input/schema/format"]);
    let program = program(&schema("{format: 'json:2020-12', document: {required: [id]}}"));
    let schema = program.tasks()[0].input.schema.as_ref().unwrap();
    assert_eq!(schema.check(&json!({}))[0].pointer, "/id");
}

#[test]
fn rule_38_an_expression_sees_the_variables_of_its_place() {
    let ok = [
        "- a: {set: {x: '${ [$context, $input, $task, $workflow, $runtime, $authorization, $secrets.k] }'}}",
        "- a: {set: {x: 1}, export: {as: '$context + $output'}}",
        "- a: {for: {each: pet, in: .pets, at: i}, while: '$i < 3', do: [{b: {set: {x: '${ $pet }'}}}]}",
        "- a: {try: [], catch: {as: e, when: '$e.status == 1', do: [{b: {set: {x: '${ $e }'}}}]}}",
        "- a: {listen: {to: {any: []}}, foreach: {item: ev, do: [{b: {set: {x: '${ [$ev, $index] }'}}}]}}",
        "- a: {set: {x: '${ now }'}}",
    ];
    for tasks in ok {
        compiled(&format!("{}use: {{secrets: [k]}}\n", with_tasks(tasks)));
    }
    for (tasks, pointer) in [
        ("- a: {if: $input.x, set: {x: 1}}", "/do/0/a/if"),
        ("- a: {set: {x: 1}, output: {as: $output}}", "/do/0/a/output/as"),
        ("- a: {for: {in: .pets}, do: []}\n- b: {set: {x: '${ $item }'}}", "/do/1/b/set/x"),
        ("- a: {try: [{b: {set: {x: '${ $error }'}}}], catch: {}}", "/do/0/a/try/0/b/set/x"),
        ("- a: {set: {x: '${ $ENV }'}}", "/do/0/a/set/x"),
        ("- a: {set: {x: '${ input }'}}", "/do/0/a/set/x"),
        ("- a: {for: {each: context, in: .x}, do: []}", "/do/0/a/for/each"),
        ("- a: {for: {each: $x, in: .x}, do: []}", "/do/0/a/for/each"),
    ] {
        assert_eq!(breaks(tasks, Rule::Variables), [pointer], "{tasks}");
    }
}

#[test]
fn rule_39_extension_points_are_read_strictly() {
    let points = |text: &str| {
        format!(
            "- a: {{call: 'email:1@default', with: {{to: a@b.example, subject: s, body: b}}, metadata: {{trunkline: {text}}}}}"
        )
    };
    let program = program(&points(
        "{sla: {duration: PT2H, warnAt: 80%, onBreach: cancel, calendar: {timezone: Europe/Berlin, hours: {mon-fri: \
         '09:00-17:00', sat: ['09:00-12:00', '13:00-14:00']}, holidays: ['2026-12-25']}}, concurrency: {key: '${ .id }', \
         limit: 3, policy: fail}, rateLimit: {limit: 10, per: PT1M, policy: skip}, priority: high, idempotency: \
         {mode: at-most-once}, compensate: [{undo: {set: {x: 1}}}], ui: {x: 1}}",
    ));
    let points_of = &program.tasks()[0].points;
    assert_eq!(points_of.idempotency.as_ref().unwrap().mode, EffectMode::AtMostOnce);
    assert_eq!((points_of.priority, points_of.concurrency.as_ref().unwrap().limit), (Some(8), 3));
    assert_eq!(points_of.sla.as_ref().unwrap().warn_at, Some(80));
    assert_eq!(&*program.tasks()[1].reference, "/do/0/a/metadata/trunkline/compensate/0/undo");
    for (text, pointer) in [
        ("{slaa: {}}", "/slaa"),
        ("{sla: {}}", "/sla"),
        ("{sla: {duration: PT1H, due: '2026-12-01T00:00:00Z'}}", "/sla"),
        ("{sla: {duration: PT1H, warnAt: 100%}}", "/sla/warnAt"),
        ("{sla: {duration: PT1H, onBreach: escalate}}", "/sla"),
        ("{sla: {duration: PT1H, calendar: {hours: {}}}}", "/sla/calendar/hours"),
        (
            "{sla: {duration: PT1H, calendar: {hours: {someday: '09:00-10:00'}}}}",
            "/sla/calendar/hours/someday",
        ),
        ("{sla: {duration: PT1H, calendar: {hours: {mon: '10:00-09:00'}}}}", "/sla/calendar/hours/mon"),
        (
            "{sla: {duration: PT1H, calendar: {timezone: Nowhere, hours: {mon: '09:00-10:00'}}}}",
            "/sla/calendar/timezone",
        ),
        (
            "{sla: {duration: PT1H, calendar: {hours: {mon: '09:00-10:00'}, holidays: [soon]}}}",
            "/sla/calendar/holidays/0",
        ),
        ("{concurrency: {limit: x}}", "/concurrency/limit"),
        ("{concurrency: {policy: cancel-running}}", "/concurrency/policy"),
        ("{concurrency: {strategy: queue}}", "/concurrency/strategy"),
        ("{rateLimit: {limit: 1, per: PT1M, policy: cancel-running}}", "/rateLimit/policy"),
        ("{priority: urgent}", "/priority"),
        ("{compensate: []}", "/compensate"),
        ("{rateLimit: {limit: 1, per: PT0S}}", "/rateLimit/per"),
    ] {
        let found = breaks(&points(text), Rule::ExtensionPoints);
        assert_eq!(found, [format!("/do/0/a/metadata/trunkline{pointer}")], "{text}");
    }
}

#[test]
fn rule_40_human_tasks_are_calls() {
    let call = |text: &str| format!("- a: {{call: 'approval:1@default', with: {text}}}");
    let program = program(&call(
        "{title: '${ .name }', assignees: '${ .reviewers }', groups: [leads], form: {type: object}, quorum: 2, \
         due: P1D, escalate: {after: PT4H, to: [boss]}, selfApproval: true, onTimeout: error}",
    ));
    let (task, human) = program.human_tasks().next().unwrap();
    assert_eq!((&*task.reference, human.kind, human.quorum), ("/do/0/a", Kind::Approval, 2));
    for (text, pointer) in [
        ("{}", ""),
        ("{assignees: []}", "/assignees"),
        ("{groups: [a], quorom: 2}", "/quorom"),
        ("{groups: [a], form: {type: nothing}}", "/form"),
        ("{groups: [a], onTimeout: error}", ""),
    ] {
        let found = breaks(&call(text), Rule::HumanTasks);
        assert_eq!(found, [format!("/do/0/a/with{pointer}")], "{text}");
    }
    assert_eq!(
        breaks("- a: {call: 'approval:2@default', with: {groups: [a]}}", Rule::HumanTasks),
        ["/do/0/a/call"]
    );
}

#[test]
fn rule_41_a_skipped_task_goes_on_in_order() {
    let program = program("- a: {if: .x, set: {x: 1}, then: end}\n- b: {set: {x: 2}}\n");
    let [a, b] = [0, 1].map(|index| &program.tasks()[index]);
    assert_eq!((a.then.next, a.skip.next), (Next::End, Next::Task(b.id)));
}

#[test]
fn rule_42_values_can_be_used_as_written() {
    for (tasks, pointer) in [
        ("- a: {call: http, with: {method: fetch, endpoint: 'https://x'}}", "/do/0/a/with/method"),
        ("- a: {call: a2a, with: {method: tasks/get}}", "/do/0/a/with"),
        ("- a: {raise: {error: {type: 'http://e', status: 7}}}", "/do/0/a/raise/error/status"),
        ("- a: {emit: {event: {}}}", "/do/0/a/emit/event"),
        ("- a: {emit: {event: {with: {type: a, Bad-Name: 1}}}}", "/do/0/a/emit/event/with/Bad-Name"),
    ] {
        assert_eq!(breaks(tasks, Rule::Values), [pointer], "{tasks}");
    }
}
