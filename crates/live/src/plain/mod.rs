//! `/live`: JSON frames over WebSocket, as `docs/live.md` describes them.
//!
//! A connection begins as an HTTP request. What can be refused is refused there, with a status: too many connections, a hub that
//! stops, a token in the header that is none, anything in the query (credentials never stand in a URL). From the upgrade on, refusals are
//! frames and close codes.

mod frames;
mod handshake;
mod publish;
mod session;
mod subscribe;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Method, StatusCode};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use trunkline_model::ErrorCode;

use crate::door::{Credential, Refusal};
use crate::principal::Principal;
use crate::slots::Slot;
use crate::{LiveLimits, Shared};

/// Memory of one connection for reading; frames that are larger are put together from pieces.
const READ_BUFFER: usize = 4 * 1024;
/// Bytes that are gathered before they are written, at most.
const WRITE_BUFFER: usize = 32 * 1024;

type Socket = WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>;

pub(crate) fn router(live: Arc<Shared>) -> Router {
    Router::new().route("/live", get(open)).with_state(live)
}

async fn open(State(live): State<Arc<Shared>>, request: Request) -> Response {
    match accept(&live, request).await {
        Ok(response) => response,
        Err(code) => {
            live.metrics.count_refused(code.as_str());
            let status = match code {
                ErrorCode::AuthMissing | ErrorCode::AuthInvalid => StatusCode::UNAUTHORIZED,
                ErrorCode::AuthForbidden => StatusCode::FORBIDDEN,
                ErrorCode::RequestRateLimited => StatusCode::TOO_MANY_REQUESTS,
                ErrorCode::RequestMalformed => StatusCode::BAD_REQUEST,
                _ => StatusCode::SERVICE_UNAVAILABLE,
            };
            status.into_response()
        }
    }
}

async fn accept(live: &Arc<Shared>, mut request: Request) -> Result<Response, ErrorCode> {
    let has_query = request.uri().query().is_some_and(|query| !query.is_empty());
    if request.method() != Method::GET || has_query {
        return Err(ErrorCode::RequestMalformed);
    }
    let answer = handshake::answer(request.headers()).ok_or(ErrorCode::RequestMalformed)?;
    if live.draining.is_cancelled() {
        return Err(ErrorCode::HubDraining);
    }
    let mut slot = live.slots.take().ok_or(ErrorCode::HubBusy)?;
    let principal = match bearer(request.headers())? {
        None => None,
        Some(token) => {
            let admitted = live.door.admit(Credential::Token(&token)).await;
            let principal = admitted.map_err(|refusal: Refusal| refusal.code)?;
            if !slot.assign(&principal.tenant) {
                return Err(ErrorCode::RequestRateLimited);
            }
            Some(principal)
        }
    };
    let upgrade = hyper::upgrade::on(&mut request);
    let shared = Arc::clone(live);
    live.connections.spawn(async move {
        // Peers that go away before the answer has come are everyday.
        let Ok(upgraded) = upgrade.await else { return };
        let config = Some(config(&shared.limits));
        let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, config).await;
        serve(shared, socket, slot, principal).await;
    });
    Ok(answer)
}

async fn serve(live: Arc<Shared>, mut socket: Socket, mut slot: Slot, known: Option<Principal>) {
    let ending = async {
        let session = match known {
            Some(principal) => session::begin(&live, &mut socket, principal, None).await?,
            None => session::meet(&live, &mut socket, &mut slot).await?,
        };
        Err::<std::convert::Infallible, _>(session.run().await)
    };
    let Err(ending) = ending.await;
    live.metrics.count_closed(ending);
    session::close(socket, ending).await;
    drop(slot);
}

fn config(limits: &LiveLimits) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_message_size(Some(limits.frame_bytes))
        .max_frame_size(Some(limits.frame_bytes))
}

/// The token of `authorization: Bearer …`, if the header is there.
fn bearer(headers: &HeaderMap) -> Result<Option<String>, ErrorCode> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().ok().filter(|_| values.next().is_none()).ok_or(ErrorCode::AuthInvalid)?;
    let (scheme, token) = text.split_once(' ').ok_or(ErrorCode::AuthInvalid)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(ErrorCode::AuthInvalid);
    }
    Ok(Some(token.trim_matches(' ').to_owned()))
}
