//! `call: a2a`: an agent, by the A2A protocol.

use trunkline_packs::document::Content;

use crate::dsl::resource::{Endpoint, ExternalResource};
use crate::expression::{Stage, Template};
use crate::read::{At, Extra, Fields, Reader};
use crate::rule::Rule;

/// A method of an agent.
#[derive(Debug, Clone)]
pub struct A2a {
    /// The agent's description.
    pub agent_card: Option<ExternalResource>,
    /// Where the agent is; from its description where absent.
    pub server: Option<Endpoint>,
    /// The method.
    pub method: &'static str,
    /// The method's parameters.
    pub parameters: Option<Template>,
}

const METHODS: [&str; 11] = [
    "message/send",
    "message/stream",
    "tasks/get",
    "tasks/list",
    "tasks/cancel",
    "tasks/resubscribe",
    "tasks/pushNotificationConfig/set",
    "tasks/pushNotificationConfig/get",
    "tasks/pushNotificationConfig/list",
    "tasks/pushNotificationConfig/delete",
    "agent/getAuthenticatedExtendedCard",
];

impl Reader {
    pub(super) fn a2a(&mut self, with: &At<'_>) -> Option<A2a> {
        let stage = Stage::Body;
        let mut fields = Fields::open(with, "an A2A call", self)?;
        let agent_card = fields.optional("agentCard").and_then(|at| self.external_resource(&at, stage));
        let server = fields.optional("server").and_then(|at| self.endpoint(&at, stage));
        let method =
            fields.required("method", self).and_then(|at| self.choice(&at, &METHODS.map(|it| (it, it))));
        let parameters = fields.optional("parameters");
        if let Some(at) = &parameters
            && matches!(&at.node.content, Content::Map(entries) if entries.is_empty())
        {
            self.shape(at, "the parameters are empty", "add one, or remove `parameters`");
        }
        let parameters = parameters.and_then(|at| self.transformation(&at, stage));
        if !with.has("agentCard") && !with.has("server") {
            self.rule(Rule::Values, with, "the call names no agent", "add `agentCard` or `server`");
        }
        fields.close(Extra::Closed, self);
        Some(A2a { agent_card, server, method: method?, parameters })
    }
}
