//! `/api/v1/live/tickets`: a short-lived ticket with which a browser opens one live connection, so that its page need not hold a token.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use trunkline_store::Commit;
use trunkline_store::tables::live_ticket::{live_ticket_delete_before, live_ticket_insert};
use utoipa::ToSchema;

use super::answers::secret_json;
use crate::auth::{Permit, grants, token};
use crate::openapi::{Answer, Operation};
use crate::problem::Problem;
use crate::state::ApiState;

/// How long a ticket waits to be used.
const LIFETIME: Duration = Duration::from_secs(30);

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::post("/api/v1/live/tickets", "createLiveTicket", create)
            .about("live", "Creates a ticket for one live connection")
            .details(
                "The connection has what the token of this call has. The ticket is good once, for 30 seconds, on every hub. It \
                 is in this answer and nowhere else; a repeat under the same `Idempotency-Key` is answered without it.",
            )
            .permit::<grants::LiveJoin>()
            .answer(Answer::json::<LiveTicket>(201, "The ticket.")),
    ]
}

/// A ticket for one live connection.
#[derive(Serialize, ToSchema)]
struct LiveTicket {
    /// `tlt_…`, to be sent in the first frame; absent in repeats under an idempotency key.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    ticket: Option<String>,
    #[schema(format = DateTime)]
    expires_at: String,
}

async fn create(
    permit: Permit<grants::LiveJoin>,
    State(state): State<ApiState>,
) -> Result<Response, Problem> {
    let (now, secret) = (state.now(), token::generate_ticket());
    let expires_at = now.plus(LIFETIME);
    let insert = live_ticket_insert(&token::hash(secret.expose()), &permit.token_id, expires_at);
    // Tickets that nobody used go when the next one comes.
    state.journal.commit(Commit::statements(vec![live_ticket_delete_before(now), insert])).await?;
    let expires_at = expires_at.to_rfc3339();
    let unsecret = LiveTicket { ticket: None, expires_at: expires_at.clone() };
    let shown = LiveTicket { ticket: Some(secret.expose().to_owned()), expires_at };
    Ok(secret_json(StatusCode::CREATED, &shown, &unsecret))
}
