//! What a token for the receiving side may touch: endpoints of its tenant, or some of them, and nothing else.
//!
//! Closed unless opened: an operation says by [`Access`] how far it is open to such tokens, and one that says nothing
//! refuses them all. Where the endpoint is in the path the guard looks; where it is not, the handler has to ask
//! [`PortalScope`], which its permit carries.

use std::sync::Arc;

use trunkline_model::{ErrorCode, Timestamp};
use trunkline_store::tables::portal_token::PortalTokenRow;

use crate::problem::Problem;

/// What portal tokens begin with.
pub(crate) const PREFIX: &str = "tlp_";
/// The most endpoints that one token names.
pub(crate) const MAX_ENDPOINTS: usize = 100;

/// How far an operation is open to portal tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Access {
    /// Not at all.
    #[default]
    Closed,
    /// Wholly: it shows nothing of any endpoint.
    Open,
    /// For the endpoints of the token; the one in the path is looked at by the guard.
    EndpointInPath,
    /// For the endpoints of the token; the handler looks.
    Scoped,
}

/// The endpoints of a portal token.
#[derive(Debug, Clone)]
pub(crate) struct PortalScope {
    /// Every endpoint of the tenant when `None`.
    endpoint_ids: Option<Arc<[String]>>,
    pub(crate) is_read_only: bool,
}

impl PortalScope {
    pub(crate) fn of(row: &PortalTokenRow) -> Self {
        let endpoint_ids = row.endpoint_ids.clone().map(Into::into);
        Self { endpoint_ids, is_read_only: row.read_only }
    }

    /// Whether an endpoint of the tenant is among them.
    pub(crate) fn has(&self, endpoint_id: &str) -> bool {
        self.endpoint_ids.as_ref().is_none_or(|ids| ids.iter().any(|id| id == endpoint_id))
    }

    /// The ids, when they are not all of the tenant.
    pub(crate) fn listed(&self) -> Option<&[String]> {
        self.endpoint_ids.as_deref()
    }
}

/// Whether a stored token works at `now`.
pub(crate) fn is_live(row: &PortalTokenRow, now: Timestamp) -> bool {
    row.revoked_at.is_none() && now < row.expires_at
}

/// What a caller of the receiving side asks for without having it looks as if it were not there.
pub(crate) fn check(scope: Option<&PortalScope>, endpoint_id: &str) -> Result<(), Problem> {
    match scope {
        Some(scope) if !scope.has(endpoint_id) => Err(Problem::new(ErrorCode::EndpointNotFound)),
        _ => Ok(()),
    }
}

/// Under which name a portal token or a member's keeps an idempotency key: what others were answered is not for it.
pub(crate) fn key_of(token_id: &str, key: &str) -> String {
    format!("{token_id}/{key}")
}

/// A refusal of something that only the operator's side may do.
pub(crate) fn refused(what: &str) -> Problem {
    Problem::new(ErrorCode::AuthForbidden).with_detail(format!("a portal token may not {what}"))
}
