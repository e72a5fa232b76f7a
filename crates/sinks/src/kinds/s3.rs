//! S3-compatible object stores: one object per event, `PUT` with a SigV4 presigned URL.
//!
//! **Settings**:
//!
//! | field | meaning | default |
//! |---|---|---|
//! | `endpoint` | base URL of the service, `https://s3.eu-west-1.amazonaws.com` | required |
//! | `region` | what requests are signed for | `us-east-1` |
//! | `bucket` | the bucket, which must exist | required |
//! | `path_style` | `endpoint/bucket/key` instead of `bucket.endpoint/key` | true |
//! | `key` | object key, a template that contains `{id}` | `{tenant}/{date}/{type}/{id}.json` |
//! | `access_key_id`, `secret_access_key`, `session_token` | credentials; the token is for temporary ones | the first two required |
//! | `only_new` | send `If-None-Match: *`, so that an object is written once; services must support it | false |
//! | `checksum` | send `x-amz-checksum-sha256`, so that the body is signed too; services must support it or ignore it | true |
//!
//! **Repeats**: the object key. A repeat overwrites the object with the same bytes; with `only_new` the service answers 412,
//! which counts as delivered.
//!
//! Every request is signed for five minutes. It goes through [`Transport`], which vets addresses and follows no redirect. The
//! signature stands in the query, which no error text and no `Debug` of that crate shows.
//!
//! **Source**: AWS SigV4 query authentication, `PutObject` (docs.aws.amazon.com/AmazonS3/latest/API).

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use ring::digest;
use rusty_s3::{Bucket, Credentials, S3Action as _, UrlStyle};
use serde_json::{Value, json};
use tokio::time::Instant;
use trunkline_connect::{
    BoxFuture, EgressPolicy, OutboundRequest, OutboundResponse, SendError, Target, Transport,
};
use trunkline_model::{Clock, Secret, mask};
use url::Url;

use super::{Kind, Reach};
use crate::SinkError;
use crate::error::broker_text;
use crate::factory::Tools;
use crate::message::{SinkMessage, SinkReceipt};
use crate::network::Place;
use crate::settings::{Deliver, Fields, KindSettings, Parsed, Template};

pub(super) const KIND: Kind =
    Kind { name: "s3", secrets: &["secret_access_key", "session_token"], reach: Reach::Network, parse };

/// How long a signature is good, for clocks that disagree and slow uploads.
const SIGNED_FOR: Duration = Duration::from_mins(5);
/// How much of an answer is read: the error's code stands at its beginning.
const MAX_ANSWER_BYTES: usize = 8 * 1024;
const MAX_KEY_BYTES: usize = 1024;

fn parse(mut fields: Fields<'_>) -> Parsed {
    let endpoint = parse_endpoint(&mut fields);
    let region = fields.text("region").unwrap_or_else(|| "us-east-1".to_owned());
    let bucket = fields.required_text("bucket");
    for (name, text) in [("region", &region), ("bucket", &bucket)] {
        if !text.is_empty() && !is_name(text) {
            fields.fault(
                name,
                "invalid",
                "must be letters, digits, . _ and -, and start with a letter or digit",
            );
        }
    }
    let path_style = fields.flag("path_style", true);
    let key = fields.template("key", "{tenant}/{date}/{type}/{id}.json", check_key);
    fields.require_id("key", &key);
    let access_key_id = fields.required_text("access_key_id");
    let secret_access_key = fields.required_secret("secret_access_key");
    let session_token = fields.secret("session_token");
    let only_new = fields.flag("only_new", false);
    let checksum = fields.flag("checksum", true);
    let style = if path_style { UrlStyle::Path } else { UrlStyle::VirtualHost };
    let Some(endpoint) = endpoint else { return Err(fields.into_faults()) };
    let Ok(bucket) = Bucket::new(endpoint.clone(), style, bucket, region) else {
        fields.fault("bucket", "invalid", "does not fit into a host name; set path_style to true");
        return Err(fields.into_faults());
    };
    fields.finish(S3Settings {
        endpoint,
        bucket,
        path_style,
        key,
        access_key_id,
        secret_access_key,
        session_token,
        only_new,
        checksum,
    })
}

fn is_name(text: &str) -> bool {
    let is_inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.bytes().all(is_inner)
}

fn parse_endpoint(fields: &mut Fields<'_>) -> Option<Url> {
    let text = fields.required_text("endpoint");
    if text.is_empty() {
        return None;
    }
    let url = Url::parse(&text).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    });
    if url.is_none() {
        fields.fault("endpoint", "invalid", "must be an http or https URL without user, query and fragment");
    }
    url
}

/// Keys that a URL cannot carry as they are would land elsewhere.
fn check_key(key: &str) -> Result<(), String> {
    if key.len() > MAX_KEY_BYTES {
        return Err(format!("object key is longer than {MAX_KEY_BYTES} bytes"));
    }
    if key.split('/').any(|step| matches!(step, "" | "." | "..")) {
        return Err("object key must not have empty steps, . or ..".to_owned());
    }
    if key.contains('\\') {
        return Err("object key must not contain backslashes".to_owned());
    }
    Ok(())
}

#[derive(Clone)]
struct S3Settings {
    endpoint: Url,
    bucket: Bucket,
    path_style: bool,
    key: Template,
    access_key_id: String,
    secret_access_key: Secret,
    session_token: Option<Secret>,
    only_new: bool,
    checksum: bool,
}

impl KindSettings for S3Settings {
    fn masked(&self) -> Value {
        json!({
            "endpoint": self.endpoint.as_str(),
            "region": self.bucket.region(),
            "bucket": self.bucket.name(),
            "path_style": self.path_style,
            "key": self.key.as_str(),
            "access_key_id": self.access_key_id,
            "secret_access_key": mask::MASK,
            "session_token": self.session_token.as_ref().map(|_| mask::MASK),
            "only_new": self.only_new,
            "checksum": self.checksum,
        })
    }

    fn place(&self) -> Option<Place> {
        let url = self.bucket.base_url();
        let host = url.host_str()?;
        let host = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host).to_owned();
        Some(Place { host, port: url.port_or_known_default()? })
    }

    fn open(&self, tools: &Tools) -> Arc<dyn Deliver> {
        Arc::new(S3Sink {
            settings: self.clone(),
            egress: tools.egress.clone(),
            transport: Arc::clone(&tools.transport),
            clock: Arc::clone(&tools.clock),
        })
    }
}

impl S3Settings {
    fn credentials(&self) -> Credentials {
        let (key, secret) = (&self.access_key_id, self.secret_access_key.expose());
        match &self.session_token {
            Some(token) => Credentials::new_with_token(key, secret, token.expose()),
            None => Credentials::new(key, secret),
        }
    }

    /// The headers that are signed, sorted by name as the signature wants them.
    fn headers(&self, message: &SinkMessage) -> Vec<(&'static str, String)> {
        let mut headers = vec![(header::CONTENT_TYPE.as_str(), message.content_type_text().to_owned())];
        if self.only_new {
            headers.push((header::IF_NONE_MATCH.as_str(), "*".to_owned()));
        }
        if self.checksum {
            let sum = digest::digest(&digest::SHA256, &message.body);
            headers.push(("x-amz-checksum-sha256", BASE64.encode(sum)));
        }
        headers
    }

    fn failure(&self, response: &OutboundResponse, size_bytes: usize) -> SinkError {
        let status = response.status;
        let body = String::from_utf8_lossy(&response.body_head);
        let code = error_code(&body).map(|code| broker_text(code, &[&self.secret_access_key]));
        let said = match &code {
            Some(code) => format!("the object store answered {} {code}", status.as_u16()),
            None => format!("the object store answered with status {}", status.as_u16()),
        };
        match (status, code.as_deref()) {
            (StatusCode::PAYLOAD_TOO_LARGE, _) | (_, Some("EntityTooLarge")) => {
                SinkError::TooLarge { size_bytes, limit_bytes: None }
            }
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _)
            | (_, Some("InvalidAccessKeyId" | "SignatureDoesNotMatch" | "ExpiredToken" | "InvalidToken")) => {
                SinkError::Auth(said)
            }
            (_, Some("KeyTooLongError" | "InvalidBucketName" | "InvalidURI")) => SinkError::never(said),
            (status, _) if status.is_redirection() => SinkError::refused(format!(
                "{said}: the bucket lives under another endpoint or region, and redirects are not followed"
            )),
            _ => SinkError::refused(said),
        }
    }
}

/// The `Code` of an error document. The rest of it repeats what was signed and is not kept.
fn error_code(body: &str) -> Option<&str> {
    let (_, rest) = body.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    let is_code = (1..=64).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_alphanumeric());
    is_code.then_some(code)
}

struct S3Sink {
    settings: S3Settings,
    egress: EgressPolicy,
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
}

impl S3Sink {
    async fn put(&self, message: &SinkMessage, deadline: Instant) -> Result<SinkReceipt, SinkError> {
        let key = self.settings.key.render(message);
        check_key(&key).map_err(SinkError::never)?;
        let request = self.request(&key, message, deadline)?;
        let response = self.transport.send(request).await?;
        match response.status {
            status if status.is_success() => {
                let etag = response.headers.get(header::ETAG).and_then(|etag| etag.to_str().ok());
                let etag = etag.map(|etag| format!(" etag {}", broker_text(etag, &[])));
                Ok(SinkReceipt::new(format!("{key}{}", etag.unwrap_or_default())))
            }
            StatusCode::PRECONDITION_FAILED if self.settings.only_new => {
                Ok(SinkReceipt::new(format!("{key} was there already")))
            }
            _ => Err(self.settings.failure(&response, message.body.len())),
        }
    }

    fn request(
        &self,
        key: &str,
        message: &SinkMessage,
        deadline: Instant,
    ) -> Result<OutboundRequest, SinkError> {
        let headers = self.settings.headers(message);
        let credentials = self.settings.credentials();
        let mut action = self.settings.bucket.put_object(Some(&credentials), key);
        for (name, value) in &headers {
            action.headers_mut().insert(*name, value);
        }
        let now = jiff::Timestamp::from_microsecond(self.clock.now().as_micros());
        let url = action.sign_with_time(SIGNED_FOR, &now.map_err(|_| SinkError::Internal)?);
        let target = Target::from_url(&url, &self.egress).map_err(SendError::Refused)?;
        let mut map = HeaderMap::with_capacity(headers.len());
        for (name, value) in &headers {
            let value = HeaderValue::from_str(value).map_err(|_| SinkError::Internal)?;
            map.insert(*name, value);
        }
        Ok(OutboundRequest {
            method: Method::PUT,
            target,
            headers: map,
            body: message.body.clone(),
            timeout: deadline.saturating_duration_since(Instant::now()),
            response_limit_bytes: MAX_ANSWER_BYTES,
        })
    }
}

impl Deliver for S3Sink {
    fn deliver<'a>(
        &'a self,
        message: &'a SinkMessage,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<SinkReceipt, SinkError>> {
        Box::pin(self.put(message, deadline))
    }
}
