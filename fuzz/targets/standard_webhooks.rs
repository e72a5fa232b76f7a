//! The scheme `standard-webhooks`: no headers make it panic, nothing unsigned is believed, what is signed well is.

#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use ring::hmac;
use trunkline_config::{Credentials, SchemeSettings, Secret};
use trunkline_ingest::{Call, Scheme};
use trunkline_model::Timestamp;

const NOW: i64 = 1_700_000_000;
const KEY: [u8; 32] = [7; 32];

static SCHEME: LazyLock<Box<dyn Scheme>> = LazyLock::new(|| {
    let secrets = [
        Secret::new(format!("whsec_{}", BASE64.encode(KEY))),
        Secret::new(format!("whpk_{}", BASE64.encode([9; 32]))),
    ];
    trunkline_ingest::schemes::prepare(
        &SchemeSettings::StandardWebhooks,
        &Credentials::from(&secrets[..]),
        Duration::from_secs(300),
    )
    .expect("usable secrets")
});

fuzz_target!(|input: (bool, Vec<u8>, Vec<u8>, Vec<Vec<u8>>, Vec<u8>)| {
    let (is_signed, id, timestamp, mut signatures, body) = input;
    let timestamp = if is_signed { NOW.to_string().into_bytes() } else { timestamp };
    if is_signed {
        let signed = [&id, b".".as_slice(), &timestamp, b".", &body].concat();
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &KEY), &signed);
        signatures.insert(0, format!("v1,{}", BASE64.encode(tag)).into_bytes());
    }
    let mut headers = HeaderMap::new();
    let named = [("webhook-id", &id), ("webhook-timestamp", &timestamp)];
    let lines = signatures.iter().map(|line| ("webhook-signature", line));
    for (name, value) in named.into_iter().chain(lines) {
        let Ok(value) = HeaderValue::from_bytes(value) else { return };
        headers.append(name, value);
    }
    let call = Call::new(&headers, &body, Timestamp::from_secs(NOW));
    let verdict = SCHEME.verify(&call);
    let is_usable_id = !id.is_empty() && id.len() <= 256 && id.iter().all(u8::is_ascii_graphic);
    if !is_signed {
        assert!(verdict.is_err(), "believed without a signature");
    } else if is_usable_id && !id.contains(&b'.') {
        assert!(verdict.is_ok(), "signed well, yet {:?}", verdict.err());
    }
});
