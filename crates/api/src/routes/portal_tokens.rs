//! `/api/v1/portal-tokens`: short-lived tokens for the receiving side, to be handed to its browsers.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use trunkline_model::{ErrorCode, PortalTokenId, Timestamp};
use trunkline_store::tables::endpoint::endpoint_get;
use trunkline_store::tables::portal_token::{
    PortalTokenRow, portal_token_insert, portal_token_list, portal_token_revoke,
};
use trunkline_store::{Commit, CommitError};
use utoipa::ToSchema;

use super::answers::{json, no_content, secret_json};
use crate::auth::{Permit, grants, portal, token};
use crate::input::{Field, Id, Input, JsonBody, Kind, Query, Text};
use crate::openapi::{Answer, Body, Operation};
use crate::page::{self, Page, Paging};
use crate::problem::Problem;
use crate::state::ApiState;

const DEFAULT_LIFETIME_S: i64 = 60 * 60;
const MAX_LIFETIME_S: i64 = 24 * 60 * 60;

static ENDPOINT_ID: Kind = Kind::Text(Text::line(1, 64));
static LIST: &[Field] = &[page::LIMIT, page::TOKEN];
static INPUT: &[Field] = &[
    Field::required("name", Kind::Text(Text::line(1, 200)), "For people: who uses it."),
    Field::optional(
        "expires_in_s",
        Kind::Integer { min: 60, max: MAX_LIFETIME_S },
        "How long it works. Default one hour.",
    ),
    Field::optional(
        "endpoint_ids",
        Kind::List { item: &ENDPOINT_ID, min: 1, max: portal::MAX_ENDPOINTS },
        "Only these endpoints. Every one of the tenant, also those made later, when absent.",
    ),
    Field::optional("read_only", Kind::Boolean, "Whether it may change nothing. Default false."),
];

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::post("/api/v1/portal-tokens", "createPortalToken", create)
            .about("tokens", "Creates a token for the receiving side")
            .details(
                "It may look after the endpoints of the tenant, or some of them, and do nothing else. The token is in this \
                 answer and nowhere else. A repeat under the same `Idempotency-Key` is answered without it.",
            )
            .permit::<grants::PortalTokensManage>()
            .body(Body::Object { name: "PortalTokenInput", fields: INPUT, is_required: true })
            .answer(Answer::json::<PortalTokenWithSecret>(201, "The token."))
            .problems(&[ErrorCode::EndpointNotFound]),
        Operation::get("/api/v1/portal-tokens", "listPortalTokens", list)
            .about("tokens", "Lists tokens for the receiving side, newest first")
            .details("Those that have expired are removed within the hour.")
            .permit::<grants::PortalTokensManage>()
            .query(LIST)
            .answer(Answer::json::<Page<PortalToken>>(200, "A page of tokens.")),
        Operation::delete("/api/v1/portal-tokens/{id}", "revokePortalToken", revoke)
            .about("tokens", "Revokes a token of the receiving side")
            .details("It stops working at once on this node, and within 5 seconds on every other.")
            .permit::<grants::PortalTokensManage>()
            .id_of("ptk_")
            .answer(Answer::empty(204, "It is revoked."))
            .problems(&[ErrorCode::TokenNotFound]),
    ]
}

/// A portal token's public side.
#[derive(Debug, Serialize, ToSchema)]
struct PortalToken {
    id: String,
    name: String,
    /// The endpoints it is for; absent when it is for every one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = Vec<String>)]
    endpoint_ids: Option<Vec<String>>,
    read_only: bool,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    expires_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String, format = DateTime)]
    revoked_at: Option<String>,
}

/// A new portal token.
#[derive(Serialize, ToSchema)]
struct PortalTokenWithSecret {
    #[serde(flatten)]
    public: PortalToken,
    /// `tlp_…`; absent in repeats under an idempotency key.
    #[schema(required = false)]
    token: String,
}

impl From<&PortalTokenRow> for PortalToken {
    fn from(row: &PortalTokenRow) -> Self {
        Self {
            id: row.id.as_str().to_owned(),
            name: row.name.clone(),
            endpoint_ids: row.endpoint_ids.clone(),
            read_only: row.read_only,
            created_at: row.created_at.to_rfc3339(),
            expires_at: row.expires_at.to_rfc3339(),
            revoked_at: row.revoked_at.map(Timestamp::to_rfc3339),
        }
    }
}

async fn create(
    permit: Permit<grants::PortalTokensManage>,
    State(state): State<ApiState>,
    body: JsonBody,
) -> Result<Response, Problem> {
    let mut input = Input::from_json(INPUT, body.required()?);
    input.finish()?;
    let mut endpoint_ids = input.texts("endpoint_ids");
    if let Some(ids) = &mut endpoint_ids {
        ids.sort();
        ids.dedup();
        for id in ids.iter() {
            if endpoint_get(state.store(), &permit.tenant, id).await?.is_none() {
                let detail = format!("there is no endpoint {id}");
                return Err(Problem::new(ErrorCode::EndpointNotFound).with_detail(detail));
            }
        }
    }
    let secret = token::generate_portal();
    let lifetime_s = input.integer("expires_in_s").unwrap_or(DEFAULT_LIFETIME_S).unsigned_abs();
    let row = PortalTokenRow {
        id: PortalTokenId::fresh(),
        tenant: permit.tenant,
        name: input.text("name").unwrap_or_default(),
        hash: token::hash(secret.expose()),
        endpoint_ids,
        read_only: input.flag("read_only").unwrap_or(false),
        created_at: state.now(),
        expires_at: state.now().plus(Duration::from_secs(lifetime_s)),
        revoked_at: None,
    };
    state.journal.commit(Commit::statements(vec![portal_token_insert(&row)])).await?;
    let shown = PortalTokenWithSecret { public: PortalToken::from(&row), token: secret.expose().to_owned() };
    Ok(secret_json(StatusCode::CREATED, &shown, &PortalToken::from(&row)))
}

async fn list(
    permit: Permit<grants::PortalTokensManage>,
    State(state): State<ApiState>,
    Query(mut query): Query,
) -> Result<Response, Problem> {
    let paging = Paging::read(&mut query, "portal tokens", &permit.tenant);
    query.finish()?;
    let rows =
        portal_token_list(state.store(), &permit.tenant, paging.after.as_deref(), paging.n_rows()).await?;
    let page = paging.page(rows, |row| row.id.as_str().to_owned(), |row| PortalToken::from(&row));
    Ok(json(StatusCode::OK, &page))
}

async fn revoke(
    permit: Permit<grants::PortalTokensManage>,
    State(state): State<ApiState>,
    Id(id): Id,
) -> Result<Response, Problem> {
    let statement = portal_token_revoke(&permit.tenant, &id, state.now());
    match state.journal.commit(Commit::statements(vec![statement])).await {
        Ok(_) => {}
        Err(CommitError::Guard { .. }) => return Err(Problem::new(ErrorCode::TokenNotFound)),
        Err(error) => return Err(error.into()),
    }
    state.tokens().clear();
    Ok(no_content())
}
