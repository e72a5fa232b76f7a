//! What callers ask of the engine: test, resend, retry now.

use super::*;
use crate::endpoint::WebhookFormat;
use trunkline_model::EndpointId;

#[test]
fn a_test_goes_to_its_endpoint_alone() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let tested = rig.endpoint("/tested", &["order.*"], fast()).await;
        rig.endpoint("/all", &["**"], fast()).await;
        let engine = rig.start(patient());
        let id = engine.test(&rig::tenant(), &tested, None).await.unwrap();
        let row = rig.settled(1).await.remove(0);
        assert_eq!((row.id, row.event_type.as_str()), (id, TEST_TYPE));
        rig.emit("webhook.test", 1).await;
        rig.settled(2).await;
        engine.stop().await;
        let paths: Vec<String> = rig.net.seen().into_iter().map(|seen| seen.path).collect();
        assert_eq!(paths, ["/tested", "/all"]);
        let unknown = engine.test(&rig::tenant(), &EndpointId::fresh(), None).await;
        assert!(matches!(unknown, Err(RequestError::EndpointNotFound)));
    });
}

#[test]
fn a_test_can_look_like_another_event_to_its_receiver() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let tested = rig.endpoint("/tested", &["order.*"], fast()).await;
        let settings = EndpointSettings { format: WebhookFormat::CloudEvents, ..fast() };
        let structured = rig.endpoint("/structured", &["order.*"], settings).await;
        let engine = rig.start(patient());
        let event_type = EventType::parse("order.paid").unwrap();
        for endpoint in [&tested, &structured] {
            let sample = Sample { event_type: event_type.clone(), data: r#"{"total":7}"#.to_owned() };
            engine.test(&rig::tenant(), endpoint, Some(sample)).await.unwrap();
        }
        let rows = rig.settled(2).await;
        assert!(rows.iter().all(|row| row.event_type.as_str() == TEST_TYPE), "to the hub it is a test");
        engine.stop().await;
        let seen = rig.net.seen();
        assert_eq!(seen.len(), 2);
        for one in seen {
            let body: serde_json::Value = serde_json::from_slice(&one.body).unwrap();
            assert_eq!((&body["type"], &body["data"]["total"]), (&"order.paid".into(), &7.into()));
            assert!(body.get(crate::sign::SHOWN_TYPE).is_none());
        }
    });
}

#[test]
fn a_resend_makes_new_deliveries_with_the_same_id() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let a = rig.endpoint("/a", &["order.*"], fast()).await;
        let engine = rig.start(patient());
        let event = rig.emit("order.paid", 1).await.remove(0);
        rig.settled(1).await;
        let b = rig.endpoint("/b", &["**"], fast()).await;
        let c = rig.endpoint("/c", &["visit.*"], fast()).await;
        let tenant = rig::tenant();
        assert_eq!(engine.resend(&tenant, &event, None).await.unwrap().len(), 2);
        assert_eq!(engine.resend(&tenant, &event, Some(&c)).await.unwrap().len(), 1);
        let rows = rig.settled(4).await;
        let n_of = |id: &EndpointId| rows.iter().filter(|row| row.endpoint_id == *id).count();
        assert_eq!([n_of(&a), n_of(&b), n_of(&c)], [2, 1, 1]);
        let seen = rig.net.seen();
        assert!(seen.iter().all(|one| one.id == event && one.body == seen[0].body));
        let unknown = engine.resend(&tenant, "evt_unknown", None).await;
        assert!(matches!(unknown, Err(RequestError::EventNotFound)));
        let foreign = trunkline_model::Tenant::from_stored("other");
        let foreign = engine.resend(&foreign, &event, None).await;
        assert!(matches!(foreign, Err(RequestError::EventNotFound)));
        engine.stop().await;
    });
}

#[test]
fn a_retry_by_hand_does_not_wait() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let day = EndpointSettings { backoff_ms: Some(vec![86_400_000]), max_attempts: Some(2), ..fast() };
        rig.endpoint("/a", &["**"], day).await;
        rig.net.script(|seen| Reply::Status(if seen.nth < 3 { 500 } else { 200 }));
        let engine = rig.start(patient());
        rig.emit("order.paid", 1).await;
        rig.until("the first attempt failed", async || rig.deliveries().await.len() == 1).await;
        let id = rig.deliveries().await.remove(0).id;
        let tenant = rig::tenant();
        engine.retry_now(&tenant, id.as_str()).await.unwrap();
        let row = rig.settled(1).await.remove(0);
        assert_eq!((row.state, row.n_attempts), (DeliveryState::Exhausted, 2));
        engine.retry_now(&tenant, id.as_str()).await.unwrap();
        let succeeded = async || rig.deliveries().await[0].state == DeliveryState::Succeeded;
        rig.until("the third attempt succeeded", succeeded).await;
        let again = engine.retry_now(&tenant, id.as_str()).await;
        assert!(matches!(again, Err(RequestError::AlreadySucceeded)));
        let row = rig.deliveries().await.remove(0);
        assert_eq!(delivery::attempt_list(&rig.store, &row).await.unwrap().len(), 3);
        engine.stop().await;
    });
}

#[test]
fn a_resend_to_all_goes_where_planning_would() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let filter = |text: &str| EndpointSettings { filter: Some(text.to_owned()), ..fast() };
        let all = rig.endpoint("/all", &["**"], fast()).await;
        rig.endpoint("/filtered", &["**"], filter("false")).await;
        rig.endpoint("/broken", &["**"], filter(".data.subject.name")).await;
        let lab = EndpointSettings { channels: vec!["lab".to_owned()], ..fast() };
        rig.endpoint("/lab", &["**"], lab).await;
        let engine = rig.start(patient());
        let event = rig.emit("order.paid", 1).await.remove(0);
        // One for each endpoint but the filtered ones; the broken filter shows as a delivery that was given up.
        rig.settled(2).await;
        let tenant = rig::tenant();
        assert_eq!(engine.resend(&tenant, &event, None).await.unwrap().len(), 1);
        let rows = rig.settled(3).await;
        assert_eq!(rows.iter().filter(|row| row.endpoint_id == all).count(), 2);
        assert!(rig.net.seen().iter().all(|seen| seen.path == "/all"));
        engine.stop().await;
    });
}

#[test]
fn a_resend_to_all_keeps_what_is_told_of_an_endpoint_from_it() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let gone = rig.endpoint("/gone", &["**"], fast()).await;
        let watch = rig.endpoint("/watch", &["endpoint.**"], fast()).await;
        let mut told = trunkline_testkit::event::event("endpoint.recovered", gone.as_str());
        told.source = OWN_SOURCE.into();
        let id = told.id.as_str().to_owned();
        let engine = rig.start(patient());
        rig.journal.append(vec![trunkline_store::NewEvent::new(told, rig.journal.now())]).await.unwrap();
        rig.settled(1).await;
        engine.resend(&rig::tenant(), &id, None).await.unwrap();
        let rows = rig.settled(2).await;
        assert!(rows.iter().all(|row| row.endpoint_id == watch));
        engine.stop().await;
    });
}
