//! The scheme `hmac`: no template, headers or body make it panic, nothing unsigned is believed, what is signed well is.

#![no_main]

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use ring::hmac;
use trunkline_config::{
    Credentials, HmacAlgorithm, HmacSettings, KeyEncoding, SchemeSettings, Secret, SignatureEncoding,
    SignedPart, SignedTemplate,
};
use trunkline_ingest::Call;
use trunkline_model::Timestamp;

const NOW: i64 = 1_700_000_000;
const KEY: &str = "the key of the fuzz target";

/// The signature of a call as its sender would write it.
fn sign(settings: &HmacSettings, id: &[u8], timestamp: &[u8], body: &[u8]) -> Vec<u8> {
    let algorithm = match settings.algorithm {
        HmacAlgorithm::Sha256 => hmac::HMAC_SHA256,
        HmacAlgorithm::Sha512 => hmac::HMAC_SHA512,
    };
    let mut signed = Vec::new();
    for part in settings.signed.parts() {
        signed.extend_from_slice(match part {
            SignedPart::Literal(text) => text.as_bytes(),
            SignedPart::Id => id,
            SignedPart::Timestamp => timestamp,
            SignedPart::Body => body,
        });
    }
    let tag = hmac::sign(&hmac::Key::new(algorithm, KEY.as_bytes()), &signed);
    let text = match settings.encoding {
        SignatureEncoding::Hex => hex::encode(tag),
        SignatureEncoding::Base64 => BASE64.encode(tag),
    };
    format!("{}{text}", settings.prefix).into_bytes()
}

fuzz_target!(|input: (u8, String, String, Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>)| {
    let (flags, template, prefix, id, timestamp, signature, body) = input;
    let is = |bit: u8| flags & (1 << bit) != 0;
    let Ok(signed) = template.parse::<SignedTemplate>() else { return };
    if prefix.len() > 64 || !prefix.bytes().all(|b| b.is_ascii_graphic()) {
        return;
    }
    let settings = HmacSettings {
        header: "x-signature".to_owned(),
        algorithm: if is(0) { HmacAlgorithm::Sha256 } else { HmacAlgorithm::Sha512 },
        encoding: if is(1) { SignatureEncoding::Hex } else { SignatureEncoding::Base64 },
        prefix,
        timestamp_header: is(2).then(|| "x-time".to_owned()),
        id_header: is(3).then(|| "x-id".to_owned()),
        key_encoding: KeyEncoding::Utf8,
        signed,
    };
    let is_signed = is(4);
    let timestamp = if is_signed { NOW.to_string().into_bytes() } else { timestamp };
    // A template may name what the settings do not have; loading the configuration refuses that.
    let missing = [(SignedPart::Id, is(3)), (SignedPart::Timestamp, is(2))];
    if missing.iter().any(|(part, is_set)| settings.signed.contains(part) && !is_set) {
        return;
    }
    let signature = if is_signed { sign(&settings, &id, &timestamp, &body) } else { signature };
    let mut headers = HeaderMap::new();
    for (name, value) in [("x-id", &id), ("x-time", &timestamp), ("x-signature", &signature)] {
        let Ok(value) = HeaderValue::from_bytes(value) else { return };
        headers.append(name, value);
    }
    let scheme = trunkline_ingest::schemes::prepare(
        &SchemeSettings::Hmac(settings),
        &Credentials::from(&[Secret::new(KEY)][..]),
        Duration::from_secs(300),
    )
    .expect("usable settings");
    let verdict = scheme.verify(&Call::new(&headers, &body, Timestamp::from_secs(NOW)));
    let is_usable_id = !id.is_empty() && id.len() <= 256 && id.iter().all(u8::is_ascii_graphic);
    if !is_signed {
        assert!(verdict.is_err(), "believed without a signature");
    } else if is_usable_id || !is(3) {
        assert!(verdict.is_ok(), "signed well, yet {:?}", verdict.err());
    }
});
