//! Tasks of people over the API: whose token it is decides who acts.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Answer, Hub};

const APPROVAL: &str = "document: {dsl: '1.0.3', namespace: clinic, name: plan, version: '1.0.0'}\ndo:\n- sign: {call: 'approval:1@default', with: {title: '${ .what }', groups: [doctors], assignees: [sam], form: {type: object, required: [reason]}}}\n- done: {set: {outcome: '${ .outcome }', by: '${ .by }'}}";

/// A token of a person.
async fn person(hub: &Hub, role: &str, user: &str, groups: &[&str]) -> String {
    let body = json!({"name": user, "role": role, "user": user, "groups": groups});
    let made = hub.call(Method::POST, "/api/v1/tokens").token(hub.token("admin")).json(&body).send().await;
    assert_eq!((made.status, &made.body["user"]), (StatusCode::CREATED, &json!(user)), "{}", made.text);
    made.body["token"].as_str().unwrap().to_owned()
}

async fn start(hub: &Hub, token: &str) -> String {
    let stored = hub.call(Method::POST, "/api/v1/workflow-definitions").token(hub.token("operator"));
    let stored = stored.bytes("application/yaml", APPROVAL.as_bytes()).send().await;
    assert!(stored.status.is_success(), "{}", stored.text);
    let body = json!({"definition": "clinic/plan", "input": {"what": "Plan 7"}, "document_id": "doc-7"});
    let started = hub.call(Method::POST, "/api/v1/workflows").token(token).json(&body).send().await;
    assert_eq!(started.status, StatusCode::CREATED, "{}", started.text);
    started.body["id"].as_str().unwrap().to_owned()
}

/// The one task of a workflow, once it is asked.
async fn task_of(hub: &Hub, workflow: &str) -> Value {
    let mut tick = tokio::time::interval(std::time::Duration::from_millis(3));
    for _ in 0..5_000 {
        let page = hub.get(&format!("/api/v1/tasks?workflow_id={workflow}")).await;
        if let Some(task) = page.body["items"].get(0) {
            return task.clone();
        }
        tick.tick().await;
    }
    panic!("nobody is asked");
}

async fn act(hub: &Hub, token: &str, task: &Value, verb: &str, body: Value) -> Answer {
    let path = format!("/api/v1/tasks/{}/{verb}", task["id"].as_str().unwrap());
    hub.call(Method::POST, &path).token(token).json(&body).send().await
}

#[tokio::test]
async fn people_claim_delegate_and_decide_what_is_theirs() {
    let hub = Hub::start().await;
    let sam = person(&hub, "operator", "sam", &["doctors"]).await;
    let ann = person(&hub, "viewer", "ann", &["doctors"]).await;
    let eve = person(&hub, "viewer", "eve", &["nurses"]).await;
    let workflow = start(&hub, &sam).await;
    let task = task_of(&hub, &workflow).await;
    assert_eq!(
        (&task["title"], &task["status"], &task["kind"]),
        (&json!("Plan 7"), &json!("open"), &json!("approval"))
    );
    assert_eq!(task["form"]["required"], json!(["reason"]));

    let approve = json!({"decision": "approved", "data": {"reason": "well"}});
    let own = act(&hub, &sam, &task, "complete", approve.clone()).await;
    assert_eq!((own.status, own.code()), (StatusCode::FORBIDDEN, "task.not_allowed"), "{}", own.text);
    let foreign = act(&hub, &eve, &task, "complete", approve.clone()).await;
    assert_eq!((foreign.status, foreign.code()), (StatusCode::FORBIDDEN, "task.not_allowed"));
    let nobody = act(&hub, hub.token("viewer"), &task, "complete", approve.clone()).await;
    assert_eq!((nobody.status, nobody.code()), (StatusCode::FORBIDDEN, "auth.forbidden"));
    let for_ann = json!({"on_behalf_of": "ann"});
    assert_eq!(act(&hub, &eve, &task, "claim", for_ann.clone()).await.status, StatusCode::FORBIDDEN);

    let claimed = act(&hub, &ann, &task, "claim", json!({})).await;
    assert_eq!(
        (claimed.status, &claimed.body["claimed_by"]),
        (StatusCode::OK, &json!("ann")),
        "{}",
        claimed.text
    );
    let empty = act(&hub, &ann, &task, "complete", json!({"decision": "approved", "data": {}})).await;
    assert_eq!((empty.status, empty.pointers()), (StatusCode::BAD_REQUEST, vec!["/data/reason".to_owned()]));
    let vague = act(&hub, &ann, &task, "complete", json!({"data": {"reason": "x"}})).await;
    assert_eq!(vague.status, StatusCode::BAD_REQUEST);
    let given = act(&hub, &ann, &task, "delegate", json!({"to": "bob"})).await;
    assert_eq!(
        (given.status, &given.body["assignees"]),
        (StatusCode::OK, &json!(["sam", "bob"])),
        "{}",
        given.text
    );
    assert_eq!(act(&hub, &ann, &task, "complete", approve.clone()).await.code(), "task.not_allowed");

    let theirs = hub.get("/api/v1/tasks?assignee=bob&open=true").await;
    assert_eq!(theirs.body["items"][0]["id"], task["id"]);
    assert_eq!(hub.get("/api/v1/tasks?group=doctors&document_id=doc-8").await.body["items"], json!([]));
    let mut entered = approve.clone();
    (entered["on_behalf_of"], entered["comment"]) = (json!("bob"), json!("by phone"));
    let done = act(&hub, hub.token("operator"), &task, "complete", entered).await;
    assert_eq!((done.status, &done.body["outcome"]), (StatusCode::OK, &json!("approved")), "{}", done.text);
    let last = done.body["history"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&last["did"], &last["on_behalf_of"], &last["comment"]),
        (&json!("approved"), &json!("bob"), &json!("by phone"))
    );
    assert!(last["by"].as_str().unwrap().starts_with("tok_"), "{last}");
    assert_eq!(act(&hub, &ann, &task, "unclaim", json!({})).await.code(), "task.state_conflict");
    let ended = hub.get(&format!("/api/v1/workflows/{workflow}")).await;
    assert_eq!(ended.body["output"], json!({"outcome": "approved", "by": "bob"}));
    let stranger = act(&hub, hub.stranger(), &task, "claim", json!({})).await;
    assert_eq!((stranger.status, stranger.code()), (StatusCode::NOT_FOUND, "task.not_found"));
}

#[tokio::test]
async fn advancing_decides_no_approval_that_is_not_ones_own() {
    let hub = Hub::start().await;
    let workflow = start(&hub, hub.token("admin")).await;
    task_of(&hub, &workflow).await;
    let path = format!("/api/v1/workflows/{workflow}/advance");
    let body = json!({"decision": "approved", "data": {"reason": "x"}});
    let operator = hub.call(Method::POST, &path).token(hub.token("operator")).json(&body).send().await;
    assert_eq!(
        (operator.status, operator.code()),
        (StatusCode::FORBIDDEN, "task.not_allowed"),
        "{}",
        operator.text
    );
    let ann = person(&hub, "operator", "ann", &["doctors"]).await;
    let done = hub.call(Method::POST, &path).token(&ann).json(&body).send().await;
    assert_eq!((done.status, &done.body["status"]), (StatusCode::OK, &json!("completed")), "{}", done.text);
    let groups = json!({"name": "x", "role": "viewer", "groups": ["a"]});
    let refused =
        hub.call(Method::POST, "/api/v1/tokens").token(hub.token("admin")).json(&groups).send().await;
    assert_eq!(refused.pointers(), ["/groups"]);
}
