//! Bodies, ids and signatures: published vectors, the receivers' vectors, other senders' formats.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde_json::Value;
use trunkline_model::{Data, Event, EventId, EventType, Secret, Tenant};

use super::*;
use crate::endpoint::WebhookFormat;

#[expect(unreachable_pub, reason = "written as a file of its own")]
#[path = "../../../../tests/receivers/rust/verify.rs"]
mod verify;

fn event(content_type: Option<&str>, data: Data) -> Event {
    let event_type = EventType::parse("order.paid").unwrap();
    let mut event = Event::new(Tenant::default(), "shop", event_type, Timestamp::from_secs(1_700_000_000));
    event.datacontenttype = content_type.map(str::to_owned);
    event.data = data;
    event
}

fn key(text: &str) -> SigningKey {
    SigningKey::new(&Secret::new(text), None).unwrap()
}

const PRIVATE: &str =
    "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
const PUBLIC: &str = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";

#[test]
fn published_vectors() {
    let first = signature(
        &key("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"),
        "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
        "1649367553",
        br#"{"email":"test@example.com","username":"test_user"}"#,
    );
    assert_eq!(first, "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=");
    let (id, at, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", br#"{"test": 2432232314}"#);
    let second = signature(&key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), id, at, body);
    assert_eq!(second, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    // The seed alone, which is the first half, is the same key.
    let seed = format!("whsk_{}", BASE64.encode(&BASE64.decode(&PRIVATE[5..]).unwrap()[..32]));
    for private in [PRIVATE, &seed] {
        let third = signature(&key(private), id, at, body);
        let expect =
            "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==";
        assert_eq!(third, expect);
        assert_eq!(public_key(&Secret::new(private)).as_deref(), Some(PUBLIC));
    }
}

#[test]
fn only_whole_keys_sign() {
    let check = |text: &str, format, is_fit: bool| {
        let checked = check_secret_text(&Secret::new(text), format);
        assert_eq!(checked.is_ok(), is_fit, "{text} {format:?}");
    };
    let standard = SignatureFormat::Standard;
    let mut broken = BASE64.decode(&PRIVATE[5..]).unwrap();
    broken[63] ^= 1;
    let mismatched = format!("whsk_{}", BASE64.encode(&broken));
    let short = format!("whsk_{}", BASE64.encode([1; 31]));
    let odd = format!("whsk_{}", BASE64.encode([1; 33]));
    for text in
        ["", "whsec_", "whsec_AAAA", "secret-of-theirs", "whsec_!!", "whsk_", &mismatched, &short, &odd]
    {
        check(text, standard, false);
    }
    check(PRIVATE, SignatureFormat::Svix, true);
    let long = "x".repeat(257);
    for text in ["", "seven77", "with space", "ünïcödé-text", PRIVATE, &long] {
        check(text, SignatureFormat::Convoy, false);
    }
    for text in ["secret-of-theirs", "0d9c5d3e-7d3a-4d11-8d2f-3b2a1c0f9e8d", "whsec_AAAA"] {
        check(text, SignatureFormat::Hook0, true);
    }
}

/// Signs the same message in each format, with a key that is in force and one that goes on the 1 700 000 001st second.
fn signed(format: SignatureFormat, secrets: [&str; 2]) -> HeaderMap {
    let ends = [None, Some(Timestamp::from_secs(1_700_000_001))];
    let prepare = |(text, end): (&str, _)| SigningKey::of_format(&Secret::new(text), end, format).unwrap();
    let keys: Vec<_> = secrets.into_iter().zip(ends).map(prepare).collect();
    let message = Message {
        id: "evt_1",
        event_type: "order.paid",
        body: br#"{"type":"order.paid","data":{"id":7}}"#,
        now: Timestamp::from_micros(1_700_000_000_900_000),
    };
    let mut headers = HeaderMap::new();
    sign(&mut headers, &message, format, &keys);
    assert_eq!(
        (&headers["webhook-id"], &headers["webhook-timestamp"]),
        (&"evt_1".parse().unwrap(), &"1700000000".parse().unwrap())
    );
    headers
}

const TEXTS: [&str; 2] = ["convoy-secret-1", "convoy-secret-2"];

// The figures below come from another implementation (Python's `hmac`, the simple form also from OpenSSL):
// `hmac.new(b"convoy-secret-1", b"1700000000,<body>", "sha256").hexdigest()` and so on, with the bytes to sign put
// together by hand as each sender's documentation says.

#[test]
fn convoy_signatures() {
    let advanced = signed(SignatureFormat::Convoy, TEXTS);
    assert_eq!(
        advanced["x-convoy-signature"],
        "t=1700000000,v1=a6a34072dd7128a343a8e03996e1bf4ae9cef21d5177f6e52d888fa06ef69645,\
         v1=35a50ad5adb9eddb52c0795db848e8c9317d3a9aba5c8e75522a7229fecc9d8b"
    );
    let simple = signed(SignatureFormat::ConvoySimple, TEXTS);
    let expect = "17b5b4699d1340529afddb7e26b7fe2e7ba5611fbcd14d8a81ec44f9e57740fb";
    assert_eq!(simple["x-convoy-signature"], expect);
    for (format, expect) in [
        (SignatureFormat::ConvoySimpleBase64, "F7W0aZ0TQFKa/dt+Jrf+LnulYR+80U2KgexE+eV3QPs="),
        (
            SignatureFormat::ConvoySimpleSha512,
            "257612aa531e811c1b90baec475ee36268ec3482c231807019f809eb14110b9d\
             4125439c9011eaffb49d84436fd575b484d4361a3f58ed87f319e425dd5b9d5c",
        ),
        (
            SignatureFormat::ConvoySimpleSha512Base64,
            "JXYSqlMegRwbkLrsR17jYmjsNILCMYBwGfgJ6xQRC51BJUOckBHq/7SdhENv1XW0hNQ2Gj9Y7YfzGeQl3VudXA==",
        ),
    ] {
        assert_eq!(signed(format, TEXTS)["x-convoy-signature"], expect, "{}", format.as_str());
    }
}

#[test]
fn outpost_signatures() {
    let headers = signed(SignatureFormat::Outpost, TEXTS);
    assert_eq!(
        headers["x-outpost-signature"],
        "v0=17b5b4699d1340529afddb7e26b7fe2e7ba5611fbcd14d8a81ec44f9e57740fb,\
         93b08040731266bd522c4c5fd10d4ff8168f7f9afe9ec1795b243a8ab5030629"
    );
    assert_eq!(headers["x-outpost-event-id"], "evt_1");
    assert_eq!(headers["x-outpost-timestamp"], "2023-11-14T22:13:20Z");
    assert_eq!(headers["x-outpost-topic"], "order.paid");
}

#[test]
fn hook0_signatures() {
    let headers = signed(SignatureFormat::Hook0, TEXTS);
    assert_eq!(
        headers["x-hook0-signature"],
        "t=1700000000,h=x-event-id x-event-type,\
         v0=c8d1b8f3c04e037bf5800a63f0efb47983a80a8d4d93a0c87e0785a981dae4e2,\
         v1=66dc84f8fb53207dabe81798c2ee7bdc3fce5bb5cdb1dcc20183a034208734c0"
    );
    assert_eq!(
        (&headers["x-event-id"], &headers["x-event-type"]),
        (&"evt_1".parse().unwrap(), &"order.paid".parse().unwrap())
    );
}

#[test]
fn stripe_signatures() {
    let headers = signed(SignatureFormat::Stripe, TEXTS);
    assert_eq!(
        headers["stripe-signature"],
        "t=1700000000,v1=c8d1b8f3c04e037bf5800a63f0efb47983a80a8d4d93a0c87e0785a981dae4e2,\
         v1=1cc22c42fd3113c661060d87ab7445411e46848512d888b6a6d9f177c85cad48"
    );
}

#[test]
fn svix_signatures_are_standard_ones_under_other_names() {
    let secrets = ["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", PRIVATE];
    let (svix, standard) =
        (signed(SignatureFormat::Svix, secrets), signed(SignatureFormat::Standard, secrets));
    assert_eq!(svix["svix-signature"], standard["webhook-signature"]);
    assert_eq!(
        (&svix["svix-id"], &svix["svix-timestamp"]),
        (&svix["webhook-id"], &svix["webhook-timestamp"])
    );
    assert!(!svix.contains_key("webhook-signature"));
}

fn text<'a>(vector: &'a Value, name: &str) -> &'a str {
    vector["headers"][name].as_str().unwrap_or_default()
}

#[test]
fn the_receivers_program_judges_every_vector() {
    let file = include_str!("../../../../tests/receivers/vectors.json");
    let all: Value = serde_json::from_str(file).unwrap();
    let vectors = all["vectors"].as_array().unwrap();
    assert!(vectors.len() > 20);
    for vector in vectors {
        let body = match vector["body"].as_str() {
            Some(body) => body.as_bytes().to_vec(),
            None => BASE64.decode(vector["body_base64"].as_str().unwrap()).unwrap(),
        };
        let call = verify::Call {
            id: text(vector, "webhook-id"),
            timestamp: text(vector, "webhook-timestamp"),
            signatures: text(vector, "webhook-signature"),
            body: &body,
        };
        let found = match verify::verify(
            vector["secret"].as_str().unwrap(),
            &call,
            vector["now"].as_u64().unwrap(),
        ) {
            Ok(()) => "accepted",
            Err(verify::Refused::Headers) => "headers",
            Err(verify::Refused::Timestamp) => "timestamp",
            Err(verify::Refused::Signature) => "signature",
        };
        assert_eq!(found, vector["expect"], "{}", vector["name"]);
    }
}

#[test]
fn the_receivers_program_verifies_what_is_sent() {
    let shared = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    let keys = [key(shared), key(PRIVATE)];
    for data in [
        Data::None,
        Data::Json(Bytes::from_static("{\"ä\":1}".as_bytes())),
        Data::Binary(Bytes::from_static(b"\xff")),
    ] {
        for format in WebhookFormat::ALL {
            let event = event(None, data.clone());
            let (body, id) = (body(&event, format), webhook_id(&event));
            let now = Timestamp::from_secs(1_700_000_000);
            let message = Message { id: &id, event_type: event.event_type.as_str(), body: &body, now };
            let mut headers = HeaderMap::new();
            sign(&mut headers, &message, SignatureFormat::Standard, &keys);
            let header = |name: &str| headers[name].to_str().unwrap();
            let call = verify::Call {
                id: header("webhook-id"),
                timestamp: header("webhook-timestamp"),
                signatures: header("webhook-signature"),
                body: &body,
            };
            for secret in [shared, PUBLIC] {
                assert_eq!(verify::verify(secret, &call, 1_700_000_100), Ok(()));
                let other = verify::Call { body: b"other", ..call };
                assert_eq!(verify::verify(secret, &other, 1_700_000_100), Err(verify::Refused::Signature));
            }
        }
    }
}

fn check_body(content_type: Option<&str>, data: Data, expect: &str) {
    let body = body(&event(content_type, data), WebhookFormat::Standard);
    let start = r#"{"type":"order.paid","timestamp":"2023-11-14T22:13:20Z","data":"#;
    assert_eq!(std::str::from_utf8(&body).unwrap(), format!("{start}{expect}}}"));
}

#[test]
fn standard_bodies() {
    let bytes = Bytes::from_static;
    check_body(None, Data::None, "null");
    check_body(None, Data::Json(bytes(b"{\"b\" : 1.00}")), "{\"b\" : 1.00}");
    let envelope = br#"{"type":"x","data":[1, 2],"more":true}"#;
    check_body(None, Data::Envelope(bytes(envelope)), "[1, 2]");
    check_body(Some("text/plain"), Data::Binary(bytes(b"say \"hi\"")), r#""say \"hi\"""#);
    check_body(
        Some("text/plain"),
        Data::Binary(bytes(b"\xff")),
        r#"{"data_base64":"/w==","datacontenttype":"text/plain"}"#,
    );
    check_body(None, Data::Binary(bytes(b"ab")), r#"{"data_base64":"YWI="}"#);
}

#[test]
fn ids_are_safe_and_stable() {
    let mut event = event(None, Data::None);
    assert_eq!(webhook_id(&event), event.id.as_str());
    for odd in ["a.b", "a b", "ä", "line\nbreak", &"x".repeat(129), ""] {
        event.id = EventId::from_text(odd);
        let id = webhook_id(&event).into_owned();
        assert_eq!((id.len(), id.starts_with("evt_")), (36, true), "{odd:?}");
        assert_eq!(id, webhook_id(&event));
        let other = Event { source: "else".into(), ..event.clone() };
        assert_ne!(id, webhook_id(&other));
    }
}

#[test]
fn signs_with_every_live_key() {
    let key = |fill: u8, end| {
        let secret = Secret::new(format!("whsec_{}", BASE64.encode([fill; 32])));
        SigningKey::new(&secret, end).unwrap()
    };
    let now = Timestamp::from_secs(1000);
    let keys = [key(1, None), key(2, Some(Timestamp::from_secs(1001))), key(3, Some(now))];
    let mut headers = HeaderMap::new();
    let message = Message { id: "evt_1", event_type: "a", body: b"{}", now };
    sign(&mut headers, &message, SignatureFormat::Standard, &keys);
    let of = |key| signature(key, "evt_1", "1000", b"{}");
    assert_eq!(headers["webhook-signature"], format!("{} {}", of(&keys[0]), of(&keys[1])));
}

#[test]
fn the_form_of_a_signature_names_what_it_leaves_out() {
    use SignatureFormat as F;

    let check = |format, secret: &str, name: &str, expect: &str| {
        let keys = [SigningKey::of_format(&Secret::new(secret), None, format).unwrap()];
        let now = Timestamp::from_secs(1_769_860_800);
        let mut headers = HeaderMap::new();
        sign(&mut headers, &Message { id: "evt_1", event_type: "a.b", body: b"{}", now }, format, &keys);
        assert_eq!(form(headers[name].to_str().unwrap()), expect, "{format:?}");
    };
    let symmetric = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    let text = "secret-of-theirs";
    check(F::Standard, symmetric, "webhook-signature", "v1,<base64>");
    check(F::Standard, PRIVATE, "webhook-signature", "v1a,<base64>");
    check(F::Svix, symmetric, "svix-signature", "v1,<base64>");
    check(F::Convoy, text, "x-convoy-signature", "t=1769860800,v1=<hex>");
    check(F::ConvoySimple, text, "x-convoy-signature", "<hex>");
    check(F::Outpost, text, "x-outpost-signature", "v0=<hex>");
    let hook0 = "t=1769860800,h=x-event-id x-event-type,v0=<hex>,v1=<hex>";
    check(F::Hook0, text, "x-hook0-signature", hook0);
    check(F::Stripe, text, "stripe-signature", "t=1769860800,v1=<hex>");
    assert_eq!(form("v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw= v1a,x"), "v1,<base64> v1a,x");
}
