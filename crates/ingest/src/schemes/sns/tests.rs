//! Messages signed by a certificate of the test's own, and everything that must not be believed.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::testing::{
    AT, CERTIFICATE, CERTIFICATE_URL, SHA1, TIME, TOPIC, confirmation, notification, settings, signed,
    signed_notification,
};
use super::*;
use crate::schemes::testing::{Sent, scheme};

fn sent(body: &str) -> Sent {
    Sent::post(&[("content-type", "text/plain; charset=UTF-8")], body).at(AT)
}

fn sns() -> Box<dyn Scheme> {
    let sns = scheme(settings(), &[]);
    assert!(sns.certificates().unwrap().learn(CERTIFICATE_URL, CERTIFICATE, AT));
    sns
}

/// A notification with one member changed after it was signed.
fn altered(name: &str, value: impl Into<Value>) -> Sent {
    let mut message: Value = serde_json::from_str(&signed_notification()).unwrap();
    message[name] = value.into();
    sent(&message.to_string())
}

#[test]
fn both_versions_verify() {
    let sns = sns();
    sent(&signed_notification()).check_event(&*sns, "sns.notification", Some("m-1"));
    let mut message = notification();
    (message["SignatureVersion"], message["Signature"]) = ("1".into(), SHA1.into());
    sent(&message.to_string()).check(&*sns, Ok(()));
    message["SignatureVersion"] = "2".into();
    sent(&message.to_string()).check(&*sns, Err(Refusal::SignatureMismatch));
    let mut bare = notification();
    bare.as_object_mut().unwrap().remove("Subject");
    sent(&signed(bare)).check(&*sns, Ok(()));
    let ended = json!({"Type": "UnsubscribeConfirmation", "MessageId": "u", "TopicArn": TOPIC, "Token": "t", "Message": "m",
        "Timestamp": TIME, "SigningCertURL": CERTIFICATE_URL, "SubscribeURL": "https://sns.eu-west-1.amazonaws.com/"});
    sent(&signed(ended)).check_event(&*sns, "sns.unsubscribe_confirmation", Some("u"));
}

#[test]
fn every_signed_member_counts() {
    let sns = sns();
    for (name, value) in [
        ("Message", "x"),
        ("MessageId", "m-2"),
        ("Subject", "Ho"),
        ("Timestamp", "2026-12-01T04:00:01.000Z"),
        ("Signature", SHA1),
    ] {
        altered(name, value).check(&*sns, Err(Refusal::SignatureMismatch));
    }
    altered("Type", "Gossip").check(&*sns, Err(Refusal::MalformedBody));
    altered("Type", "SubscriptionConfirmation").check(&*sns, Err(Refusal::MalformedBody));
    altered("Timestamp", "soon").check(&*sns, Err(Refusal::MalformedBody));
    altered("SignatureVersion", "3").check(&*sns, Err(Refusal::NoUsableSignature));
    altered("Signature", "%").check(&*sns, Err(Refusal::NoUsableSignature));
    altered("Signature", "A".repeat(4000)).check(&*sns, Err(Refusal::NoUsableSignature));
    altered("TopicArn", "arn:aws:sns:eu-west-1:666666666666:orders").check(&*sns, Err(Refusal::Untrusted));
    altered("SigningCertURL", "https://sns.eu-west-1.amazonaws.com.example.com/a.pem")
        .check(&*sns, Err(Refusal::Untrusted));
    altered("SigningCertURL", "https://sns.us-east-1.amazonaws.com/a.pem")
        .check(&*sns, Err(Refusal::NoUsableSignature));
    altered("MessageId", 7).check(&*sns, Err(Refusal::MalformedBody));
    sent("{}").check(&*sns, Err(Refusal::MalformedBody));
}

#[test]
fn old_messages_are_refused() {
    let sns = sns();
    let at = |secs: i64| sent(&signed_notification()).at(Timestamp::from_secs(AT.as_secs() + secs));
    at(0).check(&*sns, Ok(()));
    at(1).check(&*sns, Err(Refusal::Stale));
    at(-601).check(&*sns, Err(Refusal::InTheFuture));
}

#[test]
fn a_subscription_is_confirmed_at_amazon_only() {
    let sns = sns();
    let read = |url: &str| {
        let sent = sent(&signed(confirmation(url)));
        sent.check(&*sns, Ok(()));
        sent.read(&*sns)
    };
    let url = "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token=token";
    assert_eq!(read(url), Reading::Handshake { reply: Reply::empty(), visit: Some(url.to_owned()) });
    assert_eq!(read("https://hooks.example.com/"), Reading::handshake(Reply::empty()));
}

#[test]
fn certificates_are_asked_for_once_and_expire() {
    let sns = scheme(settings(), &[]);
    let call = sent(&signed_notification());
    assert_eq!(sns.wanted(&call.call()).as_deref(), Some(CERTIFICATE_URL));
    call.check(&*sns, Err(Refusal::NoUsableSignature));
    let certificates = sns.certificates().unwrap();
    assert!(!certificates.learn(CERTIFICATE_URL, b"no certificate", AT));
    assert!(
        !certificates.learn(CERTIFICATE_URL, CERTIFICATE, Timestamp::from_secs(1_700_000_000)),
        "not valid yet"
    );
    assert!(
        !certificates.learn(CERTIFICATE_URL, CERTIFICATE, Timestamp::from_secs(5_000_000_000)),
        "expired"
    );
    assert!(certificates.learn(CERTIFICATE_URL, CERTIFICATE, AT));
    assert_eq!(sns.wanted(&call.call()), None);
    let tomorrow = Timestamp::from_secs(AT.as_secs() + 24 * 3600);
    assert!(certificates.key(CERTIFICATE_URL, tomorrow).is_none());
    let url = |n: usize| format!("https://sns.eu-west-1.amazonaws.com/{n}.pem");
    assert!((0..20).all(|n| certificates.learn(&url(n), CERTIFICATE, AT)));
    let n_known = (0..20).filter(|n| certificates.key(&url(*n), AT).is_some()).count();
    assert_eq!(n_known + usize::from(certificates.key(CERTIFICATE_URL, AT).is_some()), 8);
    for (name, value) in [
        ("TopicArn", "arn:aws:sns:eu-west-1:666666666666:orders"),
        ("SigningCertURL", "https://sns.eu-west-1.amazonaws.com/a.txt"),
        ("SigningCertURL", "http://sns.eu-west-1.amazonaws.com/a.pem"),
        ("Timestamp", "2020-12-01T04:00:00.000Z"),
    ] {
        assert_eq!(sns.wanted(&altered(name, value).call()), None, "{name} {value}");
    }
}

#[test]
fn only_amazons_places_are_believed() {
    let check = |url: &str, expect: bool| assert_eq!(is_amazons(url), expect, "{url}");
    check("https://sns.eu-west-1.amazonaws.com/a.pem", true);
    check("https://sns.cn-north-1.amazonaws.com.cn/a.pem", true);
    check("https://sns.us-gov-west-1.amazonaws.com:443/?Action=ConfirmSubscription&Token=1", true);
    for url in [
        "http://sns.eu-west-1.amazonaws.com/a.pem",
        "https://sns.eu-west-1.amazonaws.com.example.com/a.pem",
        "https://sns.eu-west-1.amazonaws.com@example.com/a.pem",
        "https://user@sns.eu-west-1.amazonaws.com/a.pem",
        "https://sns.eu@west.amazonaws.com/a.pem",
        "https://sns.a.b.amazonaws.com/a.pem",
        "https://sns..amazonaws.com/a.pem",
        "https://sns.amazonaws.com/a.pem",
        "https://s3.eu-west-1.amazonaws.com/a.pem",
        "https://sns.eu-west-1.amazonaws.com:8443/a.pem",
        "https://example.com\\@sns.eu-west-1.amazonaws.com/a.pem",
        "https://example.com/sns.eu-west-1.amazonaws.com/a.pem",
        "https://example.com#sns.eu-west-1.amazonaws.com/a.pem",
        "https://sns.eu-west-1.amazonaws.com/a\n.pem",
        "",
    ] {
        check(url, false);
    }
}

proptest! {
    #[test]
    fn what_is_believed_is_amazons_for_the_client_too(
        url in "https://(sns\\.)?[a-z0-9@:/?#.%-]{0,20}(\\.amazonaws\\.com)?(\\.cn)?[/:@?#a-z.]{0,12}",
    ) {
        if is_amazons(&url) {
            let target = trunkline_connect::Target::parse(&url, &trunkline_connect::EgressPolicy::default());
            let target = target.ok();
            if let Some(target) = target {
                let host = target.host();
                prop_assert!(host.starts_with("sns.") && (host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn")));
                prop_assert_eq!(target.port(), 443);
            }
        }
    }
}
