//! The judge of verified webhook bodies: no body makes it panic, and each event it makes can be written and read again.

#![no_main]

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;
use trunkline_ingest::judge::{Arrival, judge};
use trunkline_ingest::{Judgement, Origin};
use trunkline_model::cloudevents::{self, Defaults};
use trunkline_model::{InboundId, Tenant, Timestamp};

const TYPES: [&str; 6] = [
    "application/json",
    "application/cloudevents+json",
    "text/plain",
    "application/x-www-form-urlencoded",
    "application/xml; charset=utf-8",
    "image/png",
];

fuzz_target!(|input: (u8, Vec<u8>, Vec<u8>, Vec<u8>)| {
    let (choice, content_type, traceparent, body) = input;
    let tenant = Tenant::parse("default").expect("a valid tenant");
    let origin = Origin::new(tenant.clone(), "portal", None).expect("a valid name");
    let mut headers = HeaderMap::new();
    match TYPES.get(usize::from(choice)) {
        Some(fixed) => drop(headers.insert(CONTENT_TYPE, HeaderValue::from_static(fixed))),
        None => {
            if let Ok(value) = HeaderValue::from_bytes(&content_type) {
                headers.insert(CONTENT_TYPE, value);
            }
        }
    }
    if let Ok(value) = HeaderValue::from_bytes(&traceparent) {
        headers.insert("traceparent", value);
    }
    let id = InboundId::from_text("inb_0190163d8694739bb8f2c1a3e5d7f901");
    let now = Timestamp::from_secs(1_700_000_000);
    let body = Bytes::from(body);
    match judge(&origin, &Arrival { id: &id, headers: &headers, body: &body, now }) {
        Judgement::Event(event) => {
            assert_eq!(event.tenant, tenant);
            let written = cloudevents::to_structured(&event);
            serde_json::from_slice::<&RawValue>(&written).expect("the event is JSON");
            let again = cloudevents::parse_structured(&written, &Defaults { tenant: &tenant, now })
                .unwrap_or_else(|faults| panic!("not an event: {faults:?}"));
            assert_eq!((again.id, again.event_type), (event.id, event.event_type));
        }
        Judgement::Quarantine { reason } => assert!(!reason.is_empty() && reason.len() < 4096),
    }
});
