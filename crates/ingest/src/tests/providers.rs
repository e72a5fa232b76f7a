//! Calls of providers through the router: what each is answered, what it becomes, and what is kept of it.

use ring::hmac::Algorithm;
use trunkline_config::{Provider, ProviderSettings};

use super::*;

pub(super) fn mac(algorithm: Algorithm, signed: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(algorithm, b"secret"), signed.as_bytes()).as_ref().to_vec()
}

pub(super) fn hex_mac(signed: &str) -> String {
    hex::encode(mac(hmac::HMAC_SHA256, signed))
}

pub(super) fn call(body: &str) -> Request<Body> {
    with(post("/in/source", body.to_owned()), "content-type", "application/json")
}

impl Answer {
    fn check(&self, status: u16, body: &str) {
        assert_eq!((self.status.as_u16(), self.text()), (status, body));
    }
}

fn github(body: &str, delivery: &str) -> Request<Body> {
    let request = with(call(body), "x-hub-signature-256", &format!("sha256={}", hex_mac(body)));
    with(with(request, "x-github-event", "issues"), "x-github-delivery", delivery)
}

#[test]
fn github_calls_become_named_events_once() {
    for_each_store(async |home| {
        let hub = Hub::with_provider(home, Provider::GitHub);
        let body = r#"{"action":"opened","type":"x.y","data":1}"#;
        let id = hub.send(github(body, "d-1")).await.id();
        assert_eq!(hub.send(github(body, "d-1")).await.id(), id);
        let [record] = &hub.events().await[..] else { panic!("one event") };
        assert_eq!(record.event.event_type.as_str(), "github.issues.opened");
        assert_eq!(record.event.data, Data::Json(body.into()));
        assert_eq!(record.event.id.to_inbound().unwrap().as_str(), id);
        assert!(record.request_head.as_deref().unwrap().contains("x-github-delivery: d-1\r\n"));
        hub.send(with(github(body, "d-2"), "x-hub-signature-256", "sha256=00"))
            .await
            .check_problem(401, "ingest.unauthorized");
        let broken = hub.send(github("{oops", "d-3")).await.id();
        let kept = hub.kept().await;
        let quarantined = kept.iter().find(|row| row.id.as_str() == broken).unwrap();
        assert_eq!(quarantined.verdict, Verdict::Quarantined);
        hub.send(Request::get("/in/source").body(Body::empty()).unwrap())
            .await
            .check_problem(405, "request.method_not_allowed");
    });
}

#[test]
fn stripe_calls_are_known_by_the_id_in_the_body() {
    for_each_store(async |home| {
        let mut hub = Hub::with_provider(home, Provider::Stripe);
        let signed = |time: i64, body: &str| {
            let value = format!("t={time},v1={}", hex_mac(&format!("{time}.{body}")));
            with(call(body), "stripe-signature", &value)
        };
        let body = r#"{"id":"evt_1","type":"invoice.paid","created":1700000000,"data":{"object":{}}}"#;
        let id = hub.send(signed(NOW.as_secs(), body)).await.id();
        // A retry is signed anew.
        assert_eq!(hub.send(signed(NOW.as_secs() + 5, body)).await.id(), id);
        hub.send(signed(NOW.as_secs() - 301, body)).await.check_problem(401, "ingest.unauthorized");
        let [record] = &hub.events().await[..] else { panic!("one event") };
        // The whole body is the data, although it looks like an envelope.
        assert_eq!(record.event.event_type.as_str(), "stripe.invoice.paid");
        assert_eq!(record.event.data.as_json(), Some(body));

        // A call that was refused for a wrong secret is named the same way when it is judged again.
        let other = r#"{"id":"evt_2","type":"invoice.paid"}"#;
        hub.reconfigure(vec![wrong_secret(Provider::Stripe)]);
        hub.send(signed(NOW.as_secs(), other)).await.check_problem(401, "ingest.unauthorized");
        let refused = hub.kept().await[0].id.as_str().to_owned();
        let settings = SourceSettings::new("source", Provider::Stripe.into(), vec![]);
        hub.reconfigure(vec![provider_source(&settings)]);
        assert!(matches!(hub.rejudge(&refused).await.unwrap(), Rejudged::Accepted { .. }));
        let repeat = hub.send(signed(NOW.as_secs(), other)).await.id();
        assert_eq!(repeat, refused);
        assert!(
            hub.events().await.iter().all(|record| record.event.event_type.as_str() == "stripe.invoice.paid")
        );
        assert_eq!(hub.events().await.len(), 2);
    });
}

fn wrong_secret(provider: Provider) -> Source {
    let settings = SourceSettings::new("source", provider.into(), vec![]);
    Source::new(&settings, &Credentials::from(&[Secret::new("wrong")][..])).unwrap()
}

#[test]
fn twilio_is_answered_in_its_own_language_and_the_form_is_kept() {
    for_each_store(async |home| {
        let public_url = Some("https://hub.example.com".to_owned());
        let hub = Hub::with_provider(
            home,
            ProviderSettings { public_url, ..ProviderSettings::new(Provider::Twilio) },
        );
        let form = "MessageSid=SM1&SmsStatus=received&From=%2B4415550100&Body=hi+there";
        let signed = "https://hub.example.com/in/source?a=1BodyhiFROM";
        let signed =
            signed.replace("BodyhiFROM", "Bodyhi thereFrom+4415550100MessageSidSM1SmsStatusreceived");
        let signature = STANDARD.encode(mac(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &signed));
        let request = || {
            let request =
                with(post("/in/source?a=1", form), "content-type", "application/x-www-form-urlencoded");
            with(request, "x-twilio-signature", &signature)
        };
        let answer = hub.send(request()).await;
        answer.check(200, r#"<?xml version="1.0" encoding="UTF-8"?><Response/>"#);
        assert_eq!(answer.headers["content-type"], "text/xml");
        assert_eq!(hub.send(request()).await.status, StatusCode::OK);
        let [record] = &hub.events().await[..] else { panic!("one event") };
        assert_eq!(record.event.event_type.as_str(), "twilio.message.received");
        let data = r#"{"Body":"hi there","From":"+4415550100","MessageSid":"SM1","SmsStatus":"received"}"#;
        assert_eq!(record.event.data.as_json(), Some(data));
        let [row] = &hub.kept().await[..] else { panic!("one call") };
        assert_eq!((row.verdict, row.body.as_deref()), (Verdict::Accepted, Some(form.as_bytes())));
        assert_eq!(row.event_id.as_deref(), Some(record.event.id.as_str()));
        assert_eq!(record.event.causationid.as_deref(), Some(row.id.as_str()));
        hub.send(with(request(), "x-twilio-signature", &STANDARD.encode([0; 20])))
            .await
            .check_problem(401, "ingest.unauthorized");
    });
}

#[test]
fn graph_states_are_stored_nowhere() {
    for_each_store(async |home| {
        let hub = Hub::with_provider(home, Provider::Graph);
        let body =
            |state: &str| format!(r#"{{"value":[{{"clientState":"{state}","changeType":"updated"}}]}}"#);
        hub.send(call(&body("secret"))).await.id();
        hub.send(call(&body("secrets"))).await.check_problem(401, "ingest.unauthorized");
        hub.send(call(r#"secret {"clientState"#)).await.check_problem(401, "ingest.unauthorized");
        let [record] = &hub.events().await[..] else { panic!("one event") };
        assert_eq!(record.event.event_type.as_str(), "graph.updated");
        assert_eq!(record.event.data.as_json(), Some(&*body("***")));
        let kept = hub.kept().await;
        assert_eq!(
            kept.iter().map(|row| &*row.reason).collect::<Vec<_>>(),
            ["malformed_body", "token_mismatch"]
        );
        assert_eq!(kept[0].body, None);
        let texts = format!("{:?}{kept:?}", hub.events().await);
        assert!(!texts.contains("secret"), "{texts}");
    });
}

#[test]
fn google_tokens_are_stored_nowhere_and_a_sync_is_no_event() {
    for_each_store(async |home| {
        let hub = Hub::with_provider(home, Provider::GoogleChannel);
        let message = |state: &str, token: &str| {
            let request = with(post("/in/source", ""), "x-goog-channel-id", "c-1");
            let request = with(with(request, "x-goog-message-number", "2"), "x-goog-channel-token", token);
            with(request, "x-goog-resource-state", state)
        };
        hub.send(message("sync", "secret")).await.check(200, "");
        assert!(hub.events().await.is_empty());
        let id = hub.send(message("exists", "secret")).await.id();
        assert_eq!(hub.send(message("exists", "secret")).await.id(), id);
        hub.send(message("exists", "guess")).await.check_problem(401, "ingest.unauthorized");
        let [record] = &hub.events().await[..] else { panic!("one event") };
        assert_eq!(record.event.event_type.as_str(), "google-channel.exists");
        let data = r#"{"channel_id":"c-1","message_number":"2","resource_state":"exists"}"#;
        assert_eq!(record.event.data.as_json(), Some(data));
        let texts = format!("{:?}{:?}", hub.events().await, hub.kept().await);
        assert!(texts.contains("x-goog-channel-token: ***") && !texts.contains("secret"), "{texts}");
        assert_eq!(hub.ingest.stats().sources[0].handshakes, 1);
    });
}

#[test]
fn practice_systems_become_named_events() {
    for_each_store(async |home| {
        for (provider, header) in [
            (Provider::Dentrix, "x-dentrix-signature"),
            (Provider::Eaglesoft, "x-eaglesoft-signature"),
            (Provider::OpenDental, "x-open-dental-signature"),
        ] {
            let hub = Hub::with_provider(home, provider);
            let n_before = hub.events().await.len();
            let body = format!(
                r#"{{"event":"appointment.created","event_id":"{}","data":{{"id":1}}}}"#,
                provider.name()
            );
            let signed = || with(call(&body), header, &format!("sha256={}", hex_mac(&body)));
            let answer = hub.send(signed()).await;
            assert!(matches!(answer.status.as_u16(), 200 | 202), "{}", answer.text());
            assert_eq!(hub.send(signed()).await.json(), answer.json());
            hub.send(with(signed(), header, "00")).await.check_problem(401, "ingest.unauthorized");
            let events = hub.events().await;
            assert_eq!(events.len(), n_before + 1);
            let name = format!("{}.appointment.created", provider.name());
            assert!(events.iter().any(|record| record.event.event_type.as_str() == name));
        }
    });
}
