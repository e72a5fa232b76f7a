//! The demo's samples: webhook calls as external systems sign and send them.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use ring::hmac::{HMAC_SHA256, Key, sign};
use serde_json::Value;
use trunkline_connect::{HttpClient, OutboundRequest, Target};
use trunkline_model::{Clock as _, Secret, SystemClock};

use crate::client::{open_client, signature};

/// A source that signs by Standard Webhooks.
pub(super) const CLINIC: &str = "clinic-portal";
/// A source that signs in its own way.
pub(super) const BILLING: &str = "billing";
/// Header of the billing system's signature.
pub(super) const BILLING_SIGNATURE: &str = "x-billing-signature";
/// What stands before it.
pub(super) const BILLING_PREFIX: &str = "sha256=";
/// Header of the billing system's time.
pub(super) const BILLING_TIME: &str = "x-billing-time";

const TIMEOUT: Duration = Duration::from_secs(5);

/// A call, ready to be sent as often as wanted.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    source: &'static str,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
}

/// The hub's answer to a sample.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Value,
}

impl Answer {
    /// The id of the accepted request.
    pub(super) fn accepted(&self) -> anyhow::Result<&str> {
        anyhow::ensure!(self.status == 202, "answered {} instead of 202: {}", self.status, self.body);
        self.body["id"].as_str().context("the answer has no id")
    }

    /// That the call was refused as not verified.
    pub(super) fn refused(&self) -> anyhow::Result<()> {
        anyhow::ensure!(self.status == 401, "answered {} instead of 401: {}", self.status, self.body);
        Ok(())
    }
}

/// Signs and sends samples.
pub(super) struct Sender {
    http: HttpClient,
    url: String,
    standard: Secret,
    billing: Secret,
}

impl Sender {
    /// Sends to the hub at `url`.
    pub(super) fn new(url: &str, standard: Secret, billing: String) -> anyhow::Result<Self> {
        Ok(Self { http: open_client()?, url: url.to_owned(), standard, billing: Secret::new(billing) })
    }

    /// A call of the clinic portal, signed `age_s` seconds ago.
    pub(super) fn clinic(&self, id: &str, body: &str, age_s: i64) -> anyhow::Result<Sample> {
        clinic_signed_with(&self.standard, id, body, age_s)
    }

    /// A call of the billing system: HMAC-SHA256 in hexadecimal over time and body.
    pub(super) fn billing(&self, body: &str) -> Sample {
        let at = SystemClock.now().as_secs();
        let key = Key::new(HMAC_SHA256, self.billing.expose().as_bytes());
        let tag = sign(&key, format!("{at}.{body}").as_bytes());
        let headers = vec![
            (BILLING_TIME, at.to_string()),
            (BILLING_SIGNATURE, format!("{BILLING_PREFIX}{}", hex::encode(tag))),
        ];
        Sample { source: BILLING, headers, body: Bytes::copy_from_slice(body.as_bytes()) }
    }

    /// Sends a call.
    pub(super) async fn send(&self, sample: &Sample) -> anyhow::Result<Answer> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in &sample.headers {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value)?);
        }
        let request = OutboundRequest {
            method: Method::POST,
            target: Target::parse(&format!("{}/in/{}", self.url, sample.source), self.http.policy())?,
            headers,
            body: sample.body.clone(),
            timeout: TIMEOUT,
            response_limit_bytes: 64 * 1024,
        };
        let response = self.http.send(request).await?;
        let body = serde_json::from_slice(&response.body_head).unwrap_or(Value::Null);
        Ok(Answer { status: response.status.as_u16(), body })
    }
}

/// A call that claims to be the clinic portal's and is signed with a key of the forger's own.
pub(super) fn forged(id: &str, body: &str) -> anyhow::Result<Sample> {
    clinic_signed_with(&signature::fresh_secret()?, id, body, 0)
}

fn clinic_signed_with(secret: &Secret, id: &str, body: &str, age_s: i64) -> anyhow::Result<Sample> {
    let at = SystemClock.now().as_secs() - age_s;
    let headers = vec![
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", at.to_string()),
        ("webhook-signature", signature::header(secret, id, at, body.as_bytes())?),
    ];
    Ok(Sample { source: CLINIC, headers, body: Bytes::copy_from_slice(body.as_bytes()) })
}
