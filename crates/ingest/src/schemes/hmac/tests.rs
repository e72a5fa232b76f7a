//! Known answers, every spelling a sender can be configured for, and calls that must fail.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;
use ring::hmac;

use super::*;

const NOW: i64 = 1_700_000_000;
const BODY: &[u8] = br#"{"type":"order.paid","data":{"n":1}}"#;

fn settings() -> HmacSettings {
    HmacSettings::default()
}

fn full() -> HmacSettings {
    HmacSettings {
        signed: "{id}.{timestamp}.{body}".parse().unwrap(),
        timestamp_header: Some("x-time".to_owned()),
        id_header: Some("x-id".to_owned()),
        ..settings()
    }
}

fn scheme(settings: &HmacSettings, secrets: &[&str]) -> Hmac {
    let secrets: Vec<Secret> = secrets.iter().map(|text| Secret::new(*text)).collect();
    Hmac::new(settings, &secrets, Duration::from_mins(5)).unwrap()
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        map.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    map
}

fn verify(scheme: &Hmac, pairs: &[(&'static str, &str)], body: &[u8]) -> Result<Verified, Refusal> {
    scheme.verify(&Call::new(&headers(pairs), body, Timestamp::from_secs(NOW)))
}

fn mac(algorithm: hmac::Algorithm, secret: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(algorithm, secret), &parts.concat()).as_ref().to_vec()
}

#[test]
fn a_known_answer_verifies() {
    // RFC 4231, test case 2.
    let hex = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    let body = b"what do ya want for nothing?";
    let jefe = scheme(&settings(), &["Jefe"]);
    assert_eq!(verify(&jefe, &[("x-signature", hex)], body), Ok(Verified::default()));
    assert_eq!(verify(&jefe, &[("x-signature", &hex.to_uppercase())], body), Ok(Verified::default()));
    let long = HmacSettings { algorithm: HmacAlgorithm::Sha512, ..settings() };
    let hex = "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737";
    assert!(verify(&scheme(&long, &["Jefe"]), &[("x-signature", hex)], body).is_ok());
}

#[test]
fn spellings_of_the_signature() {
    let base64 =
        HmacSettings { encoding: SignatureEncoding::Base64, prefix: "sha256=".to_owned(), ..settings() };
    let mac = mac(HMAC_SHA256, b"k", &[BODY]);
    let keyed = scheme(&base64, &["k"]);
    for encoded in [STANDARD.encode(&mac), URL_SAFE_NO_PAD.encode(&mac)] {
        assert!(verify(&keyed, &[("x-signature", &format!("sha256={encoded}"))], BODY).is_ok(), "{encoded}");
        let no_prefix = verify(&keyed, &[("x-signature", &encoded)], BODY);
        assert_eq!(no_prefix, Err(Refusal::MalformedHeader(HeaderName::from_static("x-signature"))));
    }
    let hex = hex::encode(&mac);
    let two_lines = [("x-signature", "00ff"), ("x-signature", &*hex)];
    assert!(verify(&scheme(&settings(), &["k"]), &two_lines, BODY).is_ok());
}

#[test]
fn spellings_of_the_key() {
    let check = |encoding: KeyEncoding, text: &str| {
        let keyed = scheme(&HmacSettings { key_encoding: encoding, ..settings() }, &["old", text][1..]);
        let hex = hex::encode(mac(HMAC_SHA256, b"\x00\xff\x10", &[BODY]));
        assert!(verify(&keyed, &[("x-signature", &hex)], BODY).is_ok(), "{text}");
    };
    check(KeyEncoding::Hex, "00ff10");
    check(KeyEncoding::Base64, "AP8Q");
    let bad = |encoding, text| {
        let settings = HmacSettings { key_encoding: encoding, ..settings() };
        Hmac::new(&settings, &[Secret::new(text)], Duration::ZERO).map(drop)
    };
    assert_eq!(bad(KeyEncoding::Hex, "xyz"), Err(InvalidScheme::NotHex));
    assert_eq!(bad(KeyEncoding::Base64, "a b"), Err(InvalidScheme::NotBase64));
    assert_eq!(bad(KeyEncoding::Utf8, ""), Err(InvalidScheme::Missing));
}

#[test]
fn id_and_time_are_signed_as_received() {
    let time = NOW.to_string();
    let hex = hex::encode(mac(HMAC_SHA256, b"new", &[b"m1.", time.as_bytes(), b".", BODY]));
    let keyed = scheme(&full(), &["old", "new"]);
    let good = [("x-id", "m1"), ("x-time", &*time), ("x-signature", &*hex)];
    let expect = Verified { dedupe_key: Some("m1".to_owned()), claimed_at: Some(Timestamp::from_secs(NOW)) };
    assert_eq!(verify(&keyed, &good, BODY), Ok(expect));
    let check = |pairs: &[(&'static str, &str)], body: &[u8], expect: Refusal| {
        assert_eq!(verify(&keyed, pairs, body), Err(expect), "{pairs:?}");
    };
    check(&good, b"{}", Refusal::SignatureMismatch);
    check(&[("x-id", "m2"), good[1], good[2]], BODY, Refusal::SignatureMismatch);
    check(&[good[0], ("x-time", &format!("0{time}")), good[2]], BODY, Refusal::SignatureMismatch);
    check(&[good[0], ("x-time", "1"), good[2]], BODY, Refusal::Stale);
    check(&[good[0], ("x-time", "1700000999"), good[2]], BODY, Refusal::InTheFuture);
    let name = HeaderName::from_static;
    check(&[good[0], ("x-time", "now"), good[2]], BODY, Refusal::MalformedHeader(name("x-time")));
    check(&good[1..], BODY, Refusal::MissingHeader(name("x-id")));
    check(&[good[0], good[2]], BODY, Refusal::MissingHeader(name("x-time")));
    check(&good[..2], BODY, Refusal::MissingHeader(name("x-signature")));
    check(&[("x-id", "a b"), good[1], good[2]], BODY, Refusal::MalformedHeader(name("x-id")));
    check(&[good[0], good[1], ("x-signature", &hex[..62])], BODY, Refusal::SignatureMismatch);
    check(&[good[0], good[1], ("x-signature", &format!("{hex}00"))], BODY, Refusal::SignatureMismatch);
}

#[test]
fn without_an_id_a_signed_time_makes_repeats_known() {
    let settings = HmacSettings { signed: "{timestamp}{body}".parse().unwrap(), id_header: None, ..full() };
    let keyed = scheme(&settings, &["k"]);
    let key = |time: &str, body: &[u8]| {
        let hex = hex::encode(mac(HMAC_SHA256, b"k", &[time.as_bytes(), body]));
        verify(&keyed, &[("x-time", time), ("x-signature", &hex)], body).unwrap().dedupe_key.unwrap()
    };
    let first = key("1700000000", BODY);
    assert_eq!(first.len(), 7 + 64);
    assert_eq!(first, key("1700000000", BODY));
    assert_ne!(first, key("1700000001", BODY));
    assert_ne!(first, key("1700000000", b"{}"));
    assert_ne!(first, key("2023-11-14T22:13:20Z", BODY));
}

proptest! {
    #[test]
    fn no_call_makes_it_panic_or_believe(
        values in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..100), 3),
        timely in any::<bool>(),
        body in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut map = HeaderMap::new();
        for (name, value) in ["x-signature", "x-time", "x-id"].into_iter().zip(values) {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                map.insert(name, value);
            }
        }
        if timely {
            map.insert("x-time", NOW.into());
        }
        let call = Call::new(&map, &body, Timestamp::from_secs(NOW));
        for encoding in [SignatureEncoding::Hex, SignatureEncoding::Base64] {
            let settings = HmacSettings { encoding, ..full() };
            prop_assert!(scheme(&settings, &["k"]).verify(&call).is_err());
        }
    }
}
