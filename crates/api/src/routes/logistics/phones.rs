//! `/api/v1/drivers/{id}/owntracks` and `…/traccar`: positions as stock apps on phones send them. The formats are read by the crate
//! `logistics`; what is read goes the way of all positions.
//!
//! Such apps send a request again, and nothing else meanwhile, until it is answered well. What cannot be used is therefore
//! answered with 200 like the rest; only what no such app sends, or a token that does not work, is a failure.

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json};
use trunkline_logistics::operations::tracking::Taken;
use trunkline_logistics::tracking::Sample;
use trunkline_logistics::tracking::formats::{osmand, owntracks, traccar};
use trunkline_model::{ErrorCode, FieldError};
use url::form_urlencoded;

use super::fields::id_schema;
use super::positions::{Asker, PositionsTaken, sending_driver, take};
use crate::auth::{Permit, grants};
use crate::input::{Id, parse_json, read_bytes};
use crate::openapi::{Answer, Body, Components, Content, Operation};
use crate::problem::Problem;
use crate::routes::answers;
use crate::state::ApiState;

fn owntracks_body(_: &mut Components) -> Value {
    let about = "A message of OwnTracks; those whose `_type` is not `location` are passed over.";
    json!({ "application/json": { "schema": { "type": "object", "description": about } } })
}

fn no_messages(_: &mut Components) -> Value {
    json!({ "type": "array", "items": {}, "maxItems": 0 })
}

pub(super) fn operations() -> Vec<Operation> {
    use ErrorCode as C;
    let of_app = |operation: Operation| {
        operation.permit::<grants::TrackingWrite>().for_phone_apps().id_schema(id_schema()).problems(&[
            C::DriverNotFound,
            C::RequestMalformed,
            C::RequestTooLarge,
        ])
    };
    let answered =
        || Answer::json::<PositionsTaken>(200, "What became of the position; nothing when there was none.");
    let parameters = "Parameters in the query or in a form: `lat` and `lon`, or `location` with both; `timestamp` (seconds or milliseconds \
         since 1970, or a time), `speed` in knots, `bearing` or `heading`, `accuracy` and `altitude` in metres, `batt` in percent, \
         `valid`. Others, `id` among them, are passed over: whose position it is stands in the path. Unlike elsewhere, what cannot be \
         used is answered with 200.";
    vec![
        of_app(
            Operation::post("/api/v1/drivers/{id}/owntracks", "receiveOwnTracks", receive_owntracks)
                .about("logistics", "Takes a position as OwnTracks sends it in HTTP mode")
                .details("Unlike elsewhere, what cannot be used is answered with 200.")
                .body(Body::OneOf(owntracks_body))
                .answer(Answer {
                    status: 200,
                    about: "Nothing for the app.",
                    content: Content::Json(no_messages),
                    headers: &[],
                }),
        ),
        of_app(
            Operation::post("/api/v1/drivers/{id}/traccar", "receiveTraccar", receive_traccar)
                .about("logistics", "Takes a position as Traccar Client, OsmAnd and like apps send it")
                .details(parameters)
                .answer(answered()),
        ),
        of_app(
            Operation::get("/api/v1/drivers/{id}/traccar", "receiveTraccarQuery", receive_traccar)
                .about("logistics", "Takes a position from the query, as OsmAnd sends it")
                .details(parameters)
                .answer(answered()),
        ),
    ]
}

async fn receive_owntracks(
    permit: Permit<grants::TrackingWrite>,
    State(state): State<ApiState>,
    Id(id): Id,
    request: Request,
) -> Result<Response, Problem> {
    sending_driver(&state, Asker::of(&permit), &id).await?;
    let message = parse_json(&read_bytes(request, &()).await?)?;
    match owntracks::read(&message) {
        Ok(None) => {}
        Ok(Some(sample)) => {
            note(&take(&state, Asker::of(&permit), &id, &[sample]).await?);
        }
        Err(faults) => note(&[Taken::Refused(faults)]),
    }
    Ok(answers::json(StatusCode::OK, &json!([])))
}

async fn receive_traccar(
    permit: Permit<grants::TrackingWrite>,
    State(state): State<ApiState>,
    Id(id): Id,
    request: Request,
) -> Result<Response, Problem> {
    sending_driver(&state, Asker::of(&permit), &id).await?;
    let query = pairs(request.uri().query().unwrap_or_default().as_bytes());
    let body = read_bytes(request, &()).await?;
    let taken = match traccar_sample(&query, &body)? {
        None => Vec::new(),
        Some(Ok(sample)) => take(&state, Asker::of(&permit), &id, &[sample]).await?,
        Some(Err(faults)) => vec![Taken::Refused(faults)],
    };
    note(&taken);
    Ok(answers::json(StatusCode::OK, &PositionsTaken::of(&taken)))
}

type Pairs = Vec<(String, String)>;

fn pairs(text: &[u8]) -> Pairs {
    form_urlencoded::parse(text).into_owned().collect()
}

/// Reads the position of a request; `None` when it tells of none.
fn traccar_sample(query: &Pairs, body: &[u8]) -> Result<Option<Result<Sample, Vec<FieldError>>>, Problem> {
    if body.trim_ascii_start().starts_with(b"{") {
        return Ok(Some(traccar::read(&parse_json(body)?)));
    }
    let form = if query.is_empty() { pairs(body) } else { Pairs::new() };
    let all = || query.iter().chain(&form).map(|(name, value)| (name.as_str(), value.as_str()));
    Ok(osmand::is_position(all().map(|(name, _)| name)).then(|| osmand::read(all())))
}

/// Tells the operator of what an app is not told: why a position was not used, and not where it was.
fn note(taken: &[Taken]) {
    for faults in taken.iter().filter_map(|taken| match taken {
        Taken::Refused(faults) => Some(faults),
        _ => None,
    }) {
        let fields: Vec<&str> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
        tracing::debug!(?fields, "a position of a phone cannot be used");
    }
}
