//! `/api/v1/tokens`: who may call. For admins, inside their tenant.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use trunkline_model::{ErrorCode, Room, Timestamp};
use trunkline_store::tables::token::{TokenRow, token_list, token_revoke};
use trunkline_store::{Commit, CommitError};
use utoipa::ToSchema;

use super::answers::{json, no_content, secret_json};
use crate::auth::token::{self, NewToken};
use crate::auth::{Permit, Person, Role, grants};
use crate::input::{Field, Id, Input, JsonBody, Kind, Query, Text};
use crate::openapi::{Answer, Body, Operation};
use crate::page::{self, Page, Paging};
use crate::problem::Problem;
use crate::state::ApiState;

const ROLES: [&str; 5] = {
    let [a, b, c, d, e] = Role::ALL;
    [a.as_str(), b.as_str(), c.as_str(), d.as_str(), e.as_str()]
};
/// Ten years.
const MAX_LIFETIME_S: i64 = 10 * 365 * 24 * 60 * 60;

static ROOM: Kind = Kind::Text(Text {
    min: 3,
    max: 289,
    pattern: "^(?!(tenant|user|role):)[a-z0-9_-]{1,32}:[^\\x00-\\x1f\\x7f-\\x9f]{1,256}$",
    accepts: |text| Room::parse(text).is_ok_and(|room| token::may_open(&room)),
    rule: "must be a room such as clinic:42, and none of the kinds tenant, user and role",
});

static LIST: &[Field] = &[page::LIMIT, page::TOKEN];
static INPUT: &[Field] = &[
    Field::required("name", Kind::Text(Text::line(1, 200)), "For people: who uses it, and what for."),
    Field::required("role", Kind::Choice(&ROLES), "What it may do."),
    Field::optional(
        "user",
        Kind::Text(Text::line(1, 256)),
        "The person whose token it is, by the id that tasks name them by.",
    ),
    Field::optional(
        "groups",
        Kind::List { item: &Kind::Text(Text::line(1, 256)), min: 0, max: 100 },
        "The groups of that person. Only together with `user`.",
    ),
    Field::optional(
        "rooms",
        Kind::List { item: &ROOM, min: 0, max: 100 },
        "Rooms of live updates that it opens besides those of its role, user and groups, such as `clinic:42`.",
    ),
    Field::optional(
        "expires_in_s",
        Kind::Integer { min: 1, max: MAX_LIFETIME_S },
        "How long it works. For ever when absent.",
    ),
];

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::post("/api/v1/tokens", "createToken", create)
            .about("tokens", "Creates a token")
            .details(
                "The token is in this answer and nowhere else. A repeat under the same `Idempotency-Key` is answered \
                 without it.",
            )
            .permit::<grants::TokensManage>()
            .body(Body::Object { name: "TokenInput", fields: INPUT, is_required: true })
            .answer(Answer::json::<TokenWithSecret>(201, "The token.")),
        Operation::get("/api/v1/tokens", "listTokens", list)
            .about("tokens", "Lists tokens, newest first, revoked ones included")
            .permit::<grants::TokensManage>()
            .query(LIST)
            .answer(Answer::json::<Page<Token>>(200, "A page of tokens.")),
        Operation::delete("/api/v1/tokens/{id}", "revokeToken", revoke)
            .about("tokens", "Revokes a token")
            .details("It stops working at once on this node, and within 5 seconds on every other.")
            .permit::<grants::TokensManage>()
            .id_of("tok_")
            .answer(Answer::empty(204, "It is revoked."))
            .problems(&[ErrorCode::TokenNotFound, ErrorCode::TokenSelfRevocation]),
    ]
}

/// A token's public side.
#[derive(Debug, Serialize, ToSchema)]
struct Token {
    id: String,
    name: String,
    /// `admin`, `operator`, `emitter`, `viewer` or `member`.
    role: String,
    /// The person whose token it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    user: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    groups: Vec<String>,
    /// Rooms of live updates that it opens besides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    rooms: Vec<String>,
    #[schema(format = DateTime)]
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String, format = DateTime)]
    expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String, format = DateTime)]
    revoked_at: Option<String>,
}

/// A new token.
#[derive(Serialize, ToSchema)]
struct TokenWithSecret {
    #[serde(flatten)]
    public: Token,
    /// `tlk_…`; absent in repeats under an idempotency key.
    #[schema(required = false)]
    token: String,
}

impl From<&TokenRow> for Token {
    fn from(row: &TokenRow) -> Self {
        Self {
            id: row.id.as_str().to_owned(),
            name: row.name.clone(),
            role: row.role.clone(),
            user: row.person.clone(),
            groups: row.groups.clone(),
            rooms: row.rooms.clone(),
            created_at: row.created_at.to_rfc3339(),
            expires_at: row.expires_at.map(Timestamp::to_rfc3339),
            revoked_at: row.revoked_at.map(Timestamp::to_rfc3339),
        }
    }
}

async fn create(
    permit: Permit<grants::TokensManage>,
    State(state): State<ApiState>,
    body: JsonBody,
) -> Result<Response, Problem> {
    let mut input = Input::from_json(INPUT, body.required()?);
    if input.text("user").is_none() && input.texts("groups").is_some_and(|groups| !groups.is_empty()) {
        input.fault("groups", "unexpected", "groups are those of a person: name the `user`");
    }
    input.finish()?;
    let groups = input.texts("groups").unwrap_or_default();
    let role = input.text("role").and_then(|text| Role::parse(&text));
    let new = NewToken {
        tenant: permit.tenant,
        name: input.text("name").unwrap_or_default(),
        role: role.ok_or_else(|| Problem::new(ErrorCode::RequestInvalid))?,
        person: input.text("user").map(|user| Person { user, groups }),
        rooms: input
            .texts("rooms")
            .unwrap_or_default()
            .iter()
            .filter_map(|room| Room::parse(room).ok())
            .collect(),
        lifetime: input.integer("expires_in_s").and_then(|s| u64::try_from(s).ok()).map(Duration::from_secs),
    };
    let (row, secret) = token::create(state.store(), new, state.now()).await?;
    let shown = TokenWithSecret { public: Token::from(&row), token: secret.expose().to_owned() };
    Ok(secret_json(StatusCode::CREATED, &shown, &Token::from(&row)))
}

async fn list(
    permit: Permit<grants::TokensManage>,
    State(state): State<ApiState>,
    Query(mut query): Query,
) -> Result<Response, Problem> {
    let paging = Paging::read(&mut query, "tokens", &permit.tenant);
    query.finish()?;
    let rows = token_list(state.store(), &permit.tenant, paging.after.as_deref(), paging.n_rows()).await?;
    Ok(json(StatusCode::OK, &paging.page(rows, |row| row.id.as_str().to_owned(), |row| Token::from(&row))))
}

async fn revoke(
    permit: Permit<grants::TokensManage>,
    State(state): State<ApiState>,
    Id(id): Id,
) -> Result<Response, Problem> {
    if permit.token_id.as_str() == id {
        return Err(Problem::new(ErrorCode::TokenSelfRevocation));
    }
    let statement = token_revoke(&permit.tenant, &id, state.now());
    match state.journal.commit(Commit::statements(vec![statement])).await {
        Ok(_) => {}
        Err(CommitError::Guard { .. }) => return Err(Problem::new(ErrorCode::TokenNotFound)),
        Err(error) => return Err(error.into()),
    }
    state.tokens().clear();
    Ok(no_content())
}
