//! Documents that lie elsewhere: descriptions of services, schemas, scripts. Fetched like everything else, through the
//! guard and within bounds; kept for a while by their place, and read once for each content.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, header};
use parking_lot::Mutex;
use ring::digest;
use serde_json::Value;
use tokio::time::Instant;
use trunkline_connect::{OutboundRequest, Target};
use trunkline_model::Tenant;
use trunkline_packs::document::{parse_json, parse_yaml};

use super::Hidden;
use super::login::Login;
use super::world::{Caller, RealWorld, wrong};
use crate::dsl::error::StandardError;
use crate::engine::input::Failure;

/// The longest document, in bytes.
pub(crate) const MAX_DOCUMENT: usize = 4 << 20;
/// How long a document is used before it is asked for again.
const FRESH: Duration = Duration::from_mins(1);
/// How many documents are kept.
const KEPT: usize = 256;

/// Where a document lies.
#[derive(Debug, Clone)]
pub struct Resource {
    /// Its URL.
    pub url: String,
    /// As whom it is fetched.
    pub login: Option<Login>,
}

/// A document that was fetched.
pub(super) struct Document {
    /// Where it came from.
    pub(super) url: String,
    digest: [u8; 32],
    text: String,
    value: Option<Value>,
}

impl Document {
    #[cfg(test)]
    pub(super) fn for_tests(url: &str, value: Value) -> Self {
        Self { url: url.to_owned(), digest: [0; 32], text: value.to_string(), value: Some(value) }
    }

    /// Its text.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Its content, of JSON or YAML.
    pub(super) fn value(&self) -> Result<&Value, Failure> {
        self.value.as_ref().ok_or_else(|| wrong("the document is neither JSON nor YAML"))
    }
}

/// Whose a document is, and its URL.
type Place = (Tenant, String);

/// Documents by tenant and place.
#[derive(Default)]
pub(super) struct Documents {
    known: Mutex<HashMap<Place, (Instant, Arc<Document>)>>,
}

impl RealWorld {
    /// Gives a document, fetched where it is not fresh. What needs credentials is never kept.
    pub(super) async fn document(
        &self,
        tenant: &Tenant,
        hidden: &Hidden,
        resource: &Resource,
    ) -> Result<Arc<Document>, Failure> {
        let place = (tenant.clone(), resource.url.clone());
        let before = self.documents.known.lock().get(&place).cloned();
        if let Some((_, document)) = before.as_ref().filter(|(until, _)| Instant::now() < *until) {
            return Ok(Arc::clone(document));
        }
        let text = self.fetch(tenant, hidden, resource).await?;
        let digest = digest::digest(&digest::SHA256, text.as_bytes());
        let digest: [u8; 32] = digest.as_ref().try_into().expect("invariant: SHA-256 has 32 bytes");
        let document = match before {
            Some((_, document)) if document.digest == digest => document,
            _ => {
                let url = resource.url.clone();
                let read = move || {
                    let value = parsed(&text);
                    Arc::new(Document { url, digest, text, value })
                };
                let document = tokio::task::spawn_blocking(read).await;
                document.map_err(|_| wrong("the document cannot be read"))?
            }
        };
        if resource.login.is_none() {
            let mut known = self.documents.known.lock();
            if known.len() >= KEPT {
                known.clear();
            }
            known.insert(place, (Instant::now() + FRESH, Arc::clone(&document)));
        }
        Ok(document)
    }

    async fn fetch(&self, tenant: &Tenant, hidden: &Hidden, resource: &Resource) -> Result<String, Failure> {
        let target = Target::parse(&resource.url, self.options.egress.of(tenant))
            .map_err(|refused| wrong(format!("the document's address: {refused}")))?;
        let mut headers = HeaderMap::new();
        headers.insert(
            header::ACCEPT,
            HeaderValue::from_static("application/json, application/yaml, */*;q=0.5"),
        );
        let request = OutboundRequest {
            method: Method::GET,
            target,
            headers,
            body: bytes::Bytes::new(),
            timeout: self.options.timeout.min(Duration::from_secs(10)),
            response_limit_bytes: MAX_DOCUMENT,
        };
        let caller = Caller { tenant, login: resource.login.as_ref(), hidden };
        let answer = self.send(request, caller).await?;
        if answer.status.as_u16() != 200 {
            let detail = format!("the document cannot be had: status {}", answer.status.as_u16());
            return Err(
                Failure::standard(StandardError::Communication, detail).with_status(answer.status.as_u16())
            );
        }
        if answer.truncated {
            return Err(wrong(format!("the document is longer than {MAX_DOCUMENT} bytes")));
        }
        String::from_utf8(answer.body_head.to_vec()).map_err(|_| wrong("the document is no text"))
    }
}

/// The content of a text in JSON or YAML.
fn parsed(text: &str) -> Option<Value> {
    let node = if text.trim_start().starts_with(['{', '[']) {
        parse_json(text).or_else(|_| parse_yaml(text))
    } else {
        parse_yaml(text)
    };
    node.ok().map(|node| node.to_json())
}
