//! What live connections ask of the API: who somebody is, and whether an event may be stored. Used by the binary, which joins
//! the two, so that one set of rules holds however a caller comes.

use serde_json::Value;
use trunkline_model::{ErrorCode, Event, Room, Tenant};
use trunkline_store::tables::live_ticket::{live_ticket_find, live_ticket_use};
use trunkline_store::tables::token::token_get;
use trunkline_store::{Commit, CommitError};

use crate::auth::{Identity, Permission, Role, into_identity, is_fit, token};
use crate::problem::Problem;
use crate::routes::events::unfit;
use crate::routes::logistics::positions::{Asker, take_body};
use crate::state::ApiState;

/// Who sends positions, as their token says.
#[derive(Debug, Clone, Copy)]
pub struct PositionSender<'a> {
    /// Whose driver it is.
    pub tenant: &'a Tenant,
    /// The token's role.
    pub role: &'a str,
    /// The person whose token it is.
    pub user: Option<&'a str>,
    /// Rooms that the token names.
    pub rooms: &'a [Room],
}

impl ApiState {
    /// Says whose token it is; refuses those that may not receive live updates.
    ///
    /// # Errors
    /// As the API would answer a request with that token.
    pub async fn admit_token(&self, token: &str) -> Result<Identity, Problem> {
        if !is_fit(token) {
            return Err(Problem::new(ErrorCode::AuthInvalid));
        }
        let identity = self.tokens().authenticate_token(self.store(), token, self.now()).await?;
        identity.check(Permission::LiveJoin).map(|()| identity)
    }

    /// Uses a ticket up and says whose it is.
    ///
    /// # Errors
    /// When it was never made, has expired or was used before, or its token works no more.
    pub async fn admit_ticket(&self, ticket: &str) -> Result<Identity, Problem> {
        let invalid =
            || Problem::new(ErrorCode::AuthInvalid).with_detail("the ticket is unknown, expired or used");
        if !is_fit(ticket) {
            return Err(invalid());
        }
        let (hash, now) = (token::hash(ticket), self.now());
        let token_id = live_ticket_find(self.store(), &hash, now).await?.ok_or_else(invalid)?;
        // Of several that come with it at the same time one deletes the row.
        match self.journal.commit(Commit::statements(vec![live_ticket_use(&hash)])).await {
            Ok(_) => {}
            Err(CommitError::Guard { .. }) => return Err(invalid()),
            Err(error) => return Err(error.into()),
        }
        let row = token_get(self.store(), token_id.as_str()).await?.filter(|row| token::is_live(row, now));
        let identity = row.and_then(into_identity).ok_or_else(invalid)?;
        identity.check(Permission::LiveJoin).map(|()| identity)
    }

    /// Takes positions of a driver, as if they had come by `POST /api/v1/drivers/{id}/positions`.
    ///
    /// # Errors
    /// As the API would answer.
    pub async fn take_positions(
        &self,
        sender: PositionSender<'_>,
        driver_id: &str,
        body: Value,
    ) -> Result<Value, Problem> {
        let forbidden = || Problem::new(ErrorCode::AuthForbidden);
        let role = Role::parse(sender.role).filter(|role| role.allows(Permission::TrackingWrite));
        let role = role.ok_or_else(forbidden)?;
        if driver_id.chars().any(char::is_control) {
            return Err(Problem::new(ErrorCode::DriverNotFound));
        }
        let asker = Asker { tenant: sender.tenant, role, user: sender.user, rooms: sender.rooms };
        let taken = take_body(self, asker, driver_id, body).await?;
        Ok(serde_json::to_value(&taken).expect("invariant: answers serialise"))
    }

    /// Holds an event against the limits and the catalogue, as if it had come by `POST /api/v1/events`.
    ///
    /// # Errors
    /// Every fault of the event.
    pub async fn judge_event(&self, mut event: Event) -> Result<Event, Problem> {
        if let Some(problem) = unfit(&event, self.limits.event_bytes) {
            return Err(problem);
        }
        let view = self.catalogue.of(self.store(), &event.tenant).await?;
        view.judge(&mut event).map_err(Problem::invalid)?;
        Ok(event)
    }
}
