//! Joins live connections to the API: one set of rules for tokens and events, however a caller comes.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::Value;
use trunkline_api::auth::{Identity, Role};
use trunkline_api::problem::Problem;
use trunkline_api::{ApiState, PositionSender};
use trunkline_config::LiveSettings;
use trunkline_live::{
    Credential, Door, Live, LiveLimits, LiveMetrics, LiveOptions, Principal, Reach, Refusal, Rules,
};
use trunkline_model::Event;

/// Starts live updates.
pub(super) fn start(state: ApiState, settings: &LiveSettings, rules: Rules, metrics: LiveMetrics) -> Live {
    let limits = LiveLimits {
        connections: settings.max_connections,
        connections_per_tenant: settings.max_connections_per_tenant,
        rooms: settings.max_rooms,
        frame_bytes: settings.frame_bytes,
        frames_per_s: settings.frames_per_s,
        auth_timeout: settings.auth_timeout,
        heartbeat: settings.heartbeat,
        queue_events: settings.queue_events,
        queue_bytes: settings.queue_bytes,
        resume_events: settings.resume_events,
    };
    let journal = state.journal.clone();
    Live::start(LiveOptions { journal, door: Arc::new(ApiDoor(state)), rules, limits, metrics })
}

struct ApiDoor(ApiState);

impl Door for ApiDoor {
    fn admit<'a>(&'a self, credential: Credential<'a>) -> BoxFuture<'a, Result<Principal, Refusal>> {
        Box::pin(async move {
            let identity = match credential {
                Credential::Token(token) => self.0.admit_token(token).await,
                Credential::Ticket(ticket) => self.0.admit_ticket(ticket).await,
            };
            identity.map(principal).map_err(|problem| refusal(&problem))
        })
    }

    fn judge(&self, event: Event) -> BoxFuture<'_, Result<Event, Refusal>> {
        Box::pin(async move { self.0.judge_event(event).await.map_err(|problem| refusal(&problem)) })
    }

    fn take_positions<'a>(
        &'a self,
        principal: &'a Principal,
        driver_id: &'a str,
        positions: Value,
    ) -> BoxFuture<'a, Result<Value, Refusal>> {
        let sender = PositionSender {
            tenant: &principal.tenant,
            role: principal.role,
            user: principal.user.as_deref(),
            rooms: &principal.rooms,
        };
        Box::pin(async move {
            let taken = self.0.take_positions(sender, driver_id, positions).await;
            taken.map_err(|problem| refusal(&problem))
        })
    }
}

fn principal(identity: Identity) -> Principal {
    let reach = match identity.role {
        Role::Admin | Role::Operator => Reach::Everything,
        Role::Emitter => Reach::Emitter,
        Role::Viewer => Reach::Reader,
        Role::Member | Role::Portal => Reach::Own,
    };
    let (user, groups) = identity.person.map(|person| (person.user, person.groups)).unzip();
    Principal {
        tenant: identity.tenant,
        token_id: identity.token_id,
        role: identity.role.as_str(),
        reach,
        user,
        groups: groups.unwrap_or_default(),
        rooms: identity.rooms,
        expires_at: identity.expires_at,
    }
}

fn refusal(problem: &Problem) -> Refusal {
    if problem.status().is_server_error() {
        let (code, cause) = (problem.code(), problem.cause_chain().unwrap_or_default());
        tracing::debug!(%code, cause, "a live client could not be served");
    }
    Refusal { code: problem.code(), detail: problem.detail().to_owned(), errors: problem.errors().to_vec() }
}
