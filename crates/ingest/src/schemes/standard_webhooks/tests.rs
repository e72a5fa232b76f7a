//! Published vectors of the specification's libraries, and every way a call can be wrong.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use proptest::prelude::*;
use ring::hmac;
use ring::signature::{Ed25519KeyPair, KeyPair as _};

use super::*;

const SECRET_A: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const SECRET_B: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const PUBLIC_C: &str = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";
const TOLERANCE: Duration = Duration::from_mins(5);

const VECTOR_A: Vector = Vector {
    id: "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
    timestamp: "1649367553",
    body: br#"{"email":"test@example.com","username":"test_user"}"#,
    signature: "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
};
const VECTOR_B: Vector = Vector {
    id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
    timestamp: "1614265330",
    body: br#"{"test": 2432232314}"#,
    signature: "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
};
const VECTOR_C: Vector = Vector {
    signature: "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==",
    ..VECTOR_B
};

#[derive(Clone, Copy)]
struct Vector {
    id: &'static str,
    timestamp: &'static str,
    body: &'static [u8],
    signature: &'static str,
}

impl Vector {
    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("webhook-id", self.id.parse().unwrap());
        headers.insert("webhook-timestamp", self.timestamp.parse().unwrap());
        headers.insert("webhook-signature", self.signature.parse().unwrap());
        headers
    }

    fn sent_at(&self) -> Timestamp {
        Timestamp::from_secs(self.timestamp.parse().unwrap())
    }

    #[allow(clippy::needless_pass_by_value, reason = "tables of cases read better")]
    fn check(&self, secrets: &[&str], expect: Result<(), Refusal>) {
        let result = scheme(secrets).verify(&Call::new(&self.headers(), self.body, self.sent_at()));
        assert_eq!(result.map(drop), expect, "{} with {} secrets", self.signature, secrets.len());
    }
}

fn scheme(secrets: &[&str]) -> StandardWebhooks {
    let secrets: Vec<Secret> = secrets.iter().map(|text| Secret::new(*text)).collect();
    StandardWebhooks::new(&secrets, TOLERANCE).unwrap()
}

fn header(name: &'static str) -> HeaderName {
    HeaderName::from_static(name)
}

#[test]
fn published_vectors_verify() {
    VECTOR_A.check(&[SECRET_A], Ok(()));
    VECTOR_B.check(&[SECRET_B], Ok(()));
    VECTOR_C.check(&[PUBLIC_C], Ok(()));
    VECTOR_A.check(&["C2FVsBQIhrscChlQIMV+b5sSYspob7oD"], Ok(()));
    let headers = VECTOR_A.headers();
    let call = Call::new(&headers, VECTOR_A.body, VECTOR_A.sent_at());
    let verified = scheme(&[SECRET_A]).verify(&call).unwrap();
    assert_eq!(verified.dedupe_key.as_deref(), Some(VECTOR_A.id));
    assert_eq!(verified.claimed_at, Some(VECTOR_A.sent_at()));
}

#[test]
fn every_live_secret_counts() {
    for secrets in [[SECRET_A, SECRET_B], [SECRET_B, SECRET_A]] {
        VECTOR_A.check(&secrets, Ok(()));
        VECTOR_B.check(&secrets, Ok(()));
    }
    VECTOR_B.check(&[SECRET_A, PUBLIC_C], Err(Refusal::SignatureMismatch));
    VECTOR_C.check(&[SECRET_B, PUBLIC_C], Ok(()));
    VECTOR_C.check(&[SECRET_B], Err(Refusal::NoUsableSignature));
    VECTOR_B.check(&[PUBLIC_C], Err(Refusal::NoUsableSignature));
}

#[test]
fn signature_lists_are_read_with_patience() {
    let with = |signature| Vector { signature, ..VECTOR_B };
    let good = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    with("v1,AAAA v2,xyz v1a v1 , v1,%%% v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
        .check(&[SECRET_B], Ok(()));
    with("  v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= ").check(&[SECRET_B], Ok(()));
    with("v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
        .check(&[SECRET_B], Err(Refusal::NoUsableSignature));
    with("g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=").check(&[SECRET_B], Err(Refusal::NoUsableSignature));
    with("v1,").check(&[SECRET_B], Err(Refusal::SignatureMismatch));
    let many = format!("{}{good}", "v1,AAAA ".repeat(MAX_SIGNATURES));
    with(many.leak()).check(&[SECRET_B], Err(Refusal::SignatureMismatch));
}

#[test]
fn shortened_lengthened_and_changed_signatures_fail() {
    let mac = STANDARD.decode("g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=").unwrap();
    let check = |mac: &[u8]| {
        let signature = format!("v1,{}", STANDARD.encode(mac)).leak();
        Vector { signature, ..VECTOR_B }.check(&[SECRET_B], Err(Refusal::SignatureMismatch));
    };
    (1..mac.len()).for_each(|len| check(&mac[..len]));
    check(&[&mac[..], &[0]].concat());
    check(&[&mac[..], &mac[..]].concat());
    check(&[0; 32]);
    for at in 0..mac.len() {
        let mut changed = mac.clone();
        changed[at] ^= 1;
        check(&changed);
    }
}

#[test]
fn missing_and_malformed_headers_are_named() {
    let secret = scheme(&[SECRET_B]);
    let check = |name: &'static str, value: Option<&[u8]>, expect: Refusal| {
        let mut headers = VECTOR_B.headers();
        match value {
            None => drop(headers.remove(name)),
            Some(value) => drop(headers.insert(name, http::HeaderValue::from_bytes(value).unwrap())),
        }
        let result = secret.verify(&Call::new(&headers, VECTOR_B.body, VECTOR_B.sent_at()));
        assert_eq!(result, Err(expect), "{name}: {value:?}");
    };
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        check(name, None, Refusal::MissingHeader(header(name)));
        check(name, Some(b""), Refusal::MalformedHeader(header(name)));
    }
    let malformed = Refusal::MalformedHeader(header("webhook-timestamp"));
    for value in ["1614265330.0", "+1614265330", "0x60", "1614265330 ", "-1614265330", "99999999999999999999"]
    {
        check("webhook-timestamp", Some(value.as_bytes()), malformed.clone());
    }
    let malformed = Refusal::MalformedHeader(header("webhook-id"));
    for value in [&b"a.b"[..], b"a b", b"\xff", &[b'a'; 257]] {
        check("webhook-id", Some(value), malformed.clone());
    }
    // The same number, written differently, is not what was signed.
    check("webhook-timestamp", Some(b"01614265330"), Refusal::SignatureMismatch);
}

#[test]
fn the_window_is_five_minutes_either_way() {
    let secret = scheme(&[SECRET_B]);
    let check = |now: i64, expect: Result<(), Refusal>| {
        let now = Timestamp::from_secs(VECTOR_B.sent_at().as_secs() + now);
        let headers = VECTOR_B.headers();
        let call = Call::new(&headers, VECTOR_B.body, now);
        assert_eq!(secret.verify(&call).map(drop), expect);
    };
    check(300, Ok(()));
    check(301, Err(Refusal::Stale));
    check(-300, Ok(()));
    check(-301, Err(Refusal::InTheFuture));
}

#[test]
fn bodies_are_bytes() {
    let key = hmac::Key::new(HMAC_SHA256, &decode::base64_secret(&SECRET_B[6..]).unwrap());
    let body = b"\xff\x00\xfe not text";
    let mac = hmac::sign(&key, &[b"m-1.1614265330.", &body[..]].concat());
    let signature = format!("v1,{}", STANDARD.encode(mac)).leak();
    Vector { id: "m-1", timestamp: "1614265330", body, signature }.check(&[SECRET_B], Ok(()));
}

#[test]
fn generated_ed25519_keys_verify() {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let public = format!("whpk_{}", STANDARD.encode(pair.public_key()));
    let signature = format!("v1a,{}", STANDARD.encode(pair.sign(b"m-1.1614265330.{}"))).leak();
    let vector = Vector { id: "m-1", timestamp: "1614265330", body: b"{}", signature };
    vector.check(&[&public], Ok(()));
    vector.check(&[PUBLIC_C, &public], Ok(()));
    Vector { body: b"{ }", ..vector }.check(&[&public], Err(Refusal::SignatureMismatch));
}

#[test]
fn unusable_keys_are_refused_at_start() {
    let check = |text: &str, expect: InvalidScheme| {
        let result = StandardWebhooks::new(&[Secret::new(text)], TOLERANCE);
        assert_eq!(result.map(drop), Err(expect), "{text}");
    };
    check("whsec_AAAA", InvalidScheme::Length { n_bytes: 3, wanted: "24 to 64" });
    check(
        &format!("whsec_{}", STANDARD.encode([1; 65])),
        InvalidScheme::Length { n_bytes: 65, wanted: "24 to 64" },
    );
    check("whsec_not base64 at all, sorry", InvalidScheme::NotBase64);
    check("whpk_AAAA", InvalidScheme::Length { n_bytes: 3, wanted: "32" });
    check("whsk_AAAA", InvalidScheme::PrivateKey);
    check("", InvalidScheme::Missing);
    assert_eq!(StandardWebhooks::new(&[], TOLERANCE).map(drop), Err(InvalidScheme::Missing));
}

proptest! {
    #[test]
    fn no_call_makes_it_panic_or_believe(
        id in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40)),
        timestamp in prop_oneof![".{0,24}", "[0-9]{0,20}", Just("1614265330".to_owned())],
        signature in prop_oneof![".{0,200}", "(v1a?,[A-Za-z0-9+/=]{0,90} ?){0,20}"],
        body in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut headers = HeaderMap::new();
        let values = [
            ("webhook-id", id),
            ("webhook-timestamp", Some(timestamp.into_bytes())),
            ("webhook-signature", Some(signature.into_bytes())),
        ];
        for (name, value) in values {
            if let Some(value) = value.and_then(|value| http::HeaderValue::from_bytes(&value).ok()) {
                headers.insert(name, value);
            }
        }
        let call = Call::new(&headers, &body, VECTOR_B.sent_at());
        prop_assert!(scheme(&[SECRET_B, PUBLIC_C]).verify(&call).is_err());
    }
}

#[test]
fn svix_has_names_of_its_own_and_takes_the_standard_ones() {
    let secrets = [Secret::new(SECRET_B)];
    let svix = StandardWebhooks::svix(&secrets, TOLERANCE).unwrap();
    let check = |scheme: &StandardWebhooks, names: [&'static str; 3], expect: Result<(), Refusal>| {
        let mut headers = HeaderMap::new();
        for (name, value) in names.iter().zip([VECTOR_B.id, VECTOR_B.timestamp, VECTOR_B.signature]) {
            headers.insert(*name, value.parse().unwrap());
        }
        let call = Call::new(&headers, VECTOR_B.body, VECTOR_B.sent_at());
        assert_eq!(scheme.verify(&call).map(drop), expect, "{names:?}");
    };
    let own = ["svix-id", "svix-timestamp", "svix-signature"];
    let standard = ["webhook-id", "webhook-timestamp", "webhook-signature"];
    // The vector of Svix's own libraries (svix-webhooks, python/tests/test_webhooks.py).
    check(&svix, own, Ok(()));
    check(&svix, standard, Ok(()));
    check(
        &svix,
        ["svix-id", "svix-timestamp", "webhook-signature"],
        Err(Refusal::MissingHeader(SVIX.signature)),
    );
    check(&svix, ["x-id", "svix-timestamp", "svix-signature"], Err(Refusal::MissingHeader(SVIX.id)));
    check(&scheme(&[SECRET_B]), own, Err(Refusal::MissingHeader(header("webhook-id"))));
}
