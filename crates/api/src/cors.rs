//! Cross-origin requests: which pages' scripts may read answers. The outermost layer; without origins in the configuration
//! there is none, and browsers keep answers from every foreign page.
//!
//! Origins are exact; there is no wildcard, and credentials are never allowed: a token is sent by the script, not by the
//! browser. A preflight is answered here, without a token, since browsers send none with it. An origin that is not listed
//! gets answers without the header that lets its scripts read them.

use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_TYPE, ETAG, HeaderName, IF_MATCH, LOCATION, ORIGIN, RETRY_AFTER};
use http::{HeaderValue, Method};
use tower_http::cors::{AllowOrigin, CorsLayer};

/// How long browsers remember a preflight: two hours, the most that all of them take.
const MAX_AGE: Duration = Duration::from_hours(2);

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The origins whose scripts may read answers, such as `https://portal.example`.
#[derive(Debug, Clone, Default)]
pub struct CorsOrigins(Vec<HeaderValue>);

impl CorsOrigins {
    /// Takes origins as browsers write them; what no browser sends is left out, and so is a wildcard.
    pub fn new<'a>(origins: impl IntoIterator<Item = &'a str>) -> Self {
        let exact = origins.into_iter().filter(|origin| *origin != "*");
        Self(exact.filter_map(|origin| HeaderValue::from_str(origin).ok()).collect())
    }

    /// Answers preflights, and lets scripts of the origins read the other answers. `None` without origins.
    pub(crate) fn layer(&self) -> Option<CorsLayer> {
        if self.0.is_empty() {
            return None;
        }
        let asked = [
            AUTHORIZATION,
            CONTENT_TYPE,
            IF_MATCH,
            HeaderName::from_static("idempotency-key"),
            HeaderName::from_static("last-event-id"),
            REQUEST_ID,
        ];
        let answered =
            [ETAG, LOCATION, RETRY_AFTER, REQUEST_ID, HeaderName::from_static("idempotency-replayed")];
        let layer = CorsLayer::new()
            .allow_origin(AllowOrigin::list(self.0.iter().cloned()))
            .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
            .allow_headers(asked)
            .expose_headers(answered)
            .vary([ORIGIN])
            .max_age(MAX_AGE);
        Some(layer)
    }
}
