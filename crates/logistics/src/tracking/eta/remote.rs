//! Providers that are asked over HTTP, one question a way: OSRM's table service and Google's route matrix. They leave through the
//! guarded client of `connect`; answers are bounded and read without trust.
//!
//! Sources: <https://project-osrm.org/docs/v5.24.0/api/#table-service> and
//! <https://developers.google.com/maps/documentation/routes/reference/rest/v2/TopLevel/computeRouteMatrix>, read 2026-12-01.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Value, json};
use trunkline_connect::{EgressPolicy, OutboundRequest, Target, Transport};
use trunkline_model::{Secret, Timestamp};

use super::{EtaError, EtaFuture, EtaProvider, PROVIDER_TIMEOUT};
use crate::Position;

/// Where Google's matrix is.
const GOOGLE: &str = "https://routes.googleapis.com/distanceMatrix/v2:computeRouteMatrix";
/// The largest answer that is read; one way has a few hundred bytes.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// Who is asked.
#[derive(Debug, Clone)]
pub enum Service {
    /// An OSRM server.
    Osrm {
        /// Its address up to the profile: `https://osrm.example/table/v1/driving`.
        table_url: String,
    },
    /// Google's Routes API.
    Google {
        /// The key of the project.
        key: Secret,
    },
}

/// A provider that is asked over HTTP.
pub struct Remote {
    /// Who is asked.
    pub service: Service,
    /// Who sends.
    pub transport: Arc<dyn Transport>,
    /// Where to.
    pub policy: EgressPolicy,
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remote").field("service", &self.service).finish_non_exhaustive()
    }
}

fn unavailable(why: impl Into<String>) -> EtaError {
    EtaError::Unavailable(why.into())
}

impl Remote {
    fn request(&self, from: Position, to: Position) -> Result<OutboundRequest, EtaError> {
        let (method, url, headers, body) = match &self.service {
            Service::Osrm { table_url } => {
                (Method::GET, osrm_url(table_url, from, to), HeaderMap::new(), Bytes::new())
            }
            Service::Google { key } => {
                let mut secret =
                    HeaderValue::from_str(key.expose()).map_err(|_| unavailable("the key is no header"))?;
                secret.set_sensitive(true);
                let mut headers = HeaderMap::new();
                headers.insert("x-goog-api-key", secret);
                let fields =
                    HeaderValue::from_static("originIndex,destinationIndex,status,condition,duration");
                headers.insert("x-goog-fieldmask", fields);
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                (Method::POST, GOOGLE.to_owned(), headers, google_body(from, to).to_string().into())
            }
        };
        let target = Target::parse(&url, &self.policy).map_err(|error| unavailable(error.to_string()))?;
        Ok(OutboundRequest {
            method,
            target,
            headers,
            body,
            timeout: PROVIDER_TIMEOUT,
            response_limit_bytes: MAX_ANSWER_BYTES,
        })
    }

    async fn ask(&self, from: Position, to: Position) -> Result<Duration, EtaError> {
        let answer = self.transport.send(self.request(from, to)?).await;
        let answer = answer.map_err(|error| unavailable(error.to_string()))?;
        if !answer.status.is_success() {
            return Err(unavailable(format!("status {}", answer.status.as_u16())));
        }
        let value: Value =
            serde_json::from_slice(&answer.body_head).map_err(|_| unavailable("the answer is no JSON"))?;
        match &self.service {
            Service::Osrm { .. } => osrm_answer(&value),
            Service::Google { .. } => google_answer(&value),
        }
    }
}

impl EtaProvider for Remote {
    fn name(&self) -> &'static str {
        match self.service {
            Service::Osrm { .. } => "osrm",
            Service::Google { .. } => "google_routes",
        }
    }

    fn travel_time(&self, from: Position, to: Position, _: Timestamp) -> EtaFuture<'_> {
        Box::pin(self.ask(from, to))
    }
}

fn osrm_url(table_url: &str, from: Position, to: Position) -> String {
    let place = |position: Position| format!("{:.7},{:.7}", position.lon(), position.lat());
    let table_url = table_url.trim_end_matches('/');
    format!("{table_url}/{};{}?sources=0&destinations=1&annotations=duration", place(from), place(to))
}

fn seconds(seconds: f64) -> Result<Duration, EtaError> {
    Duration::try_from_secs_f64(seconds).map_err(|_| unavailable("the answer makes no sense"))
}

fn osrm_answer(answer: &Value) -> Result<Duration, EtaError> {
    if answer.get("code").and_then(Value::as_str) != Some("Ok") {
        return Err(unavailable("the answer is a refusal"));
    }
    match answer.pointer("/durations/0/0") {
        Some(Value::Null) => Err(EtaError::NoWay),
        Some(Value::Number(number)) => seconds(number.as_f64().unwrap_or(f64::NAN)),
        _ => Err(unavailable("the answer holds no duration")),
    }
}

fn google_body(from: Position, to: Position) -> Value {
    let place = |position: Position| {
        let at = json!({ "latitude": position.lat(), "longitude": position.lon() });
        json!([{ "waypoint": { "location": { "latLng": at } } }])
    };
    json!({
        "origins": place(from),
        "destinations": place(to),
        "travelMode": "DRIVE",
        "routingPreference": "TRAFFIC_AWARE",
    })
}

fn google_answer(answer: &Value) -> Result<Duration, EtaError> {
    let Some(element) = answer.get(0) else { return Err(unavailable("the answer holds no element")) };
    let code = element.pointer("/status/code").and_then(Value::as_i64).unwrap_or_default();
    if code != 0 {
        return Err(unavailable(format!("the element has the code {code}")));
    }
    if element.get("condition").and_then(Value::as_str) == Some("ROUTE_NOT_FOUND") {
        return Err(EtaError::NoWay);
    }
    let text = element.get("duration").and_then(Value::as_str).and_then(|text| text.strip_suffix('s'));
    let number = text.and_then(|text| text.parse().ok());
    number.map_or_else(|| Err(unavailable("the element holds no duration")), seconds)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn answers_of_osrm() {
        let check = |answer: Value, expected: Result<u64, ()>| {
            let read = osrm_answer(&answer).map(|takes| takes.as_secs()).map_err(drop);
            assert_eq!(read, expected, "{answer}");
        };
        check(json!({ "code": "Ok", "durations": [[192.6]], "sources": [], "destinations": [] }), Ok(192));
        check(json!({ "code": "Ok", "durations": [[null]] }), Err(()));
        check(json!({ "code": "InvalidQuery", "message": "…" }), Err(()));
        check(json!({ "code": "Ok", "durations": [[-5]] }), Err(()));
        check(json!({ "code": "Ok", "durations": [] }), Err(()));
        assert_eq!(osrm_answer(&json!({ "code": "Ok", "durations": [[null]] })), Err(EtaError::NoWay));
    }

    #[test]
    fn answers_of_google() {
        let element = json!({ "originIndex": 0, "destinationIndex": 0, "status": {}, "condition": "ROUTE_EXISTS",
            "duration": "160s" });
        assert_eq!(google_answer(&json!([element])), Ok(Duration::from_secs(160)));
        assert_eq!(google_answer(&json!([{ "condition": "ROUTE_NOT_FOUND" }])), Err(EtaError::NoWay));
        for bad in [
            json!([]),
            json!({}),
            json!([{ "duration": "x" }]),
            json!([{ "status": { "code": 3 }, "duration": "1s" }]),
        ] {
            assert!(matches!(google_answer(&bad), Err(EtaError::Unavailable(_))), "{bad}");
        }
    }

    #[test]
    fn questions_name_both_places() {
        let (from, to) =
            (Position::from_degrees(52.5, 13.4).unwrap(), Position::from_degrees(-1.25, 0.0).unwrap());
        let url = osrm_url("https://osrm.example/table/v1/driving/", from, to);
        let expected = "https://osrm.example/table/v1/driving/13.4000000,52.5000000;0.0000000,-1.2500000\
                        ?sources=0&destinations=1&annotations=duration";
        assert_eq!(url, expected);
        let body = google_body(from, to);
        assert_eq!(body.pointer("/origins/0/waypoint/location/latLng/latitude"), Some(&json!(52.5)));
    }

    proptest! {
        #[test]
        fn no_answer_panics(number in any::<f64>(), text in "\\PC{0,20}") {
            for value in [json!(number), json!(text), json!(format!("{number}s")), json!(null)] {
                let _ = osrm_answer(&json!({ "code": "Ok", "durations": [[value]] }));
                let _ = google_answer(&json!([{ "duration": value, "status": value }]));
                let _ = (osrm_answer(&value), google_answer(&value));
            }
        }
    }
}
