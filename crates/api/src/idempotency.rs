//! `Idempotency-Key`: a POST sent twice under one key is done once.
//!
//! The first request claims the key; its answer is kept with it when it succeeded (below 400), and repeats get that
//! answer with `idempotency-replayed: true`. A failed request frees its key, so that the mended one may use it. The key
//! belongs to the tenant; method, path, query and body must be the same.
//!
//! - A request that never finished (the hub was killed) holds its key for [`ABANDONED_AFTER`]; then the next one takes it
//!   over and is done. Its effect may then happen twice: the answer and the effect are two commits.
//! - A caller that hangs up does not stop the work: it runs on in a task of its own, and the answer is kept.
//! - Answers that show a secret carry an [`Unsecret`]: that body is kept in place of the real one, so no secret is
//!   stored in clear, and a repeat shows everything but the secret.
//!
//! Requests without the header never come here. The journal's retention forgets old keys.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use ring::digest::{Context, SHA256};
use trunkline_model::{ErrorCode, FieldError, Tenant, Timestamp};
use trunkline_store::tables::idempotency::{
    IdempotencyRow, StoredAnswer, idempotency_claim, idempotency_finish, idempotency_get,
    idempotency_release, idempotency_take_over,
};
use trunkline_store::{Commit, CommitError, Statement};

use crate::input::read_bytes;
use crate::problem::Problem;
use crate::state::ApiState;

/// When an unfinished request no longer holds its key. Above any request's time limit.
const ABANDONED_AFTER: Duration = Duration::from_mins(2);
/// The longest key in characters.
pub(crate) const MAX_KEY_LEN: usize = 255;
/// Headers of an answer that are kept with it.
const KEPT_HEADERS: [HeaderName; 3] =
    [http::header::CONTENT_TYPE, http::header::LOCATION, http::header::ETAG];

/// The header's name.
pub(crate) static HEADER: HeaderName = HeaderName::from_static("idempotency-key");
static REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Put into an answer's extensions: the body to keep in place of one that shows a secret.
#[derive(Debug, Clone)]
pub(crate) struct Unsecret(pub(crate) Bytes);

/// The key of a request, if it has one.
pub(crate) fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(&HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value
        .to_str()
        .ok()
        .filter(|text| (1..=MAX_KEY_LEN).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()));
    match (text, values.next()) {
        (Some(text), None) => Ok(Some(text.to_owned())),
        _ => Err(Problem::invalid(vec![FieldError::new(
            "header:idempotency-key",
            "invalid",
            "must be there once, with 1 to 255 visible ASCII characters",
        )])),
    }
}

/// Runs a request under its key, or answers with what is kept.
pub(crate) async fn run(
    state: &ApiState,
    tenant: Tenant,
    key: String,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let body = {
        let mut reader = Request::new(body);
        // The route's body limit travels in the extensions.
        *reader.extensions_mut() = parts.extensions.clone();
        read_bytes(reader, &()).await?
    };
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    let fingerprint = fingerprint(parts.method.as_str(), target, &body);
    let claim = Claim { state: state.clone(), tenant, key };
    if let Some(answer) = claim.take(&fingerprint).await? {
        return Ok(replay(answer));
    }
    let request = Request::from_parts(parts, Body::from(body));
    let work = tokio::spawn(async move {
        let response = next.run(request).await;
        claim.settle(response).await
    });
    work.await.map_err(|error| Problem::new(ErrorCode::ServerInternal).caused_by(error))?
}

/// A key on its way from claim to answer.
struct Claim {
    state: ApiState,
    tenant: Tenant,
    key: String,
}

impl Claim {
    /// Claims the key; gives the kept answer when the request was made before.
    async fn take(&self, fingerprint: &str) -> Result<Option<StoredAnswer>, Problem> {
        // A key may be freed between the claim and the look at who holds it; then it is claimed once more.
        for _ in 0..3 {
            let now = self.state.now();
            if self.try_commit(idempotency_claim(&self.tenant, &self.key, fingerprint, now)).await? {
                return Ok(None);
            }
            let Some(row) = idempotency_get(self.state.store(), &self.tenant, &self.key).await? else {
                continue;
            };
            if row.fingerprint != fingerprint {
                return Err(Problem::new(ErrorCode::RequestIdempotencyMismatch));
            }
            return self.answer_of(row, now).await;
        }
        Err(Problem::new(ErrorCode::RequestIdempotencyInProgress))
    }

    async fn answer_of(&self, row: IdempotencyRow, now: Timestamp) -> Result<Option<StoredAnswer>, Problem> {
        if let Some(answer) = row.answer {
            return Ok(Some(answer));
        }
        let take_over = idempotency_take_over(&self.tenant, &self.key, row.created_at, now);
        if now.since(row.created_at) >= ABANDONED_AFTER && self.try_commit(take_over).await? {
            return Ok(None);
        }
        Err(Problem::new(ErrorCode::RequestIdempotencyInProgress))
    }

    /// Commits a statement that must touch a row; tells whether it did.
    async fn try_commit(&self, statement: Statement) -> Result<bool, CommitError> {
        match self.state.store().commit(Commit::statements(vec![statement])).await {
            Ok(_) => Ok(true),
            Err(CommitError::Guard { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Keeps a good answer, or frees the key of a failed request. What was done is done: the caller gets the answer even
    /// when it cannot be kept.
    async fn settle(&self, response: Response) -> Result<Response, Problem> {
        if response.status().is_client_error() || response.status().is_server_error() {
            self.note(idempotency_release(&self.tenant, &self.key)).await;
            return Ok(response);
        }
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX)
            .await
            .map_err(|error| Problem::new(ErrorCode::ServerInternal).caused_by(error))?;
        let kept =
            parts.extensions.get::<Unsecret>().map_or_else(|| body.clone(), |unsecret| unsecret.0.clone());
        let headers: Vec<(&str, &str)> = KEPT_HEADERS
            .iter()
            .filter_map(|name| Some((name.as_str(), parts.headers.get(name)?.to_str().ok()?)))
            .collect();
        let answer = StoredAnswer {
            status: i64::from(parts.status.as_u16()),
            headers: serde_json::to_string(&headers).expect("invariant: header texts serialise"),
            body: kept,
        };
        self.note(idempotency_finish(&self.tenant, &self.key, &answer)).await;
        Ok(Response::from_parts(parts, Body::from(body)))
    }

    async fn note(&self, statement: Statement) {
        if let Err(error) = self.state.store().commit(Commit::statements(vec![statement])).await {
            tracing::warn!(error = %error, "the outcome under an idempotency key could not be kept");
        }
    }
}

fn replay(answer: StoredAnswer) -> Response {
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = u16::try_from(answer.status)
        .ok()
        .and_then(|status| StatusCode::from_u16(status).ok())
        .unwrap_or_default();
    let headers: Vec<(String, String)> = serde_json::from_str(&answer.headers).unwrap_or_default();
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response.headers_mut().insert(REPLAYED.clone(), HeaderValue::from_static("true"));
    response
}

fn fingerprint(method: &str, target: &str, body: &[u8]) -> String {
    let mut context = Context::new(&SHA256);
    for part in [method.as_bytes(), target.as_bytes(), body] {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    hex::encode(context.finish())
}
