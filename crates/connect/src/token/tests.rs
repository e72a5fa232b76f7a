//! Tokens: what is taken from hostile answers, and when a token is fetched again.

#![allow(clippy::unwrap_used)] // everything here is a test

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::Version;
use parking_lot::Mutex as SyncMutex;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{BoxFuture, EgressPolicy, SendError, Timings};

fn answer(status: u16, body: impl Into<Bytes>) -> OutboundResponse {
    OutboundResponse {
        status: StatusCode::from_u16(status).unwrap(),
        version: Version::HTTP_11,
        headers: HeaderMap::new(),
        body_head: body.into(),
        truncated: false,
        trailers: HeaderMap::new(),
        timings: Timings::default(),
        peer: None,
        opened: None,
    }
}

fn grant(token: &str, expires_in: &Value) -> OutboundResponse {
    answer(
        200,
        json!({ "access_token": token, "token_type": "bearer", "expires_in": expires_in }).to_string(),
    )
}

type Script = Box<dyn Fn(usize) -> Result<OutboundResponse, SendError> + Send + Sync>;

/// A token endpoint that takes a second for each answer.
struct Server {
    script: Script,
    n_calls: AtomicUsize,
    seen: SyncMutex<Vec<OutboundRequest>>,
}

impl Server {
    fn new(
        script: impl Fn(usize) -> Result<OutboundResponse, SendError> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { script: Box::new(script), n_calls: AtomicUsize::new(0), seen: SyncMutex::default() })
    }

    fn count(&self) -> usize {
        self.n_calls.load(Ordering::SeqCst)
    }
}

impl Transport for Server {
    fn send(&self, request: OutboundRequest) -> BoxFuture<'_, Result<OutboundResponse, SendError>> {
        Box::pin(async move {
            let nth = self.n_calls.fetch_add(1, Ordering::SeqCst) + 1;
            let timeout = request.timeout;
            self.seen.lock().push(request);
            let answering = tokio::time::sleep(Duration::from_secs(1));
            tokio::time::timeout(timeout, answering).await.map_err(|_| SendError::Timeout)?;
            (self.script)(nth)
        })
    }
}

fn source() -> TokenSource {
    let target = Target::parse("https://login.example/token", &EgressPolicy::default()).unwrap();
    TokenSource::new(target, || TokenRequest::form("grant_type=client_credentials".to_owned()))
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

async fn bearer(source: &TokenSource, server: &Server) -> Result<String, String> {
    let token = source.token(server, soon()).await.map_err(|fault| fault.to_string())?;
    Ok(token.header.to_str().unwrap().to_owned())
}

#[tokio::test(start_paused = true)]
async fn attempts_share_one_fetch_until_shortly_before_expiry() {
    let server = Server::new(|nth| Ok(grant(&format!("t{nth}"), &json!(3600))));
    let source = source();
    let all = futures_util::future::join_all((0..50).map(|_| bearer(&source, &server))).await;
    assert!(all.iter().all(|token| token.as_deref() == Ok("Bearer t1")));
    assert_eq!(server.count(), 1);
    tokio::time::advance(Duration::from_secs(3600 - 61)).await;
    assert_eq!(bearer(&source, &server).await.unwrap(), "Bearer t1");
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(bearer(&source, &server).await.unwrap(), "Bearer t2");
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_replaced_once_for_all_who_held_it() {
    let server = Server::new(|nth| Ok(grant(&format!("t{nth}"), &json!(3600))));
    let source = source();
    let first = source.token(&*server, soon()).await.unwrap();
    source.refused(&first).await;
    assert_eq!(bearer(&source, &server).await.unwrap(), "Bearer t2");
    // Another attempt was refused with the first token as well, and says so late.
    source.refused(&first).await;
    assert_eq!(bearer(&source, &server).await.unwrap(), "Bearer t2");
    assert_eq!(server.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_answered_again_for_a_second_and_no_longer() {
    let server =
        Server::new(|nth| if nth == 1 { Err(SendError::DnsEmpty) } else { Ok(grant("t", &json!(60))) });
    let source = source();
    let all = futures_util::future::join_all((0..50).map(|_| bearer(&source, &server))).await;
    let fault = "no token from the token endpoint: host name has no address";
    assert!(all.iter().all(|token| token.as_ref().is_err_and(|text| text == fault)), "{all:?}");
    assert_eq!(server.count(), 1);
    tokio::time::advance(PAUSE).await;
    assert_eq!(bearer(&source, &server).await.unwrap(), "Bearer t");
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_is_given_up_is_begun_again_by_the_next() {
    let server = Server::new(|_| Ok(grant("t", &json!(60))));
    let source = source();
    let early = Instant::now() + Duration::from_millis(10);
    let (late, given_up) = tokio::join!(
        async {
            // Dropped in the middle, as an attempt is whose time is up.
            let fetching = source.token(&*server, soon());
            drop(tokio::time::timeout(Duration::from_millis(100), fetching).await);
            bearer(&source, &server).await
        },
        source.token(&*server, early),
    );
    assert_eq!(given_up.unwrap_err().to_string(), "no token from the token endpoint: not in time");
    assert_eq!(late.unwrap(), "Bearer t");
    assert_eq!(server.count(), 2);
}

#[test]
fn hostile_answers_give_no_token_and_no_words() {
    let check = |response: &OutboundResponse, expect: &str| {
        assert_eq!(read_grant(response).unwrap_err(), expect, "{:?}", response.body_head);
    };
    let no_object = "the answer is no JSON object of at most 32768 bytes";
    for body in ["", "canary", "[]", "{", "null", "\"canary\""] {
        check(&answer(200, body), no_object);
    }
    let mut cut = grant("t", &json!(1));
    cut.truncated = true;
    check(&cut, no_object);
    check(&answer(200, r#"{"access_token":"t"}"#), "the answer's token_type is not Bearer");
    check(
        &answer(200, r#"{"access_token":"t","token_type":"mac"}"#),
        "the answer's token_type is not Bearer",
    );
    let no_token = "the answer has no access_token of 1 to 8192 visible characters";
    for token in [json!(""), json!(7), json!("a b"), json!("a\r\nx: y"), json!("ä"), json!("a".repeat(8193))]
    {
        check(&answer(200, json!({ "access_token": token, "token_type": "Bearer" }).to_string()), no_token);
    }
    check(
        &answer(400, r#"{"error":"invalid_client","error_description":"canary"}"#),
        "status 400, invalid_client",
    );
    check(&answer(401, r#"{"error":"canary"}"#), "status 401");
    check(&answer(302, ""), "status 302");
    check(&answer(500, "canary"), "status 500");
}

#[test]
fn lifetimes() {
    let check = |expires_in: Value, expect_s: u64| {
        assert_eq!(keep(Some(&expires_in)).as_secs(), expect_s, "{expires_in}");
    };
    check(json!(3600), 3540);
    check(json!("3600"), 3540);
    check(json!(100), 90);
    check(json!(0), 0);
    check(json!(-5), 0);
    check(json!(1e300), 86_340);
    check(json!("soon"), 270);
    check(json!("NaN"), 0);
    check(json!(null), 270);
    assert_eq!(keep(None).as_secs(), 270);
}

proptest! {
    #[test]
    fn reading_never_panics(body in ".{0,200}", status in 100_u16..600) {
        prop_assert!(read_grant(&answer(status, body)).is_err());
    }
}
