//! Secrets that are renewed: both sign while they overlap, and one signs no more from the moment it ends.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{HeaderMap, Method};
use ring::hmac;
use serde_json::{Value, json};

use crate::hub::{Hub, Site};
use crate::receiver::Receiver;
use crate::stores::on_each_store;

on_each_store![both_secrets_sign_while_they_overlap, a_secret_that_was_brought_along_is_kept];

/// Which of the secrets fits each signature, in the order of the header; none is a signature that no secret fits.
fn signers(headers: &HeaderMap, body: &[u8], secrets: &[&str]) -> Vec<Option<usize>> {
    let text = |name: &str| headers[name].to_str().unwrap();
    let signed = [format!("{}.{}.", text("webhook-id"), text("webhook-timestamp")).as_bytes(), body].concat();
    let fits = |secret: &str, mac: &[u8]| {
        let key = BASE64.decode(secret.trim_start_matches("whsec_")).unwrap();
        hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, &key), &signed, mac).is_ok()
    };
    text("webhook-signature")
        .split(' ')
        .map(|entry| BASE64.decode(entry.strip_prefix("v1,").unwrap()).unwrap())
        .map(|mac| secrets.iter().position(|secret| fits(secret, &mac)))
        .collect()
}

fn secret(answer: &Value) -> String {
    answer["secret"].as_str().unwrap().to_owned()
}

/// Emits an event; gives which secrets have signed it.
async fn sign(hub: &Hub, receiver: &Receiver, secrets: &[&str]) -> Vec<Option<usize>> {
    let event = hub.emit("visit.begun", json!({})).await;
    receiver.wait_for_event(&event).await;
    let received = receiver.received().remove(&event).unwrap();
    signers(&received.headers, &received.body, secrets)
}

async fn both_secrets_sign_while_they_overlap(site: Site) {
    let (mut hub, receiver) = (site.start(), Receiver::start().await);
    let made = hub.post("/api/v1/webhooks", json!({ "url": receiver.url, "events": ["visit.*"] }), 201).await;
    let path = format!("/api/v1/webhooks/{}", made["id"].as_str().unwrap());
    let first = secret(&made);
    receiver.expect_secret(&first);
    assert_eq!(sign(&hub, &receiver, &[&first]).await, [Some(0)]);

    let renew = async |hub: &Hub, overlap_s: u64| {
        let body = json!({ "overlap_s": overlap_s });
        secret(&hub.post(&format!("{path}/regenerate-secret"), body, 200).await)
    };
    let second = renew(&hub, 600).await;
    assert_ne!(second, first);
    // A receiver that has the old one still verifies, and one that has the new one already.
    assert_eq!(sign(&hub, &receiver, &[&first, &second]).await, [Some(1), Some(0)]);
    receiver.expect_secret(&second);
    assert_eq!(sign(&hub, &receiver, &[&first, &second]).await, [Some(1), Some(0)]);
    hub.kill();
    hub = site.start();
    assert_eq!(sign(&hub, &receiver, &[&first, &second]).await, [Some(1), Some(0)], "also after a crash");
    assert!(hub.get(&path).await.get("secret").is_none(), "it was shown once");

    // Another one comes to their side, and an overlap ends by itself.
    let third = renew(&hub, 600).await;
    receiver.expect_secret(&third);
    let all = [first.as_str(), second.as_str(), third.as_str()];
    assert_eq!(sign(&hub, &receiver, &all).await, [Some(2), Some(1), Some(0)]);
    let fourth = renew(&hub, 1).await;
    receiver.expect_secret(&fourth);
    let all = [all.as_slice(), &[&fourth]].concat();
    let until = tokio::time::Instant::now() + std::time::Duration::from_mins(1);
    loop {
        let signers = sign(&hub, &receiver, &all).await;
        if signers == [Some(3)] {
            break;
        }
        assert_eq!(signers, [Some(3), Some(2), Some(1), Some(0)], "the newest comes first");
        assert!(tokio::time::Instant::now() < until, "the overlap does not end");
    }
    // After a leak: nothing but the new one from that moment.
    let last = renew(&hub, 0).await;
    receiver.expect_secret(&last);
    assert_eq!(sign(&hub, &receiver, &[&fourth, &last]).await, [Some(1)]);
}

async fn a_secret_that_was_brought_along_is_kept(site: Site) {
    let (hub, receiver) = (site.start(), Receiver::start().await);
    let own = format!("whsec_{}", BASE64.encode([7; 32]));
    let body = json!({ "url": receiver.url, "events": ["visit.*"], "secret": own });
    let answer = hub.call(Method::POST, "/api/v1/webhooks", Some(body)).await;
    let made = answer.expect(201);
    receiver.expect_secret(&own);
    assert_eq!(sign(&hub, &receiver, &[&own]).await, [Some(0)]);
    // A repeat of the call makes nothing, and does not tell the secret again.
    let body = json!({ "url": receiver.url, "events": ["visit.*"] });
    let key = [("idempotency-key", "once")];
    let create = async || hub.call_with(Method::POST, "/api/v1/webhooks", Some(body.clone()), &key).await;
    let (first, again) = (create().await.expect(201), create().await);
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(again.json()["id"], first["id"]);
    assert!(first["secret"].is_string() && again.json().get("secret").is_none());
    let path = format!("/api/v1/webhooks/{}/regenerate-secret", made["id"].as_str().unwrap());
    for bad in ["whsec_short", "hello", "whsec_***"] {
        let refused = hub.call(Method::POST, &path, Some(json!({ "secret": bad }))).await;
        assert!(!String::from_utf8_lossy(&refused.body).contains(bad), "it is not repeated");
        assert_eq!(refused.expect(400)["errors"][0]["pointer"], "/secret", "{bad}");
    }
}
