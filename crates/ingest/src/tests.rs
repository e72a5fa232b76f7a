//! The router against both stores: every answer, and what is stored for it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, Method, Request, StatusCode};
use ring::hmac;
use tower::ServiceExt as _;
use trunkline_config::{Credentials, RateLimit, SchemeSettings, Secret, SourceSettings, TokenSettings};
use trunkline_model::{Data, EventRecord, ManualClock, Tenant, Timestamp};
use trunkline_store::Store;
use trunkline_store::tables::event::{EventFilter, event_list};
use trunkline_store::tables::inbound::{InboundFilter, InboundRow, Verdict, inbound_list};
use trunkline_testkit::{TestStore, for_each_store};

use crate::{Ingest, IngestOptions, Outbound, RejudgeError, Rejudged, Source};

mod handshakes;
mod one_time;
mod providers;
mod sns;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const TOKEN: &str = "tell-nobody-4711";
const BODY: &str = r#"{"type":"appointment.created","data":{"n":1}}"#;
const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

/// An ingest on a store.
struct Hub {
    store: Store,
    clock: Arc<ManualClock>,
    ingest: Ingest,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn id(&self) -> String {
        assert_eq!(self.status, StatusCode::ACCEPTED, "{:?}", self.text());
        self.json()["id"].as_str().unwrap().to_owned()
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    fn check_problem(&self, status: u16, code: &str) {
        assert_eq!((self.status.as_u16(), self.json()["code"].as_str()), (status, Some(code)));
        assert_eq!(self.json()["status"], status);
        assert_eq!(self.headers["content-type"], "application/problem+json");
    }
}

fn options() -> IngestOptions {
    IngestOptions {
        body_limit_bytes: 256 * 1024,
        body_timeout: Duration::from_secs(30),
        body_memory_bytes: 1 << 20,
        trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
    }
}

fn signed_source() -> SourceSettings {
    SourceSettings::new("clinic", SchemeSettings::StandardWebhooks, vec![])
}

fn token_source() -> SourceSettings {
    SourceSettings::new("portal", TokenSettings { header: "x-portal-token".to_owned() }.into(), vec![])
}

fn prepared(settings: &SourceSettings, secret: &str) -> Source {
    Source::new(settings, &Credentials::from(&[Secret::new(secret)][..])).unwrap()
}

fn provider_source(settings: &SourceSettings) -> Source {
    let verify_token = Some(Secret::new("verify-me"));
    Source::new(settings, &Credentials { secrets: vec![Secret::new("secret")], verify_token }).unwrap()
}

impl Hub {
    fn start(home: &TestStore, sources: Vec<Source>) -> Self {
        let store = home.store.clone();
        let clock = Arc::new(ManualClock::starting_at(NOW));
        let ingest = Ingest::start(options(), sources, store.clone(), clock.clone(), None);
        Self { store, clock, ingest }
    }

    /// One source named `source`, of a provider, with the secret `secret`.
    fn with_provider(home: &TestStore, settings: impl Into<SchemeSettings>) -> Self {
        let settings = SourceSettings::new("source", settings.into(), vec![]);
        Self::start(home, vec![provider_source(&settings)])
    }

    fn with_clinic(home: &TestStore) -> Self {
        Self::start(home, vec![prepared(&signed_source(), SECRET)])
    }

    /// The same store with other sources, as after a restart with a changed configuration.
    fn reconfigure(&mut self, sources: Vec<Source>) {
        self.ingest = Ingest::start(options(), sources, self.store.clone(), self.clock.clone(), None);
    }

    fn router(&self) -> Router {
        self.ingest.router()
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap().to_vec();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    async fn events(&self) -> Vec<EventRecord> {
        let filter = EventFilter { limit: 1000, ..EventFilter::default() };
        event_list(&self.store, &Tenant::default(), &filter).await.unwrap()
    }

    /// Kept calls, newest first.
    async fn kept(&self) -> Vec<InboundRow> {
        self.ingest.flush().await;
        let filter = InboundFilter { limit: 1000, ..InboundFilter::default() };
        inbound_list(&self.store, &Tenant::default(), &filter).await.unwrap()
    }

    async fn rejudge(&self, id: &str) -> Result<Rejudged, RejudgeError> {
        self.ingest.rejudge(&Tenant::default(), id).await
    }
}

fn post(path: &str, body: impl Into<Body>) -> Request<Body> {
    let mut request = Request::post(path).body(body.into()).unwrap();
    request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([192, 0, 2, 1], 4711))));
    request
}

fn with(mut request: Request<Body>, name: &'static str, value: &str) -> Request<Body> {
    request.headers_mut().insert(name, value.parse().unwrap());
    request
}

fn from(mut request: Request<Body>, address: [u8; 4]) -> Request<Body> {
    request.extensions_mut().insert(ConnectInfo(SocketAddr::from((address, 1))));
    request
}

fn signature(id: &str, timestamp: &str, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(&SECRET[6..]).unwrap());
    let mac = hmac::sign(&key, format!("{id}.{timestamp}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(mac))
}

/// A call to the source `clinic`, signed at [`NOW`].
fn signed(id: &str, body: &str) -> Request<Body> {
    let timestamp = NOW.as_secs().to_string();
    let request = with(post("/in/clinic", body.to_owned()), "webhook-id", id);
    let request = with(request, "webhook-timestamp", &timestamp);
    with(request, "webhook-signature", &signature(id, &timestamp, body))
}

fn without(mut request: Request<Body>, name: &str) -> Request<Body> {
    request.headers_mut().remove(name);
    request
}

#[test]
fn a_signed_call_is_one_record_with_its_event() {
    for_each_store(async |home| {
        let hub = Hub::with_clinic(home);
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let id = hub.send(with(signed("m-1", BODY), "traceparent", trace)).await.id();
        let [record] = &hub.events().await[..] else { panic!("one event") };
        let event = &record.event;
        assert_eq!(event.id.to_inbound().unwrap().as_str(), id);
        assert_eq!((event.event_type.as_str(), &*event.source), ("appointment.created", "/in/clinic"));
        assert_eq!(event.data, Data::Envelope(BODY.into()));
        assert_eq!((event.time, record.recorded_at), (NOW, NOW));
        assert_eq!(event.traceparent.as_deref(), Some(trace));
        let head = record.request_head.as_deref().unwrap();
        assert!(
            head.starts_with("POST /in/clinic HTTP/1.1\r\n") && head.contains("webhook-id: m-1\r\n"),
            "{head}"
        );
        assert!(hub.kept().await.is_empty());
        assert_eq!(hub.ingest.stats().sources[0].accepted, 1);
    });
}

#[test]
fn repeats_get_the_first_id_and_append_nothing() {
    for_each_store(async |home| {
        let hub = Hub::with_clinic(home);
        let first = hub.send(signed("m-1", BODY)).await.id();
        assert_eq!(hub.send(signed("m-1", BODY)).await.id(), first);
        let at_once: Vec<_> = (0..8).map(|_| hub.send(signed("m-2", BODY))).collect();
        let answers = futures_util::future::join_all(at_once).await;
        let second = answers[0].id();
        assert!(answers.iter().all(|answer| answer.id() == second));
        assert_ne!(first, second);
        assert_eq!(hub.events().await.len(), 2);
        assert_eq!(hub.ingest.stats().sources[0].repeated, 8);
    });
}

#[test]
fn every_refusal_looks_the_same_and_is_recorded_with_its_reason() {
    for_each_store(async |home| {
        let mut settings = signed_source();
        settings.allow_ips = vec!["192.0.2.0/24".parse().unwrap()];
        let hub = Hub::start(home, vec![prepared(&settings, SECRET), prepared(&token_source(), TOKEN)]);
        let good = || signed("m-1", BODY);
        let stale = {
            let request = with(good(), "webhook-timestamp", "1600000000");
            with(request, "webhook-signature", &signature("m-1", "1600000000", BODY))
        };
        // Five for each source: more in one second would not be recorded.
        let calls = vec![
            (with(good(), "webhook-id", "m-2"), "signature_mismatch"),
            (stale, "stale"),
            (without(good(), "webhook-signature"), "missing_header: webhook-signature"),
            (with(good(), "webhook-timestamp", "soon"), "malformed_header: webhook-timestamp"),
            (from(good(), [203, 0, 113, 9]), "address_refused"),
            (post("/in/portal", BODY), "missing_header: x-portal-token"),
            (with(post("/in/portal", BODY), "x-portal-token", "guess"), "token_mismatch"),
        ];
        let mut expected: Vec<&str> = calls.iter().map(|(_, reason)| *reason).collect();
        expected.reverse();
        let mut answers = Vec::new();
        for (request, _) in calls {
            answers.push(hub.send(request).await);
        }
        answers[0].check_problem(401, "ingest.unauthorized");
        for answer in &answers {
            assert_eq!((&answer.body, &answer.headers), (&answers[0].body, &answers[0].headers));
        }
        let kept = hub.kept().await;
        assert_eq!(kept.iter().map(|row| &*row.reason).collect::<Vec<_>>(), expected);
        assert!(
            kept.iter()
                .all(|row| row.verdict == Verdict::Rejected && row.body.as_deref() == Some(BODY.as_bytes()))
        );
        assert!(kept[2].head.contains("# from 203.0.113.9\r\n"), "{}", kept[2].head);
        assert!(hub.events().await.is_empty());
    });
}

#[test]
fn a_flood_of_forgeries_is_counted_but_not_kept() {
    for_each_store(async |home| {
        let hub = Hub::with_clinic(home);
        for _ in 0..60 {
            hub.send(with(signed("m-1", BODY), "webhook-id", "m-2"))
                .await
                .check_problem(401, "ingest.unauthorized");
        }
        let large = "x".repeat(100 * 1024);
        hub.send(with(signed("m-1", &large), "webhook-id", "m-2"))
            .await
            .check_problem(401, "ingest.unauthorized");
        let (kept, stats) = (hub.kept().await.len() as u64, hub.ingest.stats().sources.remove(0));
        assert_eq!((stats.refused, stats.refused - stats.refused_unrecorded), (61, kept));
        assert!((5..60).contains(&kept), "{kept}");
    });
}

#[test]
fn wrong_addresses_methods_and_sizes_are_named() {
    for_each_store(async |home| {
        let hub = Hub::with_clinic(home);
        hub.send(post("/in/nobody", BODY)).await.check_problem(404, "source.not_found");
        assert_eq!(hub.ingest.stats().unknown_source, 1);
        let get = hub.send(Request::get("/in/clinic").body(Body::empty()).unwrap()).await;
        get.check_problem(405, "request.method_not_allowed");
        assert_eq!(get.headers["allow"], Method::POST.as_str());
        let large = "x".repeat(256 * 1024 + 1);
        hub.send(signed("m-1", &large)).await.check_problem(413, "request.too_large");
        let pieces = futures_util::stream::iter((0..3).map(|_| Ok::<_, std::io::Error>("x".repeat(100_000))));
        hub.send(post("/in/clinic", Body::from_stream(pieces))).await.check_problem(413, "request.too_large");
        let broken = futures_util::stream::iter(vec![Err::<&str, _>(std::io::Error::other("gone"))]);
        hub.send(post("/in/clinic", Body::from_stream(broken))).await.check_problem(400, "request.malformed");
        hub.send(signed("m-2", &format!("\"{}\"", "x".repeat(256 * 1024 - 2)))).await.id();
    });
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_times_out() {
    // The paused clock jumps to the end of the time-out, for nothing else is running.
    let hub = Hub::with_clinic(&TestStore::sqlite().await);
    let never = futures_util::stream::pending::<Result<&str, std::io::Error>>();
    let answer = hub.send(post("/in/clinic", Body::from_stream(never))).await;
    answer.check_problem(408, "request.timeout");
    assert_eq!(answer.headers["connection"], "close");
}

#[test]
fn allow_lists_see_through_trusted_proxies_only() {
    for_each_store(async |home| {
        let mut settings = signed_source();
        settings.allow_ips = vec!["203.0.113.0/24".parse().unwrap()];
        let hub = Hub::start(home, vec![prepared(&settings, SECRET)]);
        let forwarded = |id: &str| with(signed(id, BODY), "x-forwarded-for", "203.0.113.9");
        hub.send(from(forwarded("m-1"), [10, 0, 0, 1])).await.id();
        hub.send(from(signed("m-2", BODY), [203, 0, 113, 1])).await.id();
        hub.send(from(forwarded("m-3"), [192, 0, 2, 1])).await.check_problem(401, "ingest.unauthorized");
        let mut unknown = signed("m-4", BODY);
        unknown.extensions_mut().clear();
        hub.send(unknown).await.check_problem(401, "ingest.unauthorized");
    });
}

#[test]
fn the_rate_limit_counts_verified_calls() {
    for_each_store(async |home| {
        let mut settings = signed_source();
        let one = std::num::NonZeroU32::MIN;
        settings.rate_limit = Some(RateLimit { per_second: one, burst: one.saturating_add(1) });
        let hub = Hub::start(home, vec![prepared(&settings, SECRET)]);
        for _ in 0..10 {
            let forged = with(signed("m", BODY), "webhook-id", "other");
            hub.send(forged).await.check_problem(401, "ingest.unauthorized");
        }
        hub.send(signed("m-1", BODY)).await.id();
        hub.send(signed("m-2", BODY)).await.id();
        let mut limited = None;
        for n in 0..50 {
            let answer = hub.send(signed(&format!("n-{n}"), BODY)).await;
            limited = limited.or((answer.status == StatusCode::TOO_MANY_REQUESTS).then_some(answer));
        }
        let limited = limited.expect("one call in fifty is over the limit of one a second");
        limited.check_problem(429, "request.rate_limited");
        assert_eq!(limited.headers["retry-after"], "1");
        assert!(hub.ingest.stats().sources[0].rate_limited > 0);
    });
}

#[test]
fn broken_json_is_accepted_into_quarantine() {
    for_each_store(async |home| {
        let hub = Hub::with_clinic(home);
        let id = hub.send(signed("m-1", "{oops")).await.id();
        assert_eq!(hub.send(signed("m-1", "{oops")).await.id(), id);
        let [row] = &hub.kept().await[..] else { panic!("one call") };
        assert_eq!((row.id.as_str(), row.verdict), (&*id, Verdict::Quarantined));
        assert_eq!(row.reason, "body is not JSON: line 1, column 2");
        assert_eq!(row.body.as_deref(), Some(&b"{oops"[..]));
        let reason = row.reason.clone();
        assert_eq!(hub.rejudge(&id).await.unwrap(), Rejudged::Quarantined { reason });
        assert!(hub.events().await.is_empty());
        assert_eq!(hub.ingest.stats().sources[0].quarantined, 1);
    });
}

#[test]
fn a_refused_call_is_accepted_after_the_secret_was_mended() {
    for_each_store(async |home| {
        let mut hub = Hub::start(home, vec![prepared(&signed_source(), OTHER_SECRET)]);
        hub.send(signed("m-1", BODY)).await.check_problem(401, "ingest.unauthorized");
        let id = hub.kept().await[0].id.as_str().to_owned();
        let reason = "signature_mismatch".to_owned();
        assert_eq!(hub.rejudge(&id).await.unwrap(), Rejudged::Rejected { reason });

        // Hours later the timestamp is still judged at the time of arrival.
        hub.clock.advance(Duration::from_hours(2));
        hub.reconfigure(vec![prepared(&signed_source(), SECRET)]);
        let (one, two) = tokio::join!(hub.rejudge(&id), hub.rejudge(&id));
        let [record] = &hub.events().await[..] else { panic!("one event") };
        let accepted = Rejudged::Accepted { event_id: record.event.id.as_str().to_owned() };
        assert_eq!((one.unwrap(), two.unwrap()), (accepted.clone(), accepted.clone()));
        assert_eq!(hub.rejudge(&id).await.unwrap(), accepted);
        assert_eq!(record.event.causationid.as_deref(), Some(&*id));
        assert_eq!(record.event.time, NOW);
        assert_eq!(hub.kept().await[0].verdict, Verdict::Accepted);
        assert_eq!(hub.events().await.len(), 1);
    });
}

#[test]
fn a_refused_call_that_was_sent_again_is_a_repeat() {
    for_each_store(async |home| {
        let mut hub = Hub::start(home, vec![prepared(&signed_source(), OTHER_SECRET)]);
        hub.send(signed("m-1", BODY)).await.check_problem(401, "ingest.unauthorized");
        let refused = hub.kept().await[0].id.as_str().to_owned();
        hub.reconfigure(vec![prepared(&signed_source(), SECRET)]);
        let inbound_id = hub.send(signed("m-1", BODY)).await.id();
        assert_eq!(hub.rejudge(&refused).await.unwrap(), Rejudged::Repeat { inbound_id });
        assert_eq!(hub.events().await.len(), 1);
    });
}

#[test]
fn rejudging_says_what_is_missing() {
    for_each_store(async |home| {
        let mut hub = Hub::with_clinic(home);
        assert!(matches!(hub.rejudge("inb_0").await, Err(RejudgeError::NotFound)));
        let id = hub.send(signed("m-1", "{oops")).await.id();
        let stranger = hub.ingest.rejudge(&Tenant::parse("other").unwrap(), &id).await;
        assert!(matches!(stranger, Err(RejudgeError::NotFound)));
        hub.send(with(signed("m-2", &"x".repeat(100_000)), "webhook-id", "m-3")).await;
        let large = hub.kept().await[0].id.as_str().to_owned();
        assert!(matches!(hub.rejudge(&large).await, Err(RejudgeError::BodyNotKept)));
        hub.reconfigure(vec![]);
        assert!(matches!(hub.rejudge(&id).await, Err(RejudgeError::SourceGone)));
    });
}

#[test]
fn tokens_are_never_stored() {
    for_each_store(async |home| {
        let hub = Hub::start(home, vec![prepared(&token_source(), TOKEN)]);
        let call = || with(post("/in/portal", BODY), "x-portal-token", TOKEN);
        hub.send(call()).await.id();
        hub.send(with(post("/in/portal", "{oops"), "x-portal-token", TOKEN)).await.id();
        hub.send(with(call(), "x-portal-token", &TOKEN[1..])).await.check_problem(401, "ingest.unauthorized");
        let texts = format!("{:?}{:?}{:?}", hub.events().await, hub.kept().await, hub.ingest);
        assert!(texts.contains("x-portal-token: ***") && !texts.contains(&TOKEN[1..]), "{texts}");
    });
}

#[test]
fn a_structured_cloud_event_keeps_its_id() {
    for_each_store(async |home| {
        let hub = Hub::with_clinic(home);
        let body = r#"{"specversion":"1.0","id":"o-1","source":"/shop","type":"order.paid","data":7}"#;
        let request = || with(signed("m-1", body), "content-type", "application/cloudevents+json");
        let id = hub.send(request()).await.id();
        assert_eq!(hub.send(request()).await.id(), id);
        let [record] = &hub.events().await[..] else { panic!("one event") };
        assert_eq!((record.event.id.as_str(), &*record.event.source), ("o-1", "/shop"));
        assert_eq!(record.event.causationid.as_deref(), Some(&*id));
        let [row] = &hub.kept().await[..] else { panic!("one call") };
        assert_eq!(
            (row.id.as_str(), row.verdict, row.event_id.as_deref()),
            (&*id, Verdict::Accepted, Some("o-1"))
        );
    });
}

#[tokio::test]
async fn a_full_store_refuses_and_keeps_what_it_has() {
    let sources = vec![prepared(&signed_source(), SECRET)];
    let home = TestStore::sqlite_with(|options| options.max_bytes = Some(4 << 20)).await;
    let hub = Hub::start(&home, sources);
    let body = format!(r#"{{"type":"a.b","data":"{}"}}"#, "x".repeat(60_000));
    let mut n_accepted = 0;
    let refused = loop {
        let answer = hub.send(signed(&format!("m-{n_accepted}"), &body)).await;
        if answer.status != StatusCode::ACCEPTED {
            break answer;
        }
        n_accepted += 1;
        assert!(n_accepted < 1000, "a store of 4 MiB never filled");
    };
    refused.check_problem(503, "store.full");
    assert!(refused.headers.contains_key("retry-after"));
    assert_eq!(hub.events().await.len(), n_accepted);
}

#[test]
fn a_hub_that_stops_sends_callers_away() {
    for_each_store(async |home| {
        let hub = Hub::with_clinic(home);
        hub.store.close().await;
        hub.send(signed("m-1", BODY)).await.check_problem(503, "hub.draining");
        assert_eq!(hub.ingest.stats().sources[0].failed, 1);
        hub.ingest.start_drain();
        let answer = hub.send(signed("m-2", BODY)).await;
        answer.check_problem(503, "hub.draining");
        assert!(answer.headers.contains_key("retry-after"));
    });
}

#[test]
fn a_secret_that_does_not_fit_is_a_fault_of_the_configuration() {
    let credentials = Credentials::from(&[Secret::new("whsec_tell-nobody")][..]);
    let fault = Source::new(&signed_source(), &credentials).unwrap_err();
    assert_eq!(fault.key, "sources.clinic.secret");
    assert!(!format!("{fault:?}{fault}").contains("tell-nobody"), "{fault}");
}
