//! Every scheme against calls that make no sense: nothing panics, and nothing is believed that nobody signed.

use std::sync::LazyLock;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};
use proptest::prelude::*;
use trunkline_config::{Provider, ProviderSettings, SchemeSettings, TokenSettings};
use trunkline_model::EventType;

use super::testing::{NOW, scheme};
use super::*;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

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

static ALL: LazyLock<Vec<(&'static str, Box<dyn Scheme>)>> = LazyLock::new(all);

/// Every scheme that verifies.
fn all() -> Vec<(&'static str, Box<dyn Scheme>)> {
    let own = [
        SchemeSettings::StandardWebhooks,
        SchemeSettings::Hmac(trunkline_config::HmacSettings::default()),
        SchemeSettings::Token(TokenSettings::default()),
    ];
    let providers = PROVIDERS.map(|provider| {
        SchemeSettings::from(ProviderSettings {
            public_url: Some("https://hub.example.com/in/a".to_owned()),
            topic_arns: vec!["arn:aws:sns:eu-west-1:123456789012:orders".to_owned()],
            ..ProviderSettings::new(provider)
        })
    });
    own.into_iter().chain(providers).map(|settings| (settings.name(), scheme(settings, &[SECRET]))).collect()
}

/// Names and values that some scheme looks at.
const NAMES: &[&str] = &[
    "authorization",
    "content-type",
    "event-type",
    "signature",
    "stripe-signature",
    "svix-id",
    "svix-signature",
    "svix-timestamp",
    "timestamp",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
    "x-dentrix-signature",
    "x-eaglesoft-signature",
    "x-github-event",
    "x-goog-channel-id",
    "x-goog-channel-token",
    "x-goog-message-number",
    "x-goog-resource-state",
    "x-hub-signature-256",
    "x-open-dental-signature",
    "x-pagerduty-signature",
    "x-razorpay-signature",
    "x-shopify-hmac-sha256",
    "x-shopify-topic",
    "x-signature",
    "x-slack-request-timestamp",
    "x-slack-signature",
    "x-twilio-signature",
    "x-twilio-webhooks-signature-settings",
    "x-unleashed-signature",
    "x-unleashed-timestamp",
    "xero-signature",
    "x-xero-signature",
];

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..60),
        Just(b"1700000000".to_vec()),
        Just(b"application/x-www-form-urlencoded".to_vec()),
        Just(b"application/json".to_vec()),
        "(sha256=|v0=|v1=|v1,|t=1700000000,v1=)?([0-9a-f]{64}|[A-Za-z0-9+/]{43}=)(,v1=[0-9a-f]{64})?"
            .prop_map(String::into_bytes),
        Just(b"algorithm=HMAC_SHA256".to_vec()),
    ]
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let member = prop_oneof![
        Just(r#""type":"event_callback""#),
        Just(r#""type":"url_verification""#),
        Just(r#""challenge":"abc""#),
        Just(r#""events":[{"eventType":"UPDATE"},7]"#),
        Just(r#""events":[]"#),
        Just(r#""value":[{"clientState":"guess","changeType":"updated"}]"#),
        Just(r#""value":[{"clientState":["x"]}]"#),
        Just(r#""object":"page","entry":[{"changes":[{"value":{"messages":[{"id":"a"}]}}]}]"#),
        Just(r#""event":{"type":"message","event_type":[],"id":5}"#),
        Just(r#""created":1e300"#),
        Just(r#""created":-9223372036854775808"#),
        Just(r#""Type":"Notification","MessageId":"m","Signature":"""#),
        Just(r#""TopicArn":"arn:aws:sns:eu-west-1:123456789012:orders""#),
        Just(r#""detail":{"NotificationType":"A B"}"#),
    ];
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..200),
        proptest::collection::vec(member, 0..6)
            .prop_map(|members| format!("{{{}}}", members.join(",")).into_bytes()),
        "[a-zA-Z%=&+]{0,40}".prop_map(String::into_bytes),
        Just(b"[{\"DateTStamp\":\"x\"},1]".to_vec()),
        Just("[".repeat(5000).into_bytes()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_call_makes_a_scheme_panic_or_believe(
        headers in proptest::collection::vec((proptest::sample::select(NAMES), value()), 0..12),
        query in proptest::option::of("[a-zA-Z0-9%=&+._]{0,60}|validationToken=x|hub.mode=subscribe&hub.challenge=1"),
        is_get in any::<bool>(),
        body in body(),
    ) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                map.append(name, value);
            }
        }
        let method = if is_get { Method::GET } else { Method::POST };
        let call = Call { method: &method, path: "/in/a", query: query.as_deref(), ..Call::new(&map, &body, NOW) };
        for (name, scheme) in &*ALL {
            prop_assert!(scheme.verify(&call).is_err(), "{} believed it", name);
            // Only Graph answers what nobody has proved, with what it was given.
            if let Some(Ok(_)) = scheme.challenge(&call) {
                prop_assert_eq!(*name, "graph");
            }
            drop((scheme.wanted(&call), scheme.kept_body(&Bytes::copy_from_slice(&body))));
            if let Reading::Event(named) = scheme.read(&call)
                && let Some(event_type) = &named.event_type
            {
                prop_assert!(EventType::parse(event_type.as_str()).is_ok());
                prop_assert!(event_type.as_str().starts_with(&format!("{name}.")), "{} {}", name, event_type);
            }
        }
    }
}

#[test]
fn what_a_provider_needs_is_asked_for() {
    for provider in PROVIDERS {
        let settings = SchemeSettings::from(ProviderSettings::new(provider));
        let result = prepare(&settings, &Credentials::default(), Duration::from_mins(5)).map(drop);
        let expect = match provider {
            Provider::Sns => InvalidScheme::Setting { key: "topic_arns" },
            Provider::Twilio => InvalidScheme::Setting { key: "public_url" },
            _ => InvalidScheme::Missing,
        };
        assert_eq!(result, Err(expect), "{}", provider.name());
        if provider != Provider::Svix && provider != Provider::Sns {
            let empty = Credentials::from(&[Secret::new("")][..]);
            assert!(prepare(&settings, &empty, Duration::from_mins(5)).is_err(), "{}", provider.name());
        }
    }
    let meta = SchemeSettings::from(ProviderSettings::new(Provider::Meta));
    let unverified = Credentials::from(&[Secret::new("s")][..]);
    let result = prepare(&meta, &unverified, Duration::from_mins(5)).map(drop);
    assert_eq!(result, Err(InvalidScheme::Setting { key: "verify_token" }));
}
