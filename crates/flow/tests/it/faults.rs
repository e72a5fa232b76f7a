//! Every fault is told, each with its place in the text and in the document.

use trunkline_flow::{FaultKind, Format, MAX_FAULTS, MAX_TASKS, Rule, compile};

use crate::{with_tasks, yaml};

#[test]
fn every_fault_is_told_with_its_place() {
    let text = "\
document:
  dsl: '1.0.3'
  namespace: clinic
  name: remind patient
  version: 1.0
do:
  - ask:
      call: http
      with:
        method: get
        endpoint: https://example.com/{id
        heders: {}
      then: nowhere
  - choose:
      switch:
        - yes: {when: '.a ==', then: end}
  - pause:
      wait: PT
      foo: 1
timeout: long
";
    let refusal = yaml(text).unwrap_err();
    let found: Vec<String> =
        refusal.faults.iter().map(|fault| format!("{} {}", fault.position, fault.pointer)).collect();
    assert_eq!(
        found,
        [
            "4:3 /document/name",
            "5:3 /document/version",
            "11:9 /do/0/ask/with/endpoint",
            "12:9 /do/0/ask/with/heders",
            "13:7 /do/0/ask/then",
            "16:17 /do/1/choose/switch/0/yes/when",
            "18:7 /do/2/pause/wait",
            "19:7 /do/2/pause/foo",
            "20:1 /timeout",
        ]
    );
    let printed = refusal.faults[7].to_string();
    assert_eq!(
        printed,
        "19:7: /do/2/pause/foo: a task knows no `foo`. Fix: use one of if, input, output, export, timeout, then, \
         metadata, wait, or remove it."
    );
    assert!(
        refusal.to_string().starts_with("the workflow definition has 9 faults, the first at 4:3"),
        "{refusal}"
    );
}

#[test]
fn a_mistyped_word_is_met_with_the_right_one() {
    let refusal = yaml(&with_tasks("- a: {wiat: PT1S}\n- b: {set: {x: 1}, then: aa}\n")).unwrap_err();
    let fixes: Vec<&str> = refusal.faults.iter().map(|fault| fault.fix.as_str()).collect();
    assert!(fixes.contains(&"did you mean `a`?"), "{fixes:?}");
}

#[test]
fn faults_of_the_text_have_a_place_in_both_formats() {
    let refusal = compile("{\"document\": }", Format::Json).unwrap_err();
    assert_eq!((refusal.faults[0].kind, refusal.faults[0].position.column), (FaultKind::Syntax, 14));
    let refusal = compile("a: [", Format::Yaml).unwrap_err();
    assert_eq!(refusal.faults[0].kind, FaultKind::Syntax);
    let refusal = compile(&" ".repeat((1 << 20) + 1), Format::Yaml).unwrap_err();
    assert!(refusal.faults[0].problem.contains("longer than"), "{refusal}");
}

#[test]
fn aliases_cannot_blow_a_definition_up() {
    let mut text = with_tasks("- a: {set: {x: 1}}");
    text.push_str("x0: &x0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n");
    for level in 1..9 {
        let previous = format!("*x{}, ", level - 1).repeat(10);
        text = format!("{text}x{level}: &x{level} [{previous}]\n");
    }
    let refusal = yaml(&text).unwrap_err();
    assert!(refusal.faults[0].problem.contains("with aliases written out"), "{refusal}");
}

#[test]
fn tasks_are_limited_in_number() {
    let tasks: Vec<String> = (0..=MAX_TASKS).map(|number| format!("- t{number}: {{wait: PT1S}}")).collect();
    let refusal = yaml(&with_tasks(&tasks.join("\n"))).unwrap_err();
    assert_eq!(refusal.faults.len(), 1);
    assert_eq!(refusal.faults[0].kind, FaultKind::Rule(Rule::Size));
}

#[test]
fn an_expression_names_the_place_within_it() {
    let refusal = yaml(&with_tasks(
        "- a:\n    set:\n      x: |\n        ${\n          .a\n          | foo\n        }\n",
    ));
    let fault = &refusal.unwrap_err().faults[0];
    assert!(fault.problem.contains("line 3, column 5"), "{fault}");
}

/// Refuses a text and tells how many bytes the refusal takes.
fn refusal_bytes(text: &str) -> usize {
    let refusal = yaml(text).unwrap_err();
    assert!(refusal.faults.len() <= MAX_FAULTS, "{} faults", refusal.faults.len());
    refusal.faults.iter().map(|fault| fault.to_string().len()).sum()
}

#[test]
fn a_hostile_definition_costs_no_more_than_its_size_suggests() {
    let many = |n: usize, item: &dyn Fn(usize) -> String| (0..n).map(item).collect::<Vec<_>>().join("\n");
    let hostile = [
        // A long key above many faults.
        with_tasks(&format!(
            "- a:\n    set:\n      {}: [{}]",
            "k".repeat(300_000),
            "'${ ( }', ".repeat(40_000)
        )),
        // Many faults of each kind, and long lists of names to suggest from.
        with_tasks(&format!("- a:\n    wait: PT1S\n{}", many(40_000, &|n| format!("    k{n}: 1")))),
        with_tasks(&many(1_900, &|n| format!("- t{n}: {{wait: PT1S, then: nowhere-{n}}}"))),
        with_tasks(&many(1_900, &|n| format!("- t{n}: {{raise: {{error: no-{n}}}}}")))
            + "use:\n  errors:\n"
            + &many(5_000, &|n| format!("    e{n}: {{type: 'http://e', status: 400}}")),
        // The same broken expression in many places.
        with_tasks(&format!(
            "- a:\n    set:\n      x: &x ['${{ ( }}']\n      y: [{}]",
            "*x, ".repeat(20_000)
        )),
        // Many schemas with many regular expressions.
        with_tasks(&many(300, &|n| {
            format!("- t{n}: {{wait: PT1S, input: {{schema: {{document: {{pattern: '^a{n}'}}}}}}}}")
        })),
        // The same in filters of events.
        with_tasks(&many(300, &|n| {
            format!("- t{n}: {{listen: {{to: {{one: {{with: {{type: 'a.*{n}'}}}}}}}}}}")
        })),
    ];
    for text in hostile {
        let bytes = refusal_bytes(&text);
        assert!(bytes < 1 << 20, "{bytes} bytes for {}", &text[..200]);
    }
}
