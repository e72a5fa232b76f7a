//! Tasks of people on both stores: rows follow the state, refusals are told, crashes lose no decision.

use serde_json::json;
use trunkline_store::tables::event::{EventFilter, event_list};
use trunkline_store::tables::workflow::task::{TaskFilter, TaskRow, TaskStatus, task_list};
use trunkline_testkit::for_each_store;

use super::super::people::{Act, ActRefusal, Actor, Decided};
use super::super::*;
use super::json_of;
use super::rig::{Rig, tenant};

const APPROVAL: &str = "do: [{a: {call: 'approval:1@default', with: {title: '${ .what }', assignees: [ann, sam], groups: [doctors], quorum: 2, due: P2D, form: {type: object, required: [reason]}}}}, {s: {set: {outcome: '${ .outcome }', n: '${ .decisions | length }'}}}]";

fn actor(user: &str, groups: &[&str]) -> Actor {
    let groups = groups.iter().map(|it| (*it).to_owned()).collect();
    Actor { user: user.to_owned(), groups, on_behalf_of: None, is_operator: false }
}

fn approve() -> Act {
    Act::Complete {
        decision: Some(Decided::Approved),
        data: json!({"reason": "well"}),
        comment: Some("fine".to_owned()),
    }
}

async fn tasks(rig: &Rig) -> Vec<TaskRow> {
    let filter = TaskFilter { limit: 99, ..TaskFilter::default() };
    task_list(&rig.store, &tenant(), &filter).await.unwrap()
}

/// Those of one workflow: at the same moment there is no order between workflows.
async fn tasks_of(rig: &Rig, id: &WorkflowId) -> Vec<TaskRow> {
    let filter = TaskFilter { instance_id: Some(id.as_str().to_owned()), limit: 99, ..TaskFilter::default() };
    task_list(&rig.store, &tenant(), &filter).await.unwrap()
}

async fn start(rig: &Rig, engine: &Engine, tasks: &str) -> WorkflowId {
    let definition = rig.define(engine, "asks", tasks).await;
    let new = NewInstance {
        started_by: Some("sam".to_owned()),
        ..NewInstance::new(tenant(), json!({"what": "Plan"}))
    };
    engine.start_instance(&definition, new).await.unwrap().id
}

#[test]
fn an_approval_takes_two_and_not_the_one_who_asked() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let engine = rig.start();
        let id = start(&rig, &engine, APPROVAL).await;
        rig.reaches(&engine, &id, "waiting").await;
        let task = tasks(&rig).await.remove(0);
        assert_eq!((task.title.as_str(), task.status, task.quorum), ("Plan", TaskStatus::Open, 2));
        assert!(task.form.is_some() && task.due_at.is_some());
        let act =
            async |act: Act, actor: Actor| engine.act_on_task(&tenant(), task.id.as_str(), act, actor).await;
        let refusal = async |wanted: Act, actor: Actor| match act(wanted, actor).await {
            Err(SendError::Refused(refusal)) => refusal,
            other => panic!("{other:?}"),
        };
        assert_eq!(refusal(approve(), actor("sam", &["doctors"])).await, ActRefusal::SelfApproval);
        assert!(matches!(refusal(approve(), actor("eve", &[])).await, ActRefusal::NotTheirs(_)));
        assert_eq!(refusal(Act::Claim, actor("ann", &[])).await, ActRefusal::Shared);
        let empty = Act::Complete { decision: Some(Decided::Rejected), data: json!({}), comment: None };
        assert!(matches!(refusal(empty, actor("ann", &[])).await, ActRefusal::Form(_)));
        let first = act(approve(), actor("ann", &[])).await.unwrap();
        assert!(first.is_taken);
        assert_eq!((first.row.status, first.row.version), (TaskStatus::Open, 2));
        assert!(matches!(refusal(approve(), actor("ann", &["doctors"])).await, ActRefusal::Decided(_)));
        let second = act(approve(), actor("bob", &["doctors"])).await.unwrap();
        assert_eq!(second.row.status, TaskStatus::Completed);
        assert_eq!(second.row.outcome.as_deref(), Some("approved"));
        assert_eq!(refusal(approve(), actor("bob", &["doctors"])).await, ActRefusal::Closed);
        let row = rig.reaches(&engine, &id, "completed").await;
        assert_eq!(json_of(row.output.as_ref()), json!({"outcome": "approved", "n": 2}));
        let foreign = trunkline_model::Tenant::from_stored("clinic-2");
        let missing = engine.act_on_task(&foreign, task.id.as_str(), approve(), actor("ann", &[])).await;
        assert!(matches!(missing, Err(SendError::NotFound)));
        for event_type in ["task.created", "task.completed"] {
            let filter =
                EventFilter { event_type: Some(event_type.into()), limit: 9, ..EventFilter::default() };
            let events = event_list(&rig.store, &tenant(), &filter).await.unwrap();
            assert_eq!(events.len(), 1, "{event_type}");
            assert_eq!(events[0].event.subject.as_deref(), Some(task.id.as_str()));
        }
        engine.stop().await;
    });
}

#[test]
fn of_two_claims_one_holds() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let engine = rig.start();
        let id = start(&rig, &engine, "do: [{a: {call: 'step:1@default', with: {groups: [doctors]}}}]").await;
        rig.reaches(&engine, &id, "waiting").await;
        let task = tasks(&rig).await.remove(0);
        let tenant = tenant();
        let claim =
            |user: &str| engine.act_on_task(&tenant, task.id.as_str(), Act::Claim, actor(user, &["doctors"]));
        let (one, two) = tokio::join!(claim("ann"), claim("bob"));
        let n_claims = usize::from(one.is_ok()) + usize::from(two.is_ok());
        assert_eq!(n_claims, 1, "{one:?} {two:?}");
        let lost = one.err().or(two.err()).unwrap();
        assert!(matches!(lost, SendError::Refused(ActRefusal::Claimed(_))), "{lost:?}");
        // Whoever ends the workflow ends what it asks.
        engine.cancel(&tenant, id.as_str(), None).await.unwrap();
        assert_eq!(tasks(&rig).await[0].status, TaskStatus::Cancelled);
        engine.stop().await;
    });
}

#[test]
fn a_decision_survives_a_crash_at_any_commit() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        for point in [CommitPoint::Before, CommitPoint::After] {
            let mut engine = rig.start();
            let id = start(&rig, &engine, APPROVAL).await;
            rig.reaches(&engine, &id, "waiting").await;
            for (user, groups) in [("ann", &[][..]), ("bob", &["doctors"][..])] {
                let task = tasks_of(&rig, &id).await.remove(0);
                let tenant = tenant();
                engine.cut_at(point, 1);
                let decided = engine.act_on_task(&tenant, task.id.as_str(), approve(), actor(user, groups));
                tokio::select! {
                    () = engine.tripped() => {}
                    done = decided => panic!("{done:?}"),
                }
                engine.crash().await;
                engine = rig.start();
                let is_in = async || tasks_of(&rig, &id).await[0].history.contains(user);
                rig.until("the decision is in", async || {
                    engine.poke();
                    is_in().await
                })
                .await;
            }
            let row = rig.reaches(&engine, &id, "completed").await;
            assert_eq!(json_of(row.output.as_ref()), json!({"outcome": "approved", "n": 2}));
            engine.stop().await;
        }
    });
}

#[test]
fn what_is_late_is_escalated_and_expires() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let engine = rig.start();
        let tasks_text = "do: [{a: {call: 'approval:1@default', with: {assignees: [ann], due: P2D, escalate: {after: P1D, to: [heads]}}}}]";
        let id = start(&rig, &engine, tasks_text).await;
        rig.reaches(&engine, &id, "waiting").await;
        rig.clock.advance(Duration::from_hours(24));
        engine.poke();
        rig.until("it is escalated", async || !tasks(&rig).await[0].escalated_to.is_empty()).await;
        let filter =
            TaskFilter { group: Some("heads".to_owned()), is_open: true, limit: 9, ..TaskFilter::default() };
        assert_eq!(task_list(&rig.store, &tenant(), &filter).await.unwrap().len(), 1);
        rig.clock.advance(Duration::from_hours(24));
        engine.poke();
        let row = rig.reaches(&engine, &id, "completed").await;
        assert_eq!(json_of(row.output.as_ref())["outcome"], "timeout");
        assert_eq!(tasks(&rig).await[0].status, TaskStatus::Expired);
        engine.stop().await;
    });
}
