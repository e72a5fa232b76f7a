//! One-time tokens beside a signature, an allow-list and a time window: all four count.

use trunkline_config::Provider;

use super::providers::{call, hex_mac};
use super::*;

fn token(nonce: &str) -> String {
    let signed = format!("source.{}.{nonce}", NOW.as_secs());
    format!("{}.{nonce}.{}", NOW.as_secs(), hex_mac(&format!("one-time-token.{signed}")))
}

fn settings(scheme: impl Into<SchemeSettings>) -> SourceSettings {
    let mut settings = SourceSettings::new("source", scheme.into(), vec![]);
    settings.one_time_tokens = true;
    settings
}

const FIRST: &str = "0123456789abcdef";
const SECOND: &str = "fedcba9876543210";

#[test]
fn all_four_guards_count() {
    for_each_store(async |home| {
        let mut settings = settings(Provider::Stripe);
        settings.allow_ips = vec!["192.0.2.0/24".parse().unwrap()];
        settings.tolerance = Duration::from_mins(1);
        let hub = Hub::start(home, vec![provider_source(&settings)]);
        let signed = |time: i64, id: &str| {
            let body = format!(r#"{{"id":"{id}","type":"a.b"}}"#);
            let value = format!("t={time},v1={}", hex_mac(&format!("{time}.{body}")));
            with(call(&body), "stripe-signature", &value)
        };
        let now = NOW.as_secs();
        let good = |id: &str, nonce: &str| with(signed(now, id), "x-one-time-token", &token(nonce));
        let id = hub.send(good("evt_1", FIRST)).await.id();
        // The same call is a repeat; another call with its token is not taken.
        assert_eq!(hub.send(good("evt_1", FIRST)).await.id(), id);
        hub.send(good("evt_2", FIRST)).await.check_problem(401, "ingest.unauthorized");
        hub.send(signed(now, "evt_2")).await.check_problem(401, "ingest.unauthorized");
        hub.send(from(good("evt_2", SECOND), [203, 0, 113, 1]))
            .await
            .check_problem(401, "ingest.unauthorized");
        let stale = with(signed(now - 61, "evt_2"), "x-one-time-token", &token(SECOND));
        hub.send(stale).await.check_problem(401, "ingest.unauthorized");
        let forged = with(good("evt_2", SECOND), "stripe-signature", &format!("t={now},v1=00"));
        hub.send(forged).await.check_problem(401, "ingest.unauthorized");
        let mut reasons: Vec<String> = hub.kept().await.into_iter().map(|row| row.reason).collect();
        reasons.reverse();
        let expect = [
            "token_spent",
            "missing_header: x-one-time-token",
            "address_refused",
            "stale",
            "signature_mismatch",
        ];
        assert_eq!(reasons, expect);
        // None of these has spent the second token.
        hub.send(good("evt_2", SECOND)).await.id();
        assert_eq!(hub.events().await.len(), 2);
        let texts = format!("{:?}{:?}", hub.events().await, hub.kept().await);
        assert!(texts.contains("x-one-time-token: ***") && !texts.contains(FIRST), "{texts}");
    });
}

#[test]
fn a_token_is_good_for_one_of_many_at_once() {
    for_each_store(async |home| {
        let scheme = TokenSettings { header: "x-portal-token".to_owned() };
        let hub = Hub::start(home, vec![provider_source(&settings(scheme))]);
        let call = |n: usize, nonce: &str| {
            let body = format!(r#"{{"type":"a.b","data":{n}}}"#);
            with(with(call(&body), "x-portal-token", "secret"), "x-one-time-token", &token(nonce))
        };
        let answers = futures_util::future::join_all((0..8).map(|n| hub.send(call(n, FIRST)))).await;
        let accepted: Vec<&Answer> =
            answers.iter().filter(|answer| answer.status == StatusCode::ACCEPTED).collect();
        let [accepted] = accepted[..] else { panic!("one call is taken, not {}", accepted.len()) };
        assert!(answers.iter().all(|answer| matches!(answer.status.as_u16(), 202 | 401)));
        assert_eq!(hub.events().await.len(), 1);
        // Without an id of its own, a call with a token is known by token and body.
        let n = answers.iter().position(|answer| answer.status == StatusCode::ACCEPTED).unwrap();
        assert_eq!(hub.send(call(n, FIRST)).await.id(), accepted.id());
        hub.send(call(n, SECOND)).await.id();
        assert_eq!(hub.events().await.len(), 2);
    });
}
