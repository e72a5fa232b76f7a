//! Endpoints that want a token.

use super::*;
use crate::endpoint::{AuthStyle, ClientCredentials};
use trunkline_model::Secret;

fn with_token() -> EndpointSettings {
    let oauth2 = ClientCredentials {
        token_url: "https://login.example/token".to_owned(),
        client_id: "hub".to_owned(),
        client_secret: Secret::new("canary"),
        scope: None,
        audience: None,
        auth_style: AuthStyle::Basic,
    };
    EndpointSettings { oauth2: Some(oauth2), ..fast() }
}

const TOKEN: &str = r#"{"access_token":"t","token_type":"Bearer","expires_in":3600}"#;

#[tokio::test]
async fn a_refused_token_is_fetched_again_once() {
    let home = TestStore::sqlite().await;
    let rig = Rig::new(&home).await;
    rig.endpoint("/a", &["**"], EndpointSettings { max_attempts: Some(1), ..with_token() }).await;
    rig.net.script(|seen| match seen.path.as_str() {
        "/token" => Reply::Body(TOKEN),
        // The first token was withdrawn; nobody likes the events about the second thing.
        _ if seen.nth == 1 => Reply::Status(401),
        _ => Reply::Status(200),
    });
    let engine = rig.start(patient());
    rig.emit("order.paid", 1).await;
    assert_eq!(rig.settled(1).await[0].state, DeliveryState::Succeeded);
    let paths: Vec<_> = rig.net.seen().into_iter().map(|seen| seen.path).collect();
    assert_eq!(paths, ["/token", "/a", "/token", "/a"]);

    rig.net.script(|seen| if seen.path == "/token" { Reply::Body(TOKEN) } else { Reply::Status(401) });
    rig.emit("order.paid", 1).await;
    let rows = rig.settled(2).await;
    let failed = rows.iter().find(|row| row.state == DeliveryState::Exhausted).unwrap();
    let latest = failed.latest.as_ref().unwrap();
    assert_eq!((latest.status, latest.error_class.as_deref()), (Some(401), Some("http_4xx")));
    let n_calls = rig.net.seen().iter().filter(|seen| seen.path == "/a").count();
    assert_eq!(n_calls, 4, "an attempt is two calls at most");
    engine.stop().await;
}

#[tokio::test]
async fn without_a_token_nothing_is_sent_and_the_failure_counts() {
    let home = TestStore::sqlite().await;
    let rig = Rig::new(&home).await;
    let id = rig.endpoint("/a", &["**"], EndpointSettings { max_attempts: Some(1), ..with_token() }).await;
    rig.net.script(|_| Reply::Status(503));
    let engine = rig.start(EngineLimits { health_every: Duration::from_millis(5), ..patient() });
    rig.emit("order.paid", 1).await;
    let row = rig.settled(1).await.remove(0);
    let latest = row.latest.unwrap();
    assert_eq!(latest.error_class.as_deref(), Some("oauth2_failed"));
    assert_eq!(latest.error.as_deref(), Some("no token from the token endpoint: status 503"));
    assert!(rig.net.seen().iter().all(|seen| seen.path == "/token"));
    rig.until("the failure counts against the endpoint", async || {
        let health = trunkline_store::tables::endpoint_health::endpoint_health_get(
            &rig.store,
            &rig::tenant(),
            id.as_str(),
        )
        .await;
        health.unwrap().is_some_and(|health| health.failing_since.is_some())
    })
    .await;
    engine.stop().await;
}
