//! Functions of the default catalogue, through the engine and its store.

use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use trunkline_model::DeliveryId;
use trunkline_model::outlets::{
    Message, MessageChannel, NotSent, Notifier, OwedWebhook, SentMessage, WebhookNotSent, WebhookSender,
};
use trunkline_store::tables::document::document_history;
use trunkline_store::tables::stored_record::{StoredRecord, stored_record_get, stored_record_put};
use trunkline_testkit::for_each_store;

use super::super::*;
use super::json_of;
use super::rig::{Rig, tenant};

async fn stored(rig: &Rig, id: &str) -> Option<StoredRecord> {
    stored_record_get(&rig.store, &tenant(), "patients", id).await.unwrap()
}

#[test]
fn a_record_is_written_patched_and_deleted() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let engine = rig.start();
        let tasks = "do:
- put: {call: 'record-update:1@default', with: {collection: patients, id: '${ .id }', data: {name: Bo, tags: [a]}}}
- patch: {call: 'record-update:1@default', with: {collection: patients, id: '${ .id }', operation: patch, version: 1, data: {name: Bob, tags: null}}}
- conflict:
    try: [{late: {call: 'record-update:1@default', with: {collection: patients, id: '${ .id }', version: 1, data: {}}}}]
    catch: {as: error, do: [{keep: {set: {status: '${ $error.status }'}}}]}";
        let definition = rig.define(&engine, "records", tasks).await;
        let id = rig.begin(&engine, &definition, json!({"id": "p1"})).await;
        let row = rig.reaches(&engine, &id, "completed").await;
        assert_eq!(json_of(row.output.as_ref()), json!({"status": 409}));
        let record = stored(&rig, "p1").await.unwrap();
        assert_eq!((record.version, record.data.as_str()), (2, "{\"name\":\"Bob\"}"));
        let tasks = "do: [{gone: {call: 'record-update:1@default', with: {collection: patients, id: p1, operation: delete}}}]";
        let definition = rig.define(&engine, "delete", tasks).await;
        let id = rig.begin(&engine, &definition, json!({})).await;
        let row = rig.reaches(&engine, &id, "completed").await;
        assert_eq!(json_of(row.output.as_ref())["deleted"], json!(true));
        assert_eq!(stored(&rig, "p1").await, None);
        engine.stop().await;
    });
}

#[test]
fn a_record_is_written_once_wherever_the_work_is_cut_off() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        for point in [CommitPoint::Before, CommitPoint::After] {
            for n in 1..=3 {
                let engine = rig.start();
                let name = format!("cut-{n}-{}", u8::from(point == CommitPoint::After));
                let tasks = format!(
                    "do: [{{a: {{call: 'record-update:1@default', with: {{collection: patients, id: {name}, data: {{}}}}}}}}, {{b: {{call: 'record-update:1@default', with: {{collection: patients, id: {name}, data: {{}}}}}}}}]"
                );
                let definition = rig.define(&engine, &name, &tasks).await;
                engine.cut_at(point, n);
                let id = rig.begin(&engine, &definition, json!({})).await;
                engine.tripped().await;
                engine.crash().await;
                let engine = rig.start();
                rig.reaches(&engine, &id, "completed").await;
                assert_eq!(stored(&rig, &name).await.unwrap().version, 2, "{name}");
                engine.stop().await;
            }
        }
    });
}

#[test]
fn a_record_that_somebody_else_writes_is_read_again() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let engine = rig.start();
        let tasks = "do: [{a: {call: 'record-update:1@default', with: {collection: patients, id: p1, operation: patch, data: {mine: 1}}}}]";
        let definition = rig.define(&engine, "race", tasks).await;
        let record = |version: i64| StoredRecord {
            tenant: tenant(),
            collection: "patients".to_owned(),
            id: "p1".to_owned(),
            data: format!("{{\"theirs\":{version}}}"),
            version,
            updated_at: rig.journal.now(),
        };
        let put = async |version| {
            rig.journal.commit(Commit::statements(vec![stored_record_put(&record(version))])).await.unwrap();
        };
        put(1).await;
        // The second commit is the one that records the end of the call, held back here while somebody else writes.
        engine.hold_at(CommitPoint::Before, 2);
        let id = rig.begin(&engine, &definition, json!({})).await;
        engine.tripped().await;
        put(2).await;
        engine.release();
        rig.reaches(&engine, &id, "completed").await;
        let found = stored(&rig, "p1").await.unwrap();
        assert_eq!(serde_json::from_str::<Value>(&found.data).unwrap(), json!({"theirs": 2, "mine": 1}));
        assert_eq!(found.version, 3);
        engine.stop().await;
    });
}

#[test]
fn a_document_goes_from_holder_to_holder() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let engine = rig.start();
        let tasks = "do:
- in: {call: 'document.route:1@default', with: {document: '${ .doc }', to: {group: doctors}, status: in_review}, output: {as: '$input'}}
- out: {call: 'document.route:1@default', with: {document: '${ .doc }', to: {user: ann}, status: approved, note: fine}}";
        let definition = rig.define(&engine, "route", tasks).await;
        let id = rig.begin(&engine, &definition, json!({"doc": "d-1"})).await;
        let row = rig.reaches(&engine, &id, "completed").await;
        assert_eq!(json_of(row.output.as_ref())["to"], json!({"user": "ann"}));
        let history = document_history(&rig.store, &tenant(), "d-1", 9).await.unwrap();
        let statuses: Vec<&str> = history.iter().map(|row| row.status.as_str()).collect();
        assert_eq!(statuses, ["in_review", "approved"]);
        engine.stop().await;
    });
}

/// Keeps what it is to send.
#[derive(Default)]
struct Postbox(Mutex<Vec<Message>>);

impl Notifier for Postbox {
    fn send<'a>(&'a self, message: &'a Message) -> BoxFuture<'a, Result<SentMessage, NotSent>> {
        Box::pin(async move {
            self.0.lock().push(message.clone());
            Ok(SentMessage { id: "m-1".to_owned() })
        })
    }
}

#[test]
fn messages_leave_by_the_notifier_and_without_one_the_error_says_so() {
    for_each_store(async |home| {
        let mut rig = Rig::new(home).await;
        let tasks =
            "do: [{m: {call: 'email:1@default', with: {to: '${ .to }', subject: Hello, body: text}}}]";
        let engine = rig.start();
        let definition = rig.define(&engine, "mail", tasks).await;
        let id = rig.begin(&engine, &definition, json!({"to": "a@b.example"})).await;
        rig.until("it failed", async || rig.row(&id).await.phase.is_terminal()).await;
        let error = json_of(rig.row(&id).await.error.as_ref());
        assert!(error["type"].as_str().unwrap().ends_with("/configuration"), "{error}");
        assert!(error["detail"].as_str().unwrap().contains("no notifier"), "{error}");
        engine.stop().await;
        let postbox = Arc::new(Postbox::default());
        rig.outlets.notifier = Some(Arc::clone(&postbox) as Arc<dyn Notifier>);
        let engine = rig.start();
        let id = rig.begin(&engine, &definition, json!({"to": ["a@b.example", "c@d.example"]})).await;
        let row = rig.reaches(&engine, &id, "completed").await;
        assert_eq!(json_of(row.output.as_ref()), json!({"id": "m-1"}));
        let sent = postbox.0.lock().clone();
        assert_eq!((sent.len(), sent[0].channel, sent[0].to.len()), (1, MessageChannel::Email, 2));
        engine.stop().await;
    });
}

#[test]
fn an_event_of_the_catalogue_is_emitted_and_http_is_called() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let engine = rig.start();
        let tasks = "do:
- e: {call: 'event:1@default', with: {type: case.opened, subject: c-1, data: {n: '${ .n }'}}}
- h: {call: 'http:1@default', with: {method: post, endpoint: 'http://stub/echo', body: '${ .data }'}}";
        let definition = rig.define(&engine, "both", tasks).await;
        let id = rig.begin(&engine, &definition, json!({"n": 4})).await;
        let row = rig.reaches(&engine, &id, "completed").await;
        assert_eq!(json_of(row.output.as_ref()), json!({"echo": {"n": 4}}));
        assert_eq!(rig.records(&id).await.len(), 3, "start, begin with the event, end of the call");
        engine.stop().await;
    });
}

#[test]
fn nothing_is_done_durably() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let engine = rig.start();
        let tasks = "do: [{n: {call: 'noop:1@default', with: {a: '${ .n }', b: [1]}}}]";
        let definition = rig.define(&engine, "noop", tasks).await;
        let id = rig.begin(&engine, &definition, json!({"n": 4})).await;
        let row = rig.reaches(&engine, &id, "completed").await;
        assert_eq!(json_of(row.output.as_ref()), json!({"a": 4, "b": [1]}));
        assert_eq!(rig.records(&id).await.len(), 3, "start, begin, end of the call");
        let tasks = "do: [{n: {call: 'noop:1@default'}}]";
        let definition = rig.define(&engine, "bare", tasks).await;
        let id = rig.begin(&engine, &definition, json!({"n": 4})).await;
        let row = rig.reaches(&engine, &id, "completed").await;
        assert_eq!(json_of(row.output.as_ref()), json!({}));
        engine.stop().await;
    });
}

/// Keeps what it owes.
#[derive(Default)]
struct Debts(Mutex<Vec<OwedWebhook>>);

impl WebhookSender for Debts {
    fn send<'a>(&'a self, owed: &'a OwedWebhook) -> BoxFuture<'a, Result<DeliveryId, WebhookNotSent>> {
        Box::pin(async move {
            self.0.lock().push(owed.clone());
            Ok(DeliveryId::from_text("dlv_1"))
        })
    }
}

#[test]
fn a_webhook_has_an_id_for_each_key_whatever_the_key() {
    for_each_store(async |home| {
        let mut rig = Rig::new(home).await;
        let debts = Arc::new(Debts::default());
        rig.outlets.webhooks = Some(Arc::clone(&debts) as Arc<dyn WebhookSender>);
        let engine = rig.start();
        let tasks = "do:
- f:
    for: {each: key, in: '[\"äöüäöüäöüäöüäöüäöü-one\", \"äöüäöüäöüäöüäöüäöü-two\", \"äöüäöüäöüäöüäöüäöü-one\"]'}
    do:
    - w:
        metadata: {trunkline: {idempotency: {key: '${ $key }'}}}
        call: webhook:1@default
        with: {endpoint: ep_1, type: a.b}";
        let definition = rig.define(&engine, "hooks", tasks).await;
        let id = rig.begin(&engine, &definition, json!({})).await;
        let row = rig.reaches(&engine, &id, "completed").await;
        assert_eq!(json_of(row.output.as_ref())["delivery_id"], "dlv_1");
        let ids: Vec<String> = debts.0.lock().iter().map(|owed| owed.event_id.clone()).collect();
        assert_eq!(ids.len(), 3);
        assert!(ids[0] == ids[2] && ids[0] != ids[1] && ids[0].is_ascii(), "{ids:?}");
        engine.stop().await;
    });
}
