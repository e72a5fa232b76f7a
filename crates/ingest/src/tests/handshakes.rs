//! Providers that ask before they send: each is answered as it wants, and none of it leaves an event.

use trunkline_config::Provider;

use super::providers::{call, hex_mac};
use super::*;

fn get(query: &str) -> Request<Body> {
    Request::get(format!("/in/source?{query}")).body(Body::empty()).unwrap()
}

#[test]
fn meta_asks_by_get() {
    for_each_store(async |home| {
        let hub = Hub::with_provider(home, Provider::Meta);
        let answer =
            hub.send(get("hub.mode=subscribe&hub.verify_token=verify-me&hub.challenge=1158201444")).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (200, "1158201444"));
        assert_eq!(answer.headers["content-type"], "text/plain; charset=utf-8");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        let wrong = hub.send(get("hub.mode=subscribe&hub.verify_token=guess&hub.challenge=1")).await;
        wrong.check_problem(403, "auth.forbidden");
        hub.send(get("")).await.check_problem(403, "auth.forbidden");
        let kept = hub.kept().await;
        assert_eq!((kept.len(), &*kept[0].reason), (2, "token_mismatch"));
        assert!(
            kept[1].head.starts_with("GET /in/source?*** HTTP/1.1\r\n") && !kept[1].head.contains("guess")
        );

        let body = r#"{"object":"whatsapp_business_account","entry":[]}"#;
        let signed = with(call(body), "x-hub-signature-256", &format!("sha256={}", hex_mac(body)));
        let answer = hub.send(signed).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert!(answer.json()["id"].as_str().unwrap().starts_with("inb_"));
        assert_eq!(hub.events().await.len(), 1);
        assert_eq!(hub.ingest.stats().sources[0].handshakes, 1);
        hub.send(Request::get("/in/nobody").body(Body::empty()).unwrap())
            .await
            .check_problem(404, "source.not_found");
        let head = Request::head("/in/source").body(Body::empty()).unwrap();
        assert_eq!(hub.send(head).await.status, StatusCode::METHOD_NOT_ALLOWED);
        hub.ingest.start_drain();
        hub.send(get("")).await.check_problem(503, "hub.draining");
    });
}

#[test]
fn handshakes_come_from_where_they_may() {
    for_each_store(async |home| {
        let mut settings = SourceSettings::new("source", Provider::Meta.into(), vec![]);
        settings.allow_ips = vec!["203.0.113.0/24".parse().unwrap()];
        let hub = Hub::start(home, vec![provider_source(&settings)]);
        let ask = || get("hub.mode=subscribe&hub.verify_token=verify-me&hub.challenge=1");
        hub.send(from(ask(), [192, 0, 2, 1])).await.check_problem(403, "auth.forbidden");
        assert_eq!(hub.send(from(ask(), [203, 0, 113, 1])).await.text(), "1");
    });
}

#[test]
fn xero_wants_the_status_alone() {
    for_each_store(async |home| {
        let hub = Hub::with_provider(home, Provider::Xero);
        let signed = |body: &str| {
            let signature = STANDARD.encode(super::providers::mac(hmac::HMAC_SHA256, body));
            with(call(body), "x-xero-signature", &signature)
        };
        let intent = r#"{"events":[],"firstEventSequence":0,"lastEventSequence":0,"entropy":"x"}"#;
        let bare = |answer: Answer, status: u16| {
            assert_eq!((answer.status.as_u16(), answer.text()), (status, ""));
            assert!(answer.headers.keys().all(|name| name == "content-length"), "{:?}", answer.headers);
        };
        bare(hub.send(signed(intent)).await, 200);
        bare(hub.send(with(signed(intent), "x-xero-signature", &STANDARD.encode([0; 32]))).await, 401);
        bare(hub.send(call(intent)).await, 401);
        assert!(hub.events().await.is_empty());
        let update = |entropy: &str| {
            format!(
                r#"{{"events":[{{"resourceId":"r","tenantId":"t","eventCategory":"INVOICE","eventType":"UPDATE","eventDateUtc":"2026-01-05T09:00:00.123"}}],"firstEventSequence":7,"lastEventSequence":7,"entropy":"{entropy}"}}"#
            )
        };
        bare(hub.send(signed(&update("a"))).await, 200);
        bare(hub.send(signed(&update("b"))).await, 200);
        let [record] = &hub.events().await[..] else { panic!("one event") };
        assert_eq!(record.event.event_type.as_str(), "xero.invoice.update");
        assert_eq!(hub.kept().await.len(), 2);
    });
}

#[test]
fn slack_gets_its_challenge_back() {
    for_each_store(async |home| {
        let hub = Hub::with_provider(home, Provider::Slack);
        let signed = |body: &str| {
            let time = NOW.as_secs().to_string();
            let signature = format!("v0={}", hex_mac(&format!("v0:{time}:{body}")));
            with(with(call(body), "x-slack-request-timestamp", &time), "x-slack-signature", &signature)
        };
        let challenge = r#"{"token":"x","challenge":"3eZbrw1aB10FEMAGAZd4FyFQ","type":"url_verification"}"#;
        let answer = hub.send(signed(challenge)).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (200, "3eZbrw1aB10FEMAGAZd4FyFQ"));
        let forged = hub.send(with(signed(challenge), "x-slack-signature", "v0=00")).await;
        assert_eq!((forged.status.as_u16(), forged.text()), (401, ""));
        assert!(hub.events().await.is_empty());
        let event = r#"{"type":"event_callback","event_id":"Ev1","event":{"type":"message"}}"#;
        for _ in 0..2 {
            let answer = hub.send(signed(event)).await;
            assert_eq!((answer.status.as_u16(), answer.text()), (200, ""));
        }
        let [record] = &hub.events().await[..] else { panic!("one event") };
        assert_eq!(record.event.event_type.as_str(), "slack.message");
    });
}

#[test]
fn graph_gets_its_token_back_as_plain_text() {
    for_each_store(async |home| {
        let hub = Hub::with_provider(home, Provider::Graph);
        let ask = post("/in/source?validationToken=Validation%3A%20Testing%20%3Cb%3E", "");
        let answer = hub.send(ask).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (200, "Validation: Testing <b>"));
        assert_eq!(answer.headers["content-type"], "text/plain; charset=utf-8");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        assert!(hub.events().await.is_empty() && hub.kept().await.is_empty());
        hub.send(post("/in/source", "")).await.check_problem(401, "ingest.unauthorized");
    });
}
