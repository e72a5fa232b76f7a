//! Records of collections: written under a version, listed, taken away, and sealed off by tenant.

use http::{Method, StatusCode};
use serde_json::json;

use crate::harness::Hub;

#[tokio::test]
async fn a_record_is_written_read_listed_and_deleted() {
    let hub = Hub::start().await;
    let call = |method: Method, path: &str| hub.call(method, path).token(hub.token("operator"));
    let path = "/api/v1/records/patients/p-1";
    let made = call(Method::PUT, path).json(&json!({"name": "Bo"})).send().await;
    assert_eq!((made.status, made.header("etag")), (StatusCode::OK, "\"1\""), "{}", made.text);
    let stale = call(Method::PUT, path).header("if-match", "\"0\"").json(&json!({})).send().await;
    assert_eq!((stale.status, stale.code()), (StatusCode::PRECONDITION_FAILED, "record.version_conflict"));
    let changed = call(Method::PUT, path).header("if-match", "\"1\"").json(&json!([1, 2])).send().await;
    assert_eq!((changed.status, &changed.body["version"]), (StatusCode::OK, &json!(2)), "{}", changed.text);
    let read = hub.get(path).await;
    assert_eq!((&read.body["data"], read.header("etag")), (&json!([1, 2]), "\"2\""));
    call(Method::PUT, "/api/v1/records/patients/p-2").json(&json!({})).send().await;
    let page = hub.get("/api/v1/records/patients?limit=1").await;
    assert_eq!(page.body["items"][0]["id"], "p-1");
    let token = page.body["next_page_token"].as_str().unwrap().to_owned();
    let next = hub.get(&format!("/api/v1/records/patients?limit=1&page_token={token}")).await;
    assert_eq!(next.body["items"][0]["id"], "p-2");
    assert_eq!(hub.get("/api/v1/records/others").await.body["items"], json!([]));
    let bad = hub.get("/api/v1/records/No%20Name/x").await;
    assert_eq!(bad.status, StatusCode::BAD_REQUEST);
    assert_eq!(call(Method::DELETE, path).send().await.status, StatusCode::NO_CONTENT);
    let gone = hub.get(path).await;
    assert_eq!((gone.status, gone.code()), (StatusCode::NOT_FOUND, "record.not_found"));
}
