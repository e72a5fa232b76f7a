//! Subscriptions: the seven routes, pages of at most a hundred, filters, and changes that do not overwrite each other.

use std::collections::BTreeSet;

use http::Method;
use serde_json::json;

use super::{items, texts};
use crate::hub::Site;
use crate::receiver::Receiver;
use crate::stores::on_each_store;

on_each_store![
    the_seven_routes_make_a_life,
    lists_have_pages_and_filters,
    a_bad_endpoint_is_refused_with_every_fault
];

async fn the_seven_routes_make_a_life(site: Site) {
    let receiver = Receiver::start().await;
    let hub = site.start();
    let document = hub.get("/openapi.json").await;
    for (path, methods) in [
        ("/api/v1/webhooks", &["post", "get"][..]),
        ("/api/v1/webhooks/{id}", &["get", "put", "delete"]),
        ("/api/v1/webhooks/{id}/regenerate-secret", &["post"]),
        ("/api/v1/webhooks/{id}/test", &["post"]),
    ] {
        let described: BTreeSet<&str> =
            document["paths"][path].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(described, methods.iter().copied().collect(), "{path}");
    }

    let wanted = json!({ "url": receiver.url, "events": ["appointment.*"], "description": "front desk" });
    let made = hub.post("/api/v1/webhooks", wanted.clone(), 201).await;
    let path = format!("/api/v1/webhooks/{}", made["id"].as_str().unwrap());
    assert!(made["secret"].as_str().unwrap().starts_with("whsec_"));
    for field in ["url", "events", "description"] {
        assert_eq!(made[field], wanted[field]);
    }
    assert!(made["active"] == true && made["created_at"].is_string());
    assert_eq!(texts(&hub.get("/api/v1/webhooks").await["items"], "id"), [made["id"].as_str().unwrap()]);

    let read = hub.call(Method::GET, &path, None).await;
    assert!(read.expect(200).get("secret").is_none(), "a secret is shown once");
    let tag = read.header("etag").to_owned();
    let other = json!({ "url": receiver.url, "events": ["invoice.**"], "active": true });
    let put =
        async |tag: &str| hub.call_with(Method::PUT, &path, Some(other.clone()), &[("if-match", tag)]).await;
    let replaced = put(&tag).await;
    assert_eq!(replaced.expect(200)["events"], json!(["invoice.**"]));
    assert_ne!(replaced.header("etag"), tag);
    assert_eq!(put(&tag).await.expect(412)["code"], "endpoint.version_conflict");
    assert_eq!(hub.get(&path).await["events"], json!(["invoice.**"]));
    let stale = [("if-match", tag.as_str())];
    let deleted = hub.call_with(Method::DELETE, &path, None, &stale).await.expect(412);
    assert_eq!(deleted["code"], "endpoint.version_conflict");

    let renewed = hub.post(&format!("{path}/regenerate-secret"), json!({ "overlap_s": 0 }), 200).await;
    assert_ne!(renewed["secret"], made["secret"]);
    receiver.expect_secret(renewed["secret"].as_str().unwrap());
    let test = hub.call(Method::POST, &format!("{path}/test"), None).await.expect(202);
    let delivery = format!("/api/v1/deliveries/{}", test["delivery_id"].as_str().unwrap());
    assert_eq!(
        hub.wait_for(&delivery, |found| found["state"] == "succeeded").await["event_type"],
        "webhook.test"
    );
    receiver.wait_for(1).await;

    assert_eq!(hub.call(Method::DELETE, &path, None).await.status, 204);
    for (method, body) in [(Method::GET, None), (Method::PUT, Some(other.clone())), (Method::DELETE, None)] {
        assert_eq!(hub.call(method, &path, body).await.expect(404)["code"], "endpoint.not_found");
    }
}

async fn lists_have_pages_and_filters(site: Site) {
    const N: usize = 105;
    let hub = site.start();
    for n in 0..N {
        let events =
            if n % 5 == 0 { json!(["invoice.*"]) } else { json!(["patient.created", "lab_test.**"]) };
        let body =
            json!({ "url": format!("http://127.0.0.1:9/{n}"), "events": events, "active": n % 2 == 0 });
        hub.post("/api/v1/webhooks", body, 201).await;
    }
    let first = hub.get("/api/v1/webhooks?limit=100").await;
    let token = first["next_page_token"].as_str().unwrap();
    let rest = hub.get(&format!("/api/v1/webhooks?limit=100&page_token={token}")).await;
    assert!(rest["next_page_token"].is_null());
    let mut ids = texts(&first["items"], "id");
    ids.extend(texts(&rest["items"], "id"));
    assert_eq!((items(&first).len(), ids.iter().collect::<BTreeSet<_>>().len()), (100, N));
    for limit in ["0", "101", "-1", "all"] {
        let answer =
            hub.call(Method::GET, &format!("/api/v1/webhooks?limit={limit}"), None).await.expect(400);
        assert_eq!(answer["errors"][0]["pointer"], "query:limit", "{limit}");
    }
    let count =
        async |query: &str| items(&hub.get(&format!("/api/v1/webhooks?limit=100&{query}")).await).len();
    assert_eq!(count("active=false").await, N / 2);
    assert_eq!(count("event_type=invoice.paid").await, 21);
    assert_eq!(count("event_type=lab_test.result.added&active=true").await, 42);
    assert_eq!(count("text=127.0.0.1:9/104").await, 1);
    assert_eq!(hub.call(Method::GET, "/api/v1/webhooks?colour=red", None).await.status, 400);
}

async fn a_bad_endpoint_is_refused_with_every_fault(site: Site) {
    let hub = site.start();
    let bad = json!({ "url": "http://10.0.0.1/", "events": ["a..b"], "max_attempts": 0, "colour": "red" });
    let answer = hub.call(Method::POST, "/api/v1/webhooks", Some(bad)).await;
    assert_eq!(answer.header("content-type"), "application/problem+json");
    let problem = answer.expect(400);
    let pointers: BTreeSet<&str> = texts(&problem["errors"], "pointer").into_iter().collect();
    assert_eq!(pointers, BTreeSet::from(["/url", "/events/0", "/max_attempts", "/colour"]), "{problem}");
    assert_eq!(items(&hub.get("/api/v1/webhooks").await).len(), 0);
}
