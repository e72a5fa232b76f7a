//! Who may act on a task of people, and what decisions come to: the pure part, case by case.

use serde_json::json;

use super::*;

fn asked() -> Asked {
    Asked {
        id: PersonTaskId::from_text("tsk_1"),
        nonce: "n".to_owned(),
        title: "Sign".to_owned(),
        description: None,
        is_approval: true,
        assignees: vec!["ann".to_owned()],
        groups: vec!["doctors".to_owned()],
        escalated_to: Vec::new(),
        delegated: BTreeMap::new(),
        barred: Some("sam".to_owned()),
        quorum: 2,
        due_at: None,
        escalate_at: None,
        asked_at: Timestamp::default(),
        changed_at: Timestamp::default(),
        status: TaskStatus::Open,
        outcome: None,
        claimed_by: None,
        history: Vec::new(),
        version: 1,
    }
}

fn actor(user: &str, groups: &[&str]) -> Actor {
    let groups = groups.iter().map(|it| (*it).to_owned()).collect();
    Actor { user: user.to_owned(), groups, on_behalf_of: None, is_operator: false }
}

fn on_behalf(operator: &str, of: &str) -> Actor {
    Actor { on_behalf_of: Some(of.to_owned()), is_operator: true, ..actor(operator, &[]) }
}

fn decide(decision: Decided) -> Act {
    Act::Complete { decision: Some(decision), data: json!({}), comment: None }
}

#[test]
fn who_may_decide_is_asked_when_they_decide() {
    let check = |actor: Actor, expect: Result<(), ActRefusal>| {
        assert_eq!(asked().check(&decide(Decided::Approved), &actor, None), expect, "{actor:?}");
    };
    let not_theirs = |user: &str| Err(ActRefusal::NotTheirs(user.to_owned()));
    check(actor("ann", &[]), Ok(()));
    check(actor("bob", &["nurses", "doctors"]), Ok(()));
    check(actor("bob", &["nurses"]), not_theirs("bob"));
    check(actor("bob", &[]), not_theirs("bob"));
    // The name of a group is no user, nor the other way round.
    check(actor("doctors", &[]), not_theirs("doctors"));
    check(actor("bob", &["ann"]), not_theirs("bob"));
    check(Actor { is_operator: true, ..actor("tok_1", &[]) }, not_theirs("tok_1"));
    check(on_behalf("tok_1", "ann"), Ok(()));
    check(on_behalf("tok_1", "bob"), Ok(()));
    // Whoever started it may not approve it: in no group, and in nobody's name.
    check(actor("sam", &["doctors"]), Err(ActRefusal::SelfApproval));
    check(on_behalf("tok_1", "sam"), Err(ActRefusal::SelfApproval));
    check(on_behalf("sam", "ann"), Err(ActRefusal::SelfApproval));
}

#[test]
fn as_many_as_the_quorum_says_agree_and_one_rejects() {
    let mut task = asked();
    let at = Timestamp::from_secs(1);
    task.apply("1", &decide(Decided::Approved), &actor("ann", &[]), at);
    assert_eq!((task.outcome, task.status), (None, TaskStatus::Open));
    let again = task.check(&decide(Decided::Approved), &on_behalf("tok_1", "ann"), None);
    assert_eq!(again, Err(ActRefusal::Decided("ann".to_owned())));
    let mut other = task.clone();
    task.apply("2", &decide(Decided::Approved), &on_behalf("tok_1", "bob"), at);
    assert_eq!((task.outcome, task.status), (Some(TaskOutcome::Approved), TaskStatus::Completed));
    let output = task.output();
    assert_eq!((&output["outcome"], &output["by"]), (&json!("approved"), &json!("bob")));
    assert_eq!(output["decisions"][1]["entered_by"], "tok_1");
    other.apply("2", &decide(Decided::Rejected), &actor("bob", &["doctors"]), at);
    assert_eq!(other.outcome, Some(TaskOutcome::Rejected));
    assert_eq!(
        other.check(&decide(Decided::Approved), &actor("eve", &["doctors"]), None),
        Err(ActRefusal::Closed)
    );
}

#[test]
fn a_task_is_claimed_given_back_and_given_away() {
    let mut task = Asked { quorum: 1, ..asked() };
    let (ann, bob, at) = (actor("ann", &[]), actor("bob", &["doctors"]), Timestamp::default());
    assert_eq!(asked().check(&Act::Claim, &ann, None), Err(ActRefusal::Shared));
    assert_eq!(task.check(&Act::Unclaim, &ann, None), Err(ActRefusal::NotClaimed));
    task.apply("1", &Act::Claim, &ann, at);
    let claimed = Err(ActRefusal::Claimed("ann".to_owned()));
    for act in [Act::Claim, Act::Unclaim, decide(Decided::Approved), Act::Delegate { to: "eve".to_owned() }] {
        assert_eq!(task.check(&act, &bob, None), claimed, "{act:?}");
    }
    assert_eq!(task.check(&decide(Decided::Approved), &ann, None), Ok(()));
    let operator = Actor { is_operator: true, ..actor("tok_1", &[]) };
    assert_eq!(task.check(&Act::Unclaim, &operator, None), Ok(()));
    let give = |to: &str| Act::Delegate { to: to.to_owned() };
    assert_eq!(task.check(&give("sam"), &ann, None), Err(ActRefusal::SelfApproval));
    task.apply("2", &give("eve"), &ann, at);
    assert_eq!((task.status, task.claimed_by.as_deref()), (TaskStatus::Open, None));
    assert_eq!(task.assignees, ["eve"]);
    // Given away is given away, also for those who are in a group of the task.
    let member = actor("ann", &["doctors"]);
    assert_eq!(task.check(&Act::Claim, &member, None), Err(ActRefusal::NotTheirs("ann".to_owned())));
    task.apply("3", &give("ann"), &actor("eve", &[]), at);
    assert_eq!(task.check(&decide(Decided::Approved), &ann, None), Ok(()));
    task.history = vec![Entry::of_time(Did::Claimed, at, Vec::new()); MAX_HISTORY];
    assert_eq!(task.check(&Act::Claim, &ann, None), Err(ActRefusal::TooMany));
}

#[test]
fn a_step_is_done_by_anybody_when_nobody_is_named() {
    let step = Asked {
        is_approval: false,
        assignees: Vec::new(),
        groups: Vec::new(),
        quorum: 1,
        barred: None,
        ..asked()
    };
    let done = Act::Complete { decision: None, data: json!(1), comment: None };
    assert_eq!(step.check(&done, &actor("bob", &[]), None), Ok(()));
    assert!(matches!(
        step.check(&decide(Decided::Approved), &actor("bob", &[]), None),
        Err(ActRefusal::Senseless(_))
    ));
    let done = Act::Complete { decision: Some(Decided::Done), data: json!(1), comment: None };
    assert!(matches!(asked().check(&done, &actor("ann", &[]), None), Err(ActRefusal::Senseless(_))));
    let form = DataSchema::compile(&json!({"type": "object", "required": ["a", "b"]})).unwrap();
    let Err(ActRefusal::Form(faults)) = step.check(&done, &actor("bob", &[]), Some(&form)) else { panic!() };
    assert!(!faults.is_empty());
    let named = Asked { is_approval: false, barred: None, ..asked() };
    assert_eq!(named.check(&done, &Actor { is_operator: true, ..actor("tok_1", &[]) }, None), Ok(()));
    assert!(named.check(&done, &actor("tok_1", &[]), None).is_err());
}
