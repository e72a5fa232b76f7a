//! What is sent of an event to an endpoint: headers with the signature, and the body. Called by the engine for each
//! attempt, and by the API to show the request of an attempt that was made.
//!
//! Nothing of a request is stored. It is made again from the event, which never changes, and from the endpoint, which may
//! have changed: [`was_sent_by`] says whether that can be told.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use trunkline_connect::Target;
use trunkline_model::{Event, Timestamp, mask};
use trunkline_store::tables::endpoint::EndpointRow;

use crate::endpoint::{Access, Endpoint, EndpointKind, EndpointSettings, Way};
use crate::sign;

/// For so long after a change of an endpoint another node may have used it as it was before.
const SPREAD: Duration = Duration::from_secs(5);

/// Headers and body of one attempt.
pub(crate) struct Composed {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Makes the headers of an attempt at `now`; `body` is what is sent.
pub(crate) fn compose(
    endpoint: &Endpoint,
    access: &Access,
    (event, body): (&Event, Bytes),
    now: Timestamp,
    user_agent: Option<&HeaderValue>,
) -> Composed {
    let (id, shown) = (sign::webhook_id(event), sign::presented(event));
    let message = sign::Message { id: &id, event_type: shown.event_type.as_str(), body: &body, now };
    let mut headers = access.headers.clone();
    headers.insert(header::CONTENT_TYPE, sign::content_type(endpoint.format));
    sign::sign(&mut headers, &message, endpoint.signature_format, &access.keys);
    if let Some(agent) = user_agent {
        headers.insert(header::USER_AGENT, agent.clone());
    }
    Composed { headers, body }
}

/// A request as it may be shown: credentials among the headers masked, signatures named by their form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownRequest {
    /// What the endpoint is.
    pub kind: EndpointKind,
    /// The method; only of a URL.
    pub method: Option<&'static str>,
    /// Where to.
    pub url: String,
    /// By lower-case name.
    pub headers: BTreeMap<String, String>,
    /// The body; `None` when it cannot be made.
    pub body: Option<Bytes>,
    /// Why there is no request, or no body.
    pub fault: Option<String>,
}

/// The request that an attempt at `now` makes of an event. Runs the endpoint's transformation: not for the runtime.
pub fn show(
    (row, endpoint): (&EndpointRow, &Endpoint),
    event: &Event,
    now: Timestamp,
    user_agent: Option<&HeaderValue>,
) -> ShownRequest {
    let mut shown = ShownRequest {
        kind: endpoint.kind,
        method: endpoint.kind.is_http().then_some("POST"),
        url: row.url.clone(),
        headers: BTreeMap::new(),
        body: None,
        fault: None,
    };
    let access = match &endpoint.access {
        Ok(access) => access,
        Err(fault) => {
            shown.fault = Some(fault.to_string());
            return shown;
        }
    };
    match endpoint.expressions.transformed(sign::body(event, endpoint.format)) {
        Ok(body) => {
            let composed = compose(endpoint, access, (event, body), now, user_agent);
            shown.headers = shown_headers(row, &composed.headers);
            if let Way::Http(way) = &access.way {
                shown.headers.extend(framing(&way.target, &composed.body));
                let token = way.tokens.as_ref().map(|_| ("authorization".to_owned(), mask::MASK.to_owned()));
                shown.headers.extend(token);
            }
            shown.body = Some(composed.body);
        }
        Err(fault) => shown.fault = Some(fault.to_string()),
    }
    shown
}

fn shown_headers(row: &EndpointRow, headers: &HeaderMap) -> BTreeMap<String, String> {
    let settings = serde_json::from_str::<EndpointSettings>(&row.settings).unwrap_or_default();
    let own = settings.headers.shown();
    let show = |(name, value): (&http::HeaderName, &HeaderValue)| {
        let text = String::from_utf8_lossy(value.as_bytes());
        let text = match own.get(name.as_str()) {
            Some(shown) => shown.clone(),
            None if name.as_str().ends_with("-signature") => sign::form(&text),
            None => text.into_owned(),
        };
        (name.as_str().to_owned(), text)
    };
    headers.iter().map(show).collect()
}

/// What the client adds over HTTP/1.1.
fn framing(target: &Target, body: &Bytes) -> [(String, String); 2] {
    let authority = target.uri().authority().map_or("", |authority| authority.as_str());
    [("host".to_owned(), authority.to_owned()), ("content-length".to_owned(), body.len().to_string())]
}

/// Whether an attempt begun at `started_at` used the endpoint as it is stored now.
pub fn was_sent_by(row: &EndpointRow, started_at: Timestamp) -> bool {
    row.version == 1 || row.updated_at.plus(SPREAD) <= started_at
}
