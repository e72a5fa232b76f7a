//! Messages signed by a certificate of the tests' own, made by OpenSSL and good for a hundred years.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::{Value, json};
use trunkline_config::{Provider, ProviderSettings};
use trunkline_model::Timestamp;

pub(crate) const CERTIFICATE: &[u8] = include_bytes!("fixtures/signer.pem");
const KEY: &[u8] = include_bytes!("fixtures/signer.key.der");

pub(crate) const CERTIFICATE_URL: &str =
    "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem";
pub(crate) const TOPIC: &str = "arn:aws:sns:eu-west-1:123456789012:orders";
/// 2026-12-01T04:05:00Z, five minutes after [`TIME`].
pub(crate) const AT: Timestamp = Timestamp::from_secs(1_796_097_900);
pub(super) const TIME: &str = "2026-12-01T04:00:00.000Z";

/// Made by `openssl dgst -sha1 -sign` over the signed text of [`notification`].
pub(super) const SHA1: &str = "bPjfan8JIYntoQe8GTqYbVUjuRUpRQrFvNX5hVT6Ju8R7/l9BOPUL5LEKOCLgpJ7SER2YxPklk/YlrXQNlkoZBVbiFQY6yxDTvT431/kvZZmv9WN93BdUJrbHQlVfBPVhyVTdD5MDDOOc8hkIjEj4WMd9rsYuEJyTtca791uQ0tehfPC8P0IOMencTIzmU2jO+qF9Ww9caajwpLHc2EPqWdEz/qUqZHsxZVzawOZCz9l5cpzVDkpGPftek5fT+IOog/RUlc+UdOESFJ2w0/OkYpytop2O0VuvCeSOfZkhJe49TH+AlApf20efneuCw4Fr4hfHadx66by2UEjKBsprw==";

pub(crate) fn settings() -> ProviderSettings {
    ProviderSettings { topic_arns: vec![TOPIC.to_owned()], ..ProviderSettings::new(Provider::Sns) }
}

pub(super) fn notification() -> Value {
    json!({
        "Type": "Notification", "MessageId": "m-1", "TopicArn": TOPIC, "Subject": "Hi",
        "Message": r#"{"eventType":"Bounce"}"#, "Timestamp": TIME, "SigningCertURL": CERTIFICATE_URL,
        "UnsubscribeURL": "https://sns.eu-west-1.amazonaws.com/?Action=Unsubscribe",
    })
}

pub(crate) fn confirmation(subscribe_url: &str) -> Value {
    json!({
        "Type": "SubscriptionConfirmation", "MessageId": "c-1", "TopicArn": TOPIC, "Token": "token",
        "Message": "You have chosen to subscribe", "Timestamp": TIME, "SigningCertURL": CERTIFICATE_URL,
        "SubscribeURL": subscribe_url,
    })
}

/// Signs a message by version 2, member by member in the documented order.
pub(crate) fn signed(mut message: Value) -> String {
    let names: &[&str] = match message["Type"].as_str() {
        Some("Notification") => &["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"],
        _ => &["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"],
    };
    let member = |name: &&str| message[*name].as_str().map(|value| format!("{name}\n{value}\n"));
    let text: String = names.iter().filter_map(member).collect();
    let pair = RsaKeyPair::from_pkcs8(KEY).unwrap();
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature).unwrap();
    message["SignatureVersion"] = "2".into();
    message["Signature"] = STANDARD.encode(signature).into();
    message.to_string()
}

pub(crate) fn signed_notification() -> String {
    signed(notification())
}
