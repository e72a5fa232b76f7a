//! What live connections ask of the API: tickets that are good once, and tokens with rooms of their own.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::json;
use trunkline_model::{ErrorCode, Room};

use crate::harness::Hub;

async fn ticket(hub: &Hub, token: &str) -> String {
    let answer = hub.call(Method::POST, "/api/v1/live/tickets").token(token).send().await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    assert_eq!(answer.body["expires_at"], "2027-01-15T08:00:30Z");
    answer.body["ticket"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_ticket_stands_for_its_token_once() {
    let hub = Hub::start().await;
    let made = json!({ "name": "phone", "role": "member", "user": "ann", "groups": ["driver"], "rooms": ["driver:7"] });
    let made = hub.post("/api/v1/tokens", &made).await;
    assert_eq!(
        (made.status, &made.body["rooms"]),
        (StatusCode::CREATED, &json!(["driver:7"])),
        "{}",
        made.text
    );
    let member = made.body["token"].as_str().unwrap();

    let first = ticket(&hub, member).await;
    let (one, two) = tokio::join!(hub.state.admit_ticket(&first), hub.state.admit_ticket(&first));
    let (identity, refused) = match (one, two) {
        (Ok(identity), Err(refused)) | (Err(refused), Ok(identity)) => (identity, refused),
        both => panic!("{both:?}"),
    };
    assert_eq!(refused.code(), ErrorCode::AuthInvalid);
    assert_eq!(identity.token_id.as_str(), made.body["id"]);
    assert_eq!((identity.tenant.as_str(), identity.role.as_str()), ("acme", "member"));
    assert_eq!(identity.person.unwrap().groups, ["driver"]);
    assert_eq!(identity.rooms, [Room::parse("driver:7").unwrap()]);
    let again = hub.state.admit_ticket(&first).await.unwrap_err();
    assert_eq!(again.code(), ErrorCode::AuthInvalid);

    // A token is no ticket and a ticket no token; neither is what nobody made.
    let second = ticket(&hub, member).await;
    for wrong in [member, "", "tlt_short", &format!("tlt_{:043}", 0), "é\n€€€€€€€€€€€€€€€€€"]
    {
        assert_eq!(
            hub.state.admit_ticket(wrong).await.unwrap_err().code(),
            ErrorCode::AuthInvalid,
            "{wrong}"
        );
    }
    assert_eq!(hub.state.admit_token(&second).await.unwrap_err().code(), ErrorCode::AuthInvalid);

    hub.clock.advance(Duration::from_secs(30));
    assert_eq!(hub.state.admit_ticket(&second).await.unwrap_err().code(), ErrorCode::AuthInvalid, "too late");
}

#[tokio::test]
async fn a_ticket_ends_with_its_token() {
    let hub = Hub::start().await;
    let made = hub.post("/api/v1/tokens", &json!({ "name": "phone", "role": "member" })).await;
    let ticket = ticket(&hub, made.body["token"].as_str().unwrap()).await;
    let path = format!("/api/v1/tokens/{}", made.body["id"].as_str().unwrap());
    let gone = hub.call(Method::DELETE, &path).token(hub.token("admin")).send().await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    assert_eq!(hub.state.admit_ticket(&ticket).await.unwrap_err().code(), ErrorCode::AuthInvalid);
}

#[tokio::test]
async fn a_repeated_ticket_is_not_kept() {
    let hub = Hub::start().await;
    let call = || {
        let call = hub.call(Method::POST, "/api/v1/live/tickets").token(hub.token("viewer"));
        call.header("idempotency-key", "k").send()
    };
    let (first, again) = (call().await, call().await);
    assert!(first.body["ticket"].is_string());
    assert_eq!((again.status, again.body.get("ticket")), (StatusCode::CREATED, None));
}

#[tokio::test]
async fn portal_tokens_receive_no_live_updates() {
    let hub = Hub::start().await;
    let portal = crate::portal::mint(&hub, json!({})).await.body["token"].as_str().unwrap().to_owned();
    assert_eq!(hub.state.admit_token(&portal).await.unwrap_err().code(), ErrorCode::AuthForbidden);
}

#[tokio::test]
async fn tokens_name_no_rooms_that_are_others() {
    let hub = Hub::start().await;
    for room in ["tenant:other", "user:bob", "role:admin", "clinic", "clinic:", "Clinic:1", "a:\u{7}"] {
        let body = json!({ "name": "phone", "role": "member", "rooms": ["clinic:1", room] });
        let answer = hub.post("/api/v1/tokens", &body).await;
        assert_eq!(
            (answer.code(), answer.pointers()),
            ("request.invalid", vec!["/rooms/1".to_owned()]),
            "{room}"
        );
    }
}
