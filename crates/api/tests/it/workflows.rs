//! Workflows and their definitions, through an engine that runs.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use trunkline_store::Commit;
use trunkline_store::tables::idempotency::idempotency_release;

use crate::harness::{Answer, Hub, tenant};

const STEPS: &str = "document: {dsl: '1.0.3', namespace: clinic, name: referral, version: '1.0.0'}\ndo:\n- send: {call: http, with: {method: post, endpoint: 'https://example.com/referrals', body: '${ . }'}}\n- sign: {call: 'step:1@default', with: {form: {type: object, required: [by]}}}\n- done: {set: {signed: '${ .data.by }'}}";

async fn store(hub: &Hub, text: &str) -> Answer {
    let call = hub.call(Method::POST, "/api/v1/workflow-definitions").token(hub.token("operator"));
    call.bytes("application/yaml", text.as_bytes()).send().await
}

/// Waits until a workflow is in a phase.
async fn reaches(hub: &Hub, id: &str, phase: &str) -> Value {
    shows(hub, id, "phase", &json!(phase)).await
}

/// Waits until a workflow shows a value.
async fn shows(hub: &Hub, id: &str, key: &str, value: &Value) -> Value {
    let mut tick = tokio::time::interval(std::time::Duration::from_millis(3));
    for _ in 0..5_000 {
        let answer = hub.get(&format!("/api/v1/workflows/{id}")).await;
        if answer.body[key] == *value {
            return answer.body;
        }
        tick.tick().await;
    }
    panic!("{key} of {id} does not become {value}");
}

fn id_of(answer: &Answer) -> String {
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    answer.body["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_definition_is_stored_started_advanced_and_completed() {
    let hub = Hub::start().await;
    let stored = store(&hub, STEPS).await;
    assert_eq!(
        (stored.status, &stored.body["state"]),
        (StatusCode::CREATED, &json!("active")),
        "{}",
        stored.text
    );
    assert_eq!(stored.header("location"), "/api/v1/workflow-definitions/clinic:referral:1.0.0");
    assert_eq!(store(&hub, STEPS).await.status, StatusCode::OK);
    let other = store(&hub, &STEPS.replace("signed:", "by:")).await;
    assert_eq!((other.status, other.code()), (StatusCode::CONFLICT, "workflow_definition.exists"));
    let read = hub.get("/api/v1/workflow-definitions/clinic:referral:1.0.0").await;
    assert_eq!(read.body["source"], STEPS);
    assert_eq!(hub.get("/api/v1/workflow-definitions").await.body["items"].as_array().unwrap().len(), 1);

    let start = json!({"definition": "clinic/referral", "input": {"patient": 7}, "document_id": "doc-1", "start_key": "k"});
    let started = hub.post("/api/v1/workflows", &start).await;
    let id = id_of(&started);
    assert_eq!(started.body["status"], "in_progress");
    assert_eq!(id_of(&hub.post("/api/v1/workflows", &start).await), id);
    let waiting = reaches(&hub, &id, "waiting").await;
    assert_eq!((&waiting["current_step"], &waiting["total_steps"]), (&json!(2), &json!(3)));

    let advance = format!("/api/v1/workflows/{id}/advance");
    let unfit = hub.post(&advance, &json!({"data": {}})).await;
    assert_eq!((unfit.status, unfit.pointers()), (StatusCode::BAD_REQUEST, vec!["/data/by".to_owned()]));
    let wrong = hub.post(&advance, &json!({"step": "send"})).await;
    assert_eq!((wrong.status, wrong.code()), (StatusCode::CONFLICT, "workflow.state_conflict"));
    let done = hub.post(&advance, &json!({"step": "sign", "data": {"by": "ann"}})).await;
    assert_eq!((done.status, &done.body["status"]), (StatusCode::OK, &json!("completed")), "{}", done.text);
    assert_eq!(done.body["output"], json!({"signed": "ann"}));
    assert_eq!(hub.post(&advance, &json!({})).await.code(), "workflow.state_conflict");

    let about = hub.get("/api/v1/workflows/document/doc-1").await;
    assert_eq!(about.body["items"][0]["id"], id);
    assert_eq!(hub.get("/api/v1/workflows/document/doc-2").await.body["items"], json!([]));
    let failed = hub.get("/api/v1/workflows?status=failed").await;
    assert_eq!(failed.body["items"], json!([]));
    let stats = hub.get("/api/v1/workflows/stats").await.body;
    assert_eq!((&stats["all"]["completed"], &stats["all"]["total"]), (&json!(1), &json!(1)));
    assert_eq!(stats["definitions"][0]["name"], "referral");
}

#[tokio::test]
async fn who_wants_to_wait_gets_the_end_in_the_answer() {
    let hub = Hub::start().await;
    store(&hub, STEPS).await;
    let quick = "document: {dsl: '1.0.3', namespace: clinic, name: quick, version: '1.0.0'}\ndo: [{send: {call: http, with: {method: post, endpoint: 'https://example.com/x', body: 1}}}, {out: {set: {n: 7}}}]";
    assert_eq!(store(&hub, quick).await.status, StatusCode::CREATED);
    let done = hub.post("/api/v1/workflows?wait_s=20", &json!({"definition": "clinic/quick"})).await;
    assert_eq!(id_of(&done), done.body["id"]);
    assert_eq!((&done.body["status"], &done.body["output"]), (&json!("completed"), &json!({"n": 7})));

    let started = hub.post("/api/v1/workflows?wait_s=0", &json!({"definition": "clinic/referral"})).await;
    let id = id_of(&started);
    assert_eq!(started.body["status"], "in_progress");
    reaches(&hub, &id, "waiting").await;
    // The end comes while somebody waits for it.
    let path = format!("/api/v1/workflows/{id}?wait_s=20");
    let cancel = format!("/api/v1/workflows/{id}/cancel");
    let nothing = json!({});
    let (waited, cancelled) = tokio::join!(hub.get(&path), hub.post(&cancel, &nothing));
    assert_eq!((cancelled.status, &waited.body["status"]), (StatusCode::OK, &json!("cancelled")));
    assert_eq!(hub.get(&format!("/api/v1/workflows/{id}?wait_s=31")).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn the_simple_form_goes_step_by_step() {
    let hub = Hub::start().await;
    let body = json!({"name": "Discharge", "documentId": 12, "steps": ["Check", {"name": "Sign"}]});
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(id_of(&hub.post("/api/v1/workflows", &body).await));
    }
    for id in &ids {
        reaches(&hub, id, "waiting").await;
    }
    assert_eq!(hub.get("/api/v1/workflow-definitions").await.body["items"].as_array().unwrap().len(), 1);
    let advance = format!("/api/v1/workflows/{}/advance", ids[0]);
    let first = hub.call(Method::POST, &advance).token(hub.token("operator")).send().await;
    assert_eq!((&first.body["current_step"], &first.body["status"]), (&json!(2), &json!("in_progress")));
    let second = hub.post(&advance, &json!({})).await;
    assert_eq!((&second.body["current_step"], &second.body["status"]), (&json!(2), &json!("completed")));

    let cancel = hub.post(&format!("/api/v1/workflows/{}/cancel", ids[1]), &json!({"reason": "moved"})).await;
    assert_eq!((&cancel.body["status"], &cancel.body["error"]), (&json!("cancelled"), &json!("moved")));
    let path = format!("/api/v1/workflows/{}", ids[2]);
    let put =
        async |body: Value| hub.call(Method::PUT, &path).token(hub.token("admin")).json(&body).send().await;
    assert_eq!(put(json!({"suspended": true})).await.body["phase"], "suspended");
    assert_eq!(put(json!({"suspended": false})).await.body["phase"], "waiting");
    assert_eq!(put(json!({"status": "completed"})).await.code(), "workflow.state_conflict");
    assert_eq!(put(json!({"status": "cancelled"})).await.body["status"], "cancelled");

    let list = hub.get("/api/v1/workflows?limit=2").await;
    let newest: Vec<&str> =
        list.body["items"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap()).collect();
    assert_eq!(newest, [&ids[2], &ids[1]]);
    let token = list.body["next_page_token"].as_str().unwrap();
    let rest = hub.get(&format!("/api/v1/workflows?limit=2&page_token={token}")).await;
    assert_eq!(rest.body["items"][0]["id"], ids[0]);
    let cancelled = hub.get("/api/v1/workflows?status=cancelled").await;
    assert_eq!(cancelled.body["items"].as_array().unwrap().len(), 2);
    let theirs = hub.call(Method::GET, "/api/v1/workflows").token(hub.stranger()).send().await;
    assert_eq!(theirs.body["items"], json!([]));
    let foreign = hub.call(Method::POST, &advance).token(hub.stranger()).send().await;
    assert_eq!((foreign.status, foreign.code()), (StatusCode::NOT_FOUND, "workflow.not_found"));
}

#[tokio::test]
async fn what_cannot_be_started_is_refused_by_name() {
    let hub = Hub::start().await;
    let head = "document: {dsl: '1.0.3', namespace: clinic, name: x, version: '1.0.0'}\n";
    let faulty = store(&hub, &format!("{head}do: [{{a: {{sett: {{n: 1}}}}}}]")).await;
    assert_eq!((faulty.status, faulty.code()), (StatusCode::BAD_REQUEST, "request.invalid"));
    assert!(faulty.text.contains("/do/0/a"), "{}", faulty.text);
    let missing =
        store(&hub, &format!("{head}do: [{{a: {{run: {{script: {{language: js, code: '1'}}}}}}}}]")).await;
    assert_eq!((missing.status, missing.pointers()), (StatusCode::BAD_REQUEST, vec!["/do/0/a".to_owned()]));
    assert!(missing.text.contains("rule 23"), "{}", missing.text);

    let start = |definition: &str| json!({ "definition": definition });
    let unknown = hub.post("/api/v1/workflows", &start("clinic/none")).await;
    assert_eq!((unknown.status, unknown.code()), (StatusCode::NOT_FOUND, "workflow_definition.not_found"));
    assert_eq!(hub.post("/api/v1/workflows", &start("none")).await.pointers(), ["/definition"]);
    assert_eq!(hub.post("/api/v1/workflows", &json!({"name": "x"})).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        hub.post("/api/v1/workflows", &json!({"name": "x", "steps": []})).await.status,
        StatusCode::BAD_REQUEST
    );

    store(&hub, &format!("{head}do: [{{a: {{set: {{n: 1}}}}}}]")).await;
    let change = async |verb: &str| {
        hub.post(&format!("/api/v1/workflow-definitions/clinic:x:1.0.0/{verb}"), &json!({})).await
    };
    assert_eq!(change("retire").await.body["state"], "retired");
    assert_eq!(hub.post("/api/v1/workflows", &start("clinic/x")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(hub.post("/api/v1/workflows", &start("clinic/x:1.0.0")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(change("activate").await.body["state"], "active");
    let id = id_of(&hub.post("/api/v1/workflows", &start("clinic/x")).await);
    assert_eq!(reaches(&hub, &id, "completed").await["output"], json!({"n": 1}));
}

#[tokio::test]
async fn the_first_workflow_of_the_guide_is_taken() {
    let hub = Hub::start().await;
    let guide = include_str!("../../../../docs/workflows.md");
    let text = guide.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let stored = store(&hub, text).await;
    assert_eq!(stored.status, StatusCode::CREATED, "{}", stored.text);
    assert_eq!(stored.body.get("warnings"), None, "{}", stored.text);
}

#[tokio::test]
async fn a_schedule_is_listed_paused_resumed_and_triggered() {
    let hub = Hub::start().await;
    let text = "document: {dsl: '1.0.3', namespace: clinic, name: nightly, version: '1.0.0'}\nschedule: {cron: '0 3 * * *'}\ndo: [{a: {set: {n: 1}}}]";
    assert_eq!(store(&hub, text).await.status, StatusCode::CREATED);
    let mut tick = tokio::time::interval(std::time::Duration::from_millis(3));
    let mut listed = hub.get("/api/v1/workflow-schedules").await.body;
    for _ in 0..5_000 {
        if listed["items"][0].is_object() {
            break;
        }
        tick.tick().await;
        listed = hub.get("/api/v1/workflow-schedules").await.body;
    }
    assert_eq!(
        (&listed["items"][0]["id"], &listed["items"][0]["paused"]),
        (&json!("clinic:nightly"), &json!(false))
    );
    assert!(listed["items"][0]["next_at"].as_str().unwrap().ends_with("T03:00:00Z"));
    let verb = async |verb: &str| {
        hub.post(&format!("/api/v1/workflow-schedules/clinic:nightly/{verb}"), &json!({})).await
    };
    let paused = verb("pause").await;
    assert_eq!(
        (&paused.body["paused"], &paused.body["next_at"]),
        (&json!(true), &Value::Null),
        "{}",
        paused.text
    );
    let id = id_of(&verb("trigger").await);
    reaches(&hub, &id, "completed").await;
    assert!(verb("resume").await.body["next_at"].is_string());
    assert_eq!(hub.get("/api/v1/workflow-schedules/clinic:nightly").await.status, StatusCode::OK);
    let missing = hub.get("/api/v1/workflow-schedules/clinic:none").await;
    assert_eq!((missing.status, missing.code()), (StatusCode::NOT_FOUND, "workflow_schedule.not_found"));
    let path = "/api/v1/workflow-schedules/clinic:nightly/pause";
    let foreign = hub.call(Method::POST, path).token(hub.stranger()).send().await;
    assert_eq!(foreign.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_workflow_is_told_forked_compared_and_moved() {
    let hub = Hub::start().await;
    let text = |version: &str, tasks: &str| {
        format!("document: {{dsl: '1.0.3', namespace: clinic, name: it, version: '{version}'}}\ndo: {tasks}")
    };
    let first = text("1.0.0", "[{a: {set: {n: 1}}}, {sign: {call: 'step:1@default'}}]");
    assert_eq!(store(&hub, &first).await.status, StatusCode::CREATED);
    let id = id_of(&hub.post("/api/v1/workflows", &json!({"definition": "clinic/it"})).await);
    reaches(&hub, &id, "waiting").await;
    let path = format!("/api/v1/workflows/{id}");

    let page = hub.get(&format!("{path}/timeline?limit=1")).await;
    assert_eq!(page.body["items"][0]["kind"], "started", "{}", page.text);
    let token = page.body["next_page_token"].as_str().unwrap();
    let rest = hub.get(&format!("{path}/timeline?page_token={token}")).await.body;
    let begun = &rest["items"][0];
    assert_eq!((&begun["kind"], &begun["seq"], &begun["n_tasks"]), (&json!("begun"), &json!(2), &json!(3)));
    assert_eq!(begun["tasks"][0], json!({"task": "/do/0/a", "change": "started", "attempt": 1}));

    let forked = hub.post(&format!("{path}/fork"), &json!({"from": 2})).await;
    let fork = id_of(&forked);
    assert_eq!(forked.body["causation_id"], id);
    reaches(&hub, &fork, "waiting").await;
    for from in [json!(99), json!("/do/9/no"), json!(true)] {
        let refused = hub.post(&format!("{path}/fork"), &json!({ "from": from })).await;
        assert_eq!((refused.status, refused.pointers()), (StatusCode::BAD_REQUEST, vec!["/from".to_owned()]));
    }

    let second = text("1.1.0", "[{a: {set: {n: 2}}}, {seal: {call: 'step:1@default'}}]");
    assert_eq!(store(&hub, &second).await.status, StatusCode::CREATED);
    let differs = hub.get("/api/v1/workflow-definitions/clinic:it/diff?from=1.0.0&to=1.1.0").await.body;
    assert_eq!((&differs["added"], &differs["removed"]), (&json!(["/do/1/seal"]), &json!(["/do/1/sign"])));
    assert_eq!(differs["changed"][0]["changes"][0], json!({"pointer": "/set/n", "before": 1, "after": 2}));
    let refused = hub.post(&format!("{path}/migrate"), &json!({"version": "1.1.0"})).await;
    assert_eq!(
        (refused.status, refused.pointers()),
        (StatusCode::BAD_REQUEST, vec!["/map/~1do~11~1sign".to_owned()])
    );
    let unknown = hub.post(&format!("{path}/migrate"), &json!({"version": "9.0.0"})).await;
    assert_eq!(unknown.code(), "workflow_definition.not_found");
    let map = json!({"version": "1.1.0", "map": {"/do/1/sign": "/do/1/seal"}});
    let moved = hub.post(&format!("{path}/migrate"), &map).await;
    assert_eq!((moved.status, &moved.body["version"]), (StatusCode::OK, &json!("1.1.0")), "{}", moved.text);
    let others = hub.post("/api/v1/workflow-definitions/clinic:it:1.0.0/migrate", &map).await;
    assert_eq!(others.body["migrated"], json!([fork]), "{}", others.text);
    let done = hub.post(&format!("{path}/advance"), &json!({"step": "seal"})).await;
    assert_eq!(done.body["status"], "completed", "{}", done.text);
    assert_eq!(hub.post(&format!("{path}/migrate"), &map).await.code(), "workflow.state_conflict");

    let figures = hub.get("/api/v1/workflows/analytics?definition=clinic/it&interval=1h").await.body;
    assert_eq!((&figures["totals"]["completed"], &figures["series"][0]["completed"]), (&json!(1), &json!(1)));
    assert!(figures["definitions"][0]["duration_ms"]["p95"].is_number());
    for call in ["timeline", "fork", "migrate"] {
        let method = if call == "timeline" { Method::GET } else { Method::POST };
        let body = json!({"from": 2, "version": "1.1.0"});
        let body =
            if call == "fork" { json!({"from": body["from"]}) } else { json!({"version": body["version"]}) };
        let call = hub.call(method.clone(), &format!("{path}/{call}")).token(hub.stranger());
        let answer = if method == Method::GET { call.send().await } else { call.json(&body).send().await };
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{}", answer.text);
    }
}

#[tokio::test]
async fn a_template_is_listed_read_and_started() {
    let hub = Hub::start().await;
    let listed = hub.get("/api/v1/workflow-templates").await;
    let items = listed.body["items"].as_array().unwrap();
    assert!(items.len() >= 8, "{}", listed.text);
    assert!(items.iter().all(|it| it["description"].is_string() && it.get("source").is_none()));
    let read = hub.get("/api/v1/workflow-templates/approval").await;
    assert!(read.body["source"].as_str().unwrap().contains("approval.decided"));
    assert_eq!(read.body["inputs"]["required"], json!(["document", "approver"]));
    let missing = hub.get("/api/v1/workflow-templates/nothing").await;
    assert_eq!((missing.status, missing.code()), (StatusCode::NOT_FOUND, "workflow_definition.not_found"));

    let body = json!({"input": {"document": "doc-1", "approver": "ann"}, "document_id": "doc-1"});
    let id = id_of(&hub.post("/api/v1/workflow-templates/approval/start", &body).await);
    let waiting = reaches(&hub, &id, "waiting").await;
    assert_eq!(waiting["definition"], "templates/approval:1.0.0");
    let ann = json!({"name": "ann", "role": "operator", "user": "ann"});
    let ann = hub.call(Method::POST, "/api/v1/tokens").token(hub.token("admin")).json(&ann).send().await;
    let (advance, approved) = (format!("/api/v1/workflows/{id}/advance"), json!({"decision": "approved"}));
    let call = |token| hub.call(Method::POST, &advance).token(token).json(&approved).send();
    let other = call(hub.token("operator")).await;
    assert_eq!((other.status, other.code()), (StatusCode::FORBIDDEN, "task.not_allowed"), "{}", other.text);
    let done = call(ann.body["token"].as_str().unwrap()).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.text);
    let ended = reaches(&hub, &id, "completed").await;
    assert_eq!(ended["output"]["outcome"], "approved");

    let started = hub.post("/api/v1/workflow-templates/event-sync/start", &json!({"input": [{}]})).await;
    assert_eq!(started.status, StatusCode::CREATED, "{}", started.text);
    let draft = hub.get("/api/v1/workflow-definitions/templates:event-sync:1.0.0").await;
    assert_eq!(draft.body["state"], "draft", "what events start waits to be activated");
    let other =
        hub.call(Method::POST, "/api/v1/workflow-templates/approval/start").token(hub.token("viewer"));
    assert_eq!(other.json(&json!({})).send().await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_start_is_known_by_its_key_even_when_its_answer_was_lost() {
    let hub = Hub::start().await;
    store(&hub, STEPS).await;
    let other = STEPS.replace("name: referral", "name: other");
    store(&hub, &other).await;
    let start = async |key: &str, body: &Value| {
        let call = hub.call(Method::POST, "/api/v1/workflows").token(hub.token("operator"));
        id_of(&call.header("idempotency-key", key).json(body).send().await)
    };
    let body = json!({"definition": "clinic/referral"});
    let first = start("k-1", &body).await;
    assert_ne!(start("k-2", &body).await, first);
    // The instance was stored, and the hub died before the answer was.
    let release = idempotency_release(&tenant(), "k-1");
    hub.store.commit(Commit::statements(vec![release])).await.unwrap();
    assert_eq!(start("k-1", &body).await, first);
    // A start key belongs to a definition.
    let keyed = |name: &str| json!({"definition": name, "start_key": "s"});
    let one = start("k-3", &keyed("clinic/referral")).await;
    assert_eq!(start("k-4", &keyed("clinic/referral")).await, one);
    assert_ne!(start("k-5", &keyed("clinic/other")).await, one);
}

#[tokio::test]
async fn limits_promises_and_undoing_show_in_the_workflow_and_the_report() {
    let hub = Hub::start().await;
    let text = "document: {dsl: '1.0.3', namespace: clinic, name: late, version: '1.0.0', metadata: {trunkline: {sla: {due: '${ .by }'}, concurrency: {}, priority: high}}}\ndo:\n- a: {metadata: {trunkline: {compensate: [{u: {set: {x: 1}}}]}}, set: {a: 1}}\n- sign: {call: 'step:1@default'}";
    let stored = store(&hub, text).await;
    assert_eq!(stored.status, StatusCode::CREATED, "{}", stored.text);
    let body = json!({"definition": "clinic/late", "input": {"by": "2020-01-01T00:00:00Z"}});
    let late = id_of(&hub.post("/api/v1/workflows", &body).await);
    let shown = reaches(&hub, &late, "waiting").await;
    assert_eq!(
        (&shown["priority"], &shown["sla_due_at"]),
        (&json!(8), &json!("2020-01-01T00:00:00Z")),
        "{shown}"
    );
    shows(&hub, &late, "sla", &json!("breached")).await;
    // The second waits for the place of the first.
    let body = json!({"definition": "clinic/late", "input": {}});
    let next = id_of(&hub.post("/api/v1/workflows", &body).await);
    let waits = reaches(&hub, &next, "waiting").await;
    assert_eq!((&waits["current_step"], waits.get("sla")), (&json!(0), None));
    let breached = hub.get("/api/v1/workflows?sla=breached").await.body;
    assert_eq!((breached["items"].as_array().unwrap().len(), &breached["items"][0]["id"]), (1, &json!(late)));
    let report = hub.get("/api/v1/workflows/sla").await.body;
    assert_eq!((&report["all"]["breached"], &report["definitions"][0]["name"]), (&json!(1), &json!("late")));
    hub.post(&format!("/api/v1/workflows/{late}/cancel"), &json!({})).await;
    let ended = reaches(&hub, &late, "cancelled").await;
    assert_eq!((&ended["compensation"], &ended["sla"]), (&json!("done"), &json!("breached")));
    let report = hub.get("/api/v1/workflows/sla").await.body;
    let figures = &report["definitions"][0]["workflows"];
    assert_eq!(
        (&figures["breached"], &figures["missed"], &figures["met_ratio"]),
        (&json!(0), &json!(1), &json!(0.0))
    );
    shows(&hub, &next, "current_step", &json!(2)).await;
}
