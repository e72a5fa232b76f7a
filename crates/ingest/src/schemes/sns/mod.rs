//! The scheme `sns`: Amazon SNS over HTTPS, which also carries the events of SES.
//!
//! - Signed: chosen members of the message, RSA with SHA-1 (`SignatureVersion` 1) or SHA-256 (2), in base64 in the message
//!   itself. The key is that of the certificate at `SigningCertURL`, which must be a `.pem` at `sns.<region>.amazonaws.com`
//!   (or `.com.cn`), fetched through the guarded client and remembered ([`Certificates`]).
//! - Anybody can have Amazon sign messages of a topic of their own: only those of `topic_arns` are looked at.
//! - Handshake: a `SubscriptionConfirmation` is answered after its `SubscribeURL`, at a host pinned the same way, was fetched;
//!   it leaves no event.
//! - Replay: `Timestamp`, the time of publishing, within `tolerance_s` of now; an hour by default, as retries keep it.
//! - Event: `sns.notification`, `sns.unsubscribe_confirmation`. The data is the whole message; what was published is the text
//!   `Message` in it. Repeats: `MessageId`.
//! - Answer: 200 within 15 s; 3 retries, 20 s apart, unless the topic says otherwise.
//!
//! The content type says `text/plain` and is not looked at; headers are not signed and not either.
//!
//! Source: <https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html>; npm sns-validator 0.3.5. No
//! vectors are published with a key that still exists; those of the tests are made by OpenSSL.

use http::header::HeaderName;
use ring::signature::{
    RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256, RsaParameters,
    UnparsedPublicKey,
};
use serde::Deserialize;
use trunkline_model::Timestamp;

use super::naming::event_type;
use super::reading::{Reading, Receipt, Reply};
use super::window::Window;
use super::{Call, InvalidScheme, MAX_ID_LEN, Parts, Refusal, Scheme, Verified};

mod certificates;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use certificates::Certificates;
pub(crate) use certificates::is_amazons;

/// The longest signature that is looked at, in base64: one of an 8192-bit key.
const MAX_SIGNATURE_LEN: usize = 1368;

pub(super) struct Sns {
    topics: Box<[String]>,
    window: Window,
    certificates: Certificates,
}

impl Sns {
    pub(super) fn new(parts: &Parts<'_>) -> Result<Self, InvalidScheme> {
        if parts.settings.topic_arns.is_empty() {
            return Err(InvalidScheme::Setting { key: "topic_arns" });
        }
        Ok(Self {
            topics: parts.settings.topic_arns.clone().into(),
            window: Window::new(parts.tolerance),
            certificates: Certificates::default(),
        })
    }

    /// Reads what needs no key to be judged.
    fn plausible(&self, call: &Call<'_>) -> Result<Message, Refusal> {
        let message = Message::read(call.body).ok_or(Refusal::MalformedBody)?;
        let is_known = self.topics.contains(&message.topic_arn);
        if is_known && is_amazons(&message.signing_cert_url) { Ok(message) } else { Err(Refusal::Untrusted) }
    }
}

/// The members that are signed or needed to check the signature.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Message {
    r#type: String,
    #[serde(rename = "MessageId")]
    id: String,
    topic_arn: String,
    #[serde(rename = "Message")]
    text: String,
    timestamp: String,
    signature_version: String,
    signature: String,
    #[serde(rename = "SigningCertURL", alias = "SigningCertUrl")]
    signing_cert_url: String,
    subject: Option<String>,
    token: Option<String>,
    #[serde(rename = "SubscribeURL", alias = "SubscribeUrl")]
    subscribe_url: Option<String>,
}

/// In this case only, as Amazon writes it.
const CERTIFICATE_ENDING: &str = ".pem";

const NOTIFICATION: &str = "Notification";
const SUBSCRIPTION: &str = "SubscriptionConfirmation";
const UNSUBSCRIPTION: &str = "UnsubscribeConfirmation";

impl Message {
    fn read(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }

    /// The signed text; `None` for a type that nobody knows, or without its members.
    fn signed(&self) -> Option<String> {
        let (id, time, topic) = (&*self.id, &*self.timestamp, &*self.topic_arn);
        let mut members = vec![("Message", &*self.text), ("MessageId", id)];
        match &*self.r#type {
            NOTIFICATION => members.extend(self.subject.as_deref().map(|subject| ("Subject", subject))),
            SUBSCRIPTION | UNSUBSCRIPTION => {
                members.push(("SubscribeURL", self.subscribe_url.as_deref()?));
            }
            _ => return None,
        }
        members.push(("Timestamp", time));
        if self.r#type != NOTIFICATION {
            members.push(("Token", self.token.as_deref()?));
        }
        members.extend([("TopicArn", topic), ("Type", &*self.r#type)]);
        Some(members.into_iter().fold(String::new(), |text, (name, value)| text + name + "\n" + value + "\n"))
    }

    fn algorithm(&self) -> Option<&'static RsaParameters> {
        match &*self.signature_version {
            "1" => Some(&RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY),
            "2" => Some(&RSA_PKCS1_2048_8192_SHA256),
            _ => None,
        }
    }

    fn check_signature(&self, key: &[u8]) -> Result<(), Refusal> {
        let signed = self.signed().ok_or(Refusal::MalformedBody)?;
        let algorithm = self.algorithm().ok_or(Refusal::NoUsableSignature)?;
        let signature = Some(&*self.signature).filter(|text| text.len() <= MAX_SIGNATURE_LEN);
        let signature = signature.and_then(super::decode::base64_secret).ok_or(Refusal::NoUsableSignature)?;
        let key = UnparsedPublicKey::new(algorithm, key);
        key.verify(signed.as_bytes(), &signature).map_err(|_| Refusal::SignatureMismatch)
    }
}

impl Scheme for Sns {
    fn verify(&self, call: &Call<'_>) -> Result<Verified, Refusal> {
        let message = self.plausible(call)?;
        let claimed_at = Timestamp::parse_rfc3339(&message.timestamp).map_err(|_| Refusal::MalformedBody)?;
        self.window.check(claimed_at, call.now)?;
        let key =
            self.certificates.key(&message.signing_cert_url, call.now).ok_or(Refusal::NoUsableSignature)?;
        message.check_signature(&key)?;
        let is_usable = !message.id.is_empty() && message.id.len() <= MAX_ID_LEN;
        Ok(Verified { dedupe_key: is_usable.then_some(message.id), claimed_at: Some(claimed_at) })
    }

    fn credential_header(&self) -> Option<&HeaderName> {
        None
    }

    fn read(&self, call: &Call<'_>) -> Reading {
        let Some(message) = Message::read(call.body) else { return Reading::event(None, None, None) };
        if message.r#type == SUBSCRIPTION {
            return match message.subscribe_url.filter(|url| is_amazons(url)) {
                Some(url) => Reading::Handshake { reply: Reply::empty(), visit: Some(url) },
                // Signed by Amazon, yet leading elsewhere: nothing that should be followed.
                None => Reading::handshake(Reply::empty()),
            };
        }
        let name = if message.r#type == UNSUBSCRIPTION { "unsubscribe_confirmation" } else { "notification" };
        let time = Timestamp::parse_rfc3339(&message.timestamp).ok();
        Reading::event(event_type("sns", &[name]), None, time)
    }

    fn receipt(&self) -> Receipt {
        Receipt::Ok
    }

    fn certificates(&self) -> Option<&Certificates> {
        Some(&self.certificates)
    }

    fn wanted(&self, call: &Call<'_>) -> Option<String> {
        let message = self.plausible(call).ok()?;
        let claimed_at = Timestamp::parse_rfc3339(&message.timestamp).ok()?;
        self.window.check(claimed_at, call.now).ok()?;
        let url = message.signing_cert_url;
        let is_certificate =
            url.split(['?', '#']).next().is_some_and(|url| url.ends_with(CERTIFICATE_ENDING));
        (is_certificate && self.certificates.key(&url, call.now).is_none()).then_some(url)
    }
}
