//! The layer in front of every operation under `/api/v1`: who calls, may they, are the query parameters known, is the hub
//! stopping, was this POST made before. In this order, so that strangers learn nothing but 401.

use axum::RequestExt as _;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::Method;
use trunkline_model::ErrorCode;

use crate::auth::portal::{self, Access, PortalScope};
use crate::auth::{Caller, Permission, Role};
use crate::idempotency;
use crate::input::{Field, Id, Input, Query};
use crate::problem::Problem;
use crate::state::ApiState;

/// What the guard needs to know of an operation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule {
    pub(crate) permission: Permission,
    pub(crate) portal: Access,
    pub(crate) query: &'static [Field],
    pub(crate) caller: Caller,
}

/// Lets a request through to its handler, or answers it.
pub(crate) async fn guard(
    State((state, rule)): State<(ApiState, Rule)>,
    request: Request,
    next: Next,
) -> Response {
    match pass(&state, rule, request, next).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

async fn pass(state: &ApiState, rule: Rule, request: Request, next: Next) -> Result<Response, Problem> {
    let identity =
        state.tokens().authenticate(state.store(), request.headers(), rule.caller, state.now()).await?;
    identity.check(rule.permission)?;
    let mut request = request;
    if let Some(scope) = &identity.portal {
        check_portal(scope, rule.portal, &mut request).await?;
    }
    // An app on a phone has parameters of its own, which its handler reads, and writes with GET, too.
    let is_app = rule.caller == Caller::PhoneApp;
    let mut query = Input::from_query(rule.query, request.uri().query().filter(|_| !is_app));
    query.finish()?;
    let is_write = is_app || !matches!(*request.method(), Method::GET | Method::HEAD);
    if is_write && state.is_draining() {
        return Err(Problem::new(ErrorCode::HubDraining));
    }
    let key = match *request.method() {
        Method::POST => idempotency::key(request.headers())?,
        _ => None,
    };
    let key = match identity.role {
        Role::Portal | Role::Member => key.map(|key| portal::key_of(identity.token_id.as_str(), &key)),
        _ => key,
    };
    let tenant = identity.tenant.clone();
    request.extensions_mut().insert(identity);
    request.extensions_mut().insert(Query(query));
    match key {
        None => Ok(next.run(request).await),
        Some(key) => idempotency::run(state, tenant, key, request, next).await,
    }
}

/// Refuses a token for the receiving side what is not open to it, and endpoints in the path that are not its own.
async fn check_portal(scope: &PortalScope, access: Access, request: &mut Request) -> Result<(), Problem> {
    match access {
        Access::Closed => Err(portal::refused("do this")),
        Access::Open | Access::Scoped => Ok(()),
        Access::EndpointInPath => {
            let Id(id) = request.extract_parts::<Id>().await?;
            portal::check(Some(scope), &id)
        }
    }
}
