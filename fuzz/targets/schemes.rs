//! The providers' schemes: no method, query, headers or body make one panic, nothing unsigned is believed, and what each reads
//! in a body is an event type of its own, or none.

#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};
use libfuzzer_sys::fuzz_target;
use trunkline_config::{Credentials, Provider, ProviderSettings, SchemeSettings, Secret};
use trunkline_ingest::{Call, Reading, Scheme};
use trunkline_model::{EventType, Timestamp};

const NOW: i64 = 1_700_000_000;
const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

const PROVIDERS: [Provider; 18] = [
    Provider::Svix,
    Provider::Shopify,
    Provider::Xero,
    Provider::Stripe,
    Provider::GitHub,
    Provider::Slack,
    Provider::Meta,
    Provider::Razorpay,
    Provider::Graph,
    Provider::GoogleChannel,
    Provider::Twilio,
    Provider::Sns,
    Provider::PagerDuty,
    Provider::OpenDental,
    Provider::Dentrix,
    Provider::Eaglesoft,
    Provider::Unleashed,
    Provider::AmazonSp,
];

/// What some scheme looks at.
const HEADERS: [&str; 24] = [
    "authorization",
    "content-type",
    "event-type",
    "signature",
    "stripe-signature",
    "svix-id",
    "svix-signature",
    "svix-timestamp",
    "timestamp",
    "x-dentrix-signature",
    "x-github-event",
    "x-goog-channel-token",
    "x-goog-resource-state",
    "x-hub-signature-256",
    "x-pagerduty-signature",
    "x-razorpay-signature",
    "x-shopify-hmac-sha256",
    "x-shopify-topic",
    "x-slack-request-timestamp",
    "x-slack-signature",
    "x-twilio-signature",
    "x-unleashed-signature",
    "x-unleashed-timestamp",
    "x-xero-signature",
];

static SCHEMES: LazyLock<Vec<(&'static str, Box<dyn Scheme>)>> = LazyLock::new(|| {
    let credentials = Credentials {
        secrets: vec![Secret::new(KEY)],
        verify_token: Some(Secret::new("a token to verify with")),
    };
    PROVIDERS
        .iter()
        .map(|provider| {
            let settings = SchemeSettings::from(ProviderSettings {
                public_url: Some("https://hub.example.com/in/a".to_owned()),
                topic_arns: vec!["arn:aws:sns:eu-west-1:123456789012:orders".to_owned()],
                ..ProviderSettings::new(*provider)
            });
            let scheme =
                trunkline_ingest::schemes::prepare(&settings, &credentials, Duration::from_secs(300));
            (provider.name(), scheme.expect("usable settings"))
        })
        .collect()
});

fuzz_target!(|input: (u8, bool, Option<String>, Vec<(u8, Vec<u8>)>, Vec<u8>)| {
    let (choice, is_get, query, values, body) = input;
    let (name, scheme) = &SCHEMES[usize::from(choice) % SCHEMES.len()];
    let mut headers = HeaderMap::new();
    for (choice, value) in values.iter().take(12) {
        let Ok(value) = HeaderValue::from_bytes(value) else { continue };
        headers.append(HEADERS[usize::from(*choice) % HEADERS.len()], value);
    }
    headers.entry("x-slack-request-timestamp").or_insert(HeaderValue::from_static("1700000000"));
    let method = if is_get { Method::GET } else { Method::POST };
    let now = Timestamp::from_secs(NOW);
    let call =
        Call { method: &method, path: "/in/a", query: query.as_deref(), ..Call::new(&headers, &body, now) };
    assert!(scheme.verify(&call).is_err(), "{name} believed it");
    if let Some(Ok(reply)) = scheme.challenge(&call) {
        assert!(*name == "graph" && reply.text.len() <= 2048, "{name} answered");
    }
    drop((scheme.wanted(&call), scheme.kept_body(&Bytes::from(body.clone()))));
    if let Reading::Event(named) = scheme.read(&call)
        && let Some(event_type) = &named.event_type
    {
        let own = event_type.as_str().strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
        assert!(own && EventType::parse(event_type.as_str()).is_ok(), "{event_type}");
    }
});
