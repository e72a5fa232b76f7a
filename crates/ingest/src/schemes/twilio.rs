//! The scheme `twilio`: messages and status callbacks of Twilio.
//!
//! - Signed: the URL as Twilio calls it (hence `public_url`; the query is the request's), then for a form every parameter by
//!   name, name and value one after the other, in base64 in `X-Twilio-Signature`: HMAC-SHA1 keyed by the Auth Token, or
//!   HMAC-SHA256 where `X-Twilio-Webhooks-Signature-Settings` says so. A body that is no form is covered by its SHA-256 in
//!   the query, `bodySHA256`. Twilio writes the scheme's own port or does not; both count. No time is signed.
//! - Event: `twilio.message.<status>`, such as `twilio.message.received` and `twilio.message.delivered`,
//!   `twilio.call.<status>`, with the form as JSON.
//! - Repeats: by the message's or call's id and its status.
//! - Answer: 200 with an empty TwiML document, which sends no reply.
//!
//! A `public_url` without a path stands for the hub itself, and the request's path is added.
//!
//! Source: twilio/twilio-python 9.13.0 `request_validator.py`; vectors of its `tests/unit/test_request_validator.py`.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use http::header::HeaderName;
use ring::digest::{SHA256, digest};
use ring::hmac::{HMAC_SHA1_FOR_LEGACY_USE_ONLY, HMAC_SHA256};
use subtle::ConstantTimeEq as _;

use super::decode::Candidate;
use super::digest::key_of;
use super::form;
use super::keys::MacKeys;
use super::naming::{event_type, json, text};
use super::reading::{Content, Named, Reading, Receipt};
use super::signature::text_keys;
use super::{Call, InvalidScheme, Parts, Refusal, Scheme, Verified, header_text, required};

const SIGNATURE: HeaderName = HeaderName::from_static("x-twilio-signature");
const SETTINGS: HeaderName = HeaderName::from_static("x-twilio-webhooks-signature-settings");

pub(super) struct Twilio {
    url: PublicUrl,
    sha1: MacKeys,
    sha256: MacKeys,
}

/// The configured URL in both of Twilio's spellings.
struct PublicUrl {
    with_port: String,
    without_port: String,
    /// Whether the request's path has to be added.
    is_base: bool,
}

impl PublicUrl {
    fn new(text: &str) -> Self {
        let (scheme, rest) = text.split_once("://").unwrap_or(("https", text));
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let own_port = if scheme == "http" { 80 } else { 443 };
        // A colon inside brackets belongs to an address.
        let port_at = authority.rfind(':').filter(|at| !authority[*at..].contains(']'));
        let host = port_at.map_or(authority, |at| &authority[..at]);
        let with_port = if port_at.is_some() { authority.to_owned() } else { format!("{host}:{own_port}") };
        let is_base = matches!(path, "" | "/");
        let path = if is_base { "" } else { path };
        Self {
            with_port: format!("{scheme}://{with_port}{path}"),
            without_port: format!("{scheme}://{host}{path}"),
            is_base,
        }
    }
}

impl Twilio {
    pub(super) fn new(parts: &Parts<'_>) -> Result<Self, InvalidScheme> {
        let url = parts.settings.public_url.as_deref().ok_or(InvalidScheme::Setting { key: "public_url" })?;
        Ok(Self {
            url: PublicUrl::new(url),
            sha1: text_keys(HMAC_SHA1_FOR_LEGACY_USE_ONLY, parts.secrets)?,
            sha256: text_keys(HMAC_SHA256, parts.secrets)?,
        })
    }

    /// The keys of the algorithm that the call names.
    fn keys(&self, call: &Call<'_>) -> Result<&MacKeys, Refusal> {
        let settings = header_text(call.headers, &SETTINGS).unwrap_or("");
        let algorithm = settings.split(',').find_map(|part| part.trim().strip_prefix("algorithm="));
        match algorithm.unwrap_or("").trim() {
            "" => Ok(&self.sha1),
            name if name.eq_ignore_ascii_case("HMAC_SHA1") => Ok(&self.sha1),
            name if name.eq_ignore_ascii_case("HMAC_SHA256") => Ok(&self.sha256),
            _ => Err(Refusal::NoUsableSignature),
        }
    }
}

/// What is signed of a form: names and values, without repeats, in order.
fn parameters(body: &[u8]) -> Vec<u8> {
    let mut fields: BTreeMap<Cow<'_, str>, BTreeSet<Cow<'_, str>>> = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(body) {
        fields.entry(name).or_default().insert(value);
    }
    let pairs = fields.iter().flat_map(|(name, values)| values.iter().map(move |value| (name, value)));
    pairs.fold(Vec::with_capacity(body.len()), |mut all, (name, value)| {
        all.extend_from_slice(name.as_bytes());
        all.extend_from_slice(value.as_bytes());
        all
    })
}

/// Holds the body against the digest that the signed URL names.
fn check_body(call: &Call<'_>) -> Result<(), Refusal> {
    if call.body.is_empty() {
        return Ok(());
    }
    let named =
        form::field(call.query.unwrap_or("").as_bytes(), "bodySHA256").ok_or(Refusal::BodyMismatch)?;
    let named = Candidate::from_hex(named.as_bytes()).ok_or(Refusal::BodyMismatch)?;
    let is_same: bool = named.as_bytes().ct_eq(digest(&SHA256, call.body).as_ref()).into();
    if is_same { Ok(()) } else { Err(Refusal::BodyMismatch) }
}

impl Scheme for Twilio {
    fn verify(&self, call: &Call<'_>) -> Result<Verified, Refusal> {
        let signature = required(call.headers, &SIGNATURE)?;
        let keys = self.keys(call)?;
        let is_form = form::is_form(call.headers);
        let parameters = if is_form { parameters(call.body) } else { Vec::new() };
        if Candidate::from_base64(signature).is_none() {
            return Err(Refusal::MalformedHeader(SIGNATURE));
        }
        let path = if self.url.is_base { call.path } else { "" };
        let query = call.query.map_or(["", ""], |query| ["?", query]);
        let is_signed = [&self.url.without_port, &self.url.with_port].into_iter().any(|url| {
            let signed =
                [url.as_bytes(), path.as_bytes(), query[0].as_bytes(), query[1].as_bytes(), &parameters];
            keys.verify(
                |context| signed.iter().for_each(|part| context.update(part)),
                || Candidate::from_base64(signature).into_iter(),
            )
        });
        if !is_signed {
            return Err(Refusal::SignatureMismatch);
        }
        if !is_form {
            check_body(call)?;
        }
        Ok(Verified::default())
    }

    fn credential_header(&self) -> Option<&HeaderName> {
        None
    }

    fn read(&self, call: &Call<'_>) -> Reading {
        let is_form = form::is_form(call.headers) || call.body.is_empty();
        let data = is_form.then(|| form::to_json(call.body));
        let body = json(data.as_deref().unwrap_or(call.body));
        let first = |names: &[&'static str]| {
            names.iter().find_map(|name| body.get(*name)?.as_str().filter(|text| !text.is_empty()))
        };
        let (what, id, status) = match (first(&["MessageSid", "SmsSid"]), first(&["CallSid"])) {
            (Some(id), _) => ("message", Some(id), first(&["MessageStatus", "SmsStatus"])),
            (None, Some(id)) => ("call", Some(id), first(&["CallStatus"])),
            (None, None) => ("", None, None),
        };
        let dedupe_key = id.zip(status).map(|(id, status)| {
            // A call's status comes again with what was said or pressed meanwhile.
            let more = if what == "call" { call.body } else { &[] };
            key_of(&[id.as_bytes(), status.as_bytes(), more])
        });
        let name = event_type("twilio", &[what, status.unwrap_or("")]);
        let name = name.or_else(|| event_type("twilio", &[text(&body, "/type").unwrap_or("")]));
        let content = data.map_or(Content::Body, Content::Made);
        Reading::Event(Box::new(Named { event_type: name, dedupe_key, time: None, content }))
    }

    fn receipt(&self) -> Receipt {
        Receipt::TwiMl
    }
}

#[cfg(test)]
mod tests {
    use trunkline_config::{Provider, ProviderSettings};

    use super::*;
    use crate::schemes::testing::{Sent, made, scheme};

    const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
    const CALLER: &str =
        "CallSid=CA1234567890ABCDE&Digits=1234&From=%2B14158675309&To=%2B18005551212&Caller=%2B14158675309";

    fn at(url: &str) -> Box<dyn Scheme> {
        let public_url = Some(url.to_owned());
        scheme(
            ProviderSettings { public_url, ..ProviderSettings::new(Provider::Twilio) },
            &["other", "12345"],
        )
    }

    fn sent(signature: &str, body: &str) -> Sent {
        Sent::post(&[("x-twilio-signature", signature), FORM], body).query("foo=1&bar=2")
    }

    #[test]
    fn the_published_vectors_verify() {
        let twilio = at("https://mycompany.com/myapp.php");
        sent("RSOYDt4T1cUTdK1PDd93/VVr8B8=", CALLER).check(&*twilio, Ok(()));
        let twice = "Sid=CA123&SidAccount=AC123&Digits=5678&Digits=1234&Digits=1234";
        sent("IK+Dwps556ElfBT0I3Rgjkr1wJU=", twice).check(&*twilio, Ok(()));
        sent("RSOYDt4T1cUTdK1PDd93/VVr8B8=", twice).check(&*twilio, Err(Refusal::SignatureMismatch));
        sent("RSOYDt4T1cUTdK1PDd93/VVr8B8=", CALLER)
            .query("foo=1")
            .check(&*twilio, Err(Refusal::SignatureMismatch));
        sent("%", CALLER).check(&*twilio, Err(Refusal::MalformedHeader(SIGNATURE)));
    }

    #[test]
    fn ports_count_with_and_without() {
        // The vectors of the library's tests on ports.
        let check = |url: &str, signature: &str| sent(signature, CALLER).check(&*at(url), Ok(()));
        check("https://mycompany.com/myapp.php", "kvajT1Ptam85bY51eRf/AJRuM3w=");
        check("https://mycompany.com:443/myapp.php", "kvajT1Ptam85bY51eRf/AJRuM3w=");
        check("https://mycompany.com:443/myapp.php", "RSOYDt4T1cUTdK1PDd93/VVr8B8=");
        check("http://mycompany.com/myapp.php", "0ZXoZLH/DfblKGATFgpif+LLRf4=");
        check("http://mycompany.com:1234/myapp.php", "Zmvh+3yNM1Phv2jhDCwEM3q5ebU=");
    }

    #[test]
    fn a_body_that_is_no_form_is_covered_by_its_digest() {
        let twilio = at("https://mycompany.com/myapp.php");
        let query = "foo=1&bar=2&bodySHA256=0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620";
        let signature = ("x-twilio-signature", "a9nBmqA0ju/hNViExpshrM61xv4=");
        let sent = |body: &str| Sent::post(&[signature], body).query(query);
        sent(r#"{"property": "value", "boolean": true}"#).check(&*twilio, Ok(()));
        sent(r#"{"property": "value", "boolean": false}"#).check(&*twilio, Err(Refusal::BodyMismatch));
        let bare = Sent::post(&[signature], "{}").query("foo=1&bar=2");
        bare.check(&*twilio, Err(Refusal::SignatureMismatch));
    }

    #[test]
    fn newer_signatures_name_their_algorithm() {
        let twilio = at("https://mycompany.com/myapp.php");
        let with = |settings: &str| {
            let mut sent = sent("033hgUJA9M/hXIZsYjwkerEP/DBm35nEri5FhCYjA5s=", CALLER);
            sent.headers.insert(SETTINGS, settings.parse().unwrap());
            sent
        };
        with("key=webhooks_sharedkey_1,algorithm=HMAC_SHA256").check(&*twilio, Ok(()));
        with("key=webhooks_sharedkey_1").check(&*twilio, Err(Refusal::SignatureMismatch));
        with("algorithm=HMAC_MD5").check(&*twilio, Err(Refusal::NoUsableSignature));
    }

    #[test]
    fn a_url_without_a_path_takes_the_requests() {
        let signed = "https://hub.example.com/in/source?a=1b2";
        let key = ring::hmac::Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, b"12345");
        let mac = base64::Engine::encode(
            &base64::engine::general_purpose::STANDARD,
            ring::hmac::sign(&key, signed.as_bytes()),
        );
        for url in ["https://hub.example.com", "https://hub.example.com/", "https://hub.example.com:443"] {
            sent(&mac, "b=2").query("a=1").check(&*at(url), Ok(()));
        }
        sent(&mac, "b=2")
            .query("a=1")
            .check(&*at("https://hub.example.com/sms"), Err(Refusal::SignatureMismatch));
    }

    #[test]
    fn forms_are_named_by_id_and_status() {
        let twilio = at("https://mycompany.com/myapp.php");
        let named = |body: &str| Sent::post(&[FORM], body).named(&*twilio);
        let received = named("MessageSid=SM1&SmsStatus=received&Body=hi");
        assert_eq!(received.event_type.as_ref().unwrap().as_str(), "twilio.message.received");
        assert_eq!(received.dedupe_key, Some(key_of(&[b"SM1", b"received", b""])));
        assert_eq!(made(&received), r#"{"Body":"hi","MessageSid":"SM1","SmsStatus":"received"}"#);
        assert_ne!(received.dedupe_key, named("MessageSid=SM1&MessageStatus=delivered").dedupe_key);
        assert_eq!(
            named("CallSid=CA1&CallStatus=in-progress").event_type.unwrap().as_str(),
            "twilio.call.in-progress"
        );
        assert_eq!(named("x=1").event_type, None);
    }
}
