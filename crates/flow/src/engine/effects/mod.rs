//! What instances do outside, behind a trait: tests count and script it. One file for each kind of call.

mod a2a;
mod asyncapi;
mod digest;
mod documents;
mod grpc;
mod http;
mod jsonrpc;
mod login;
mod mcp;
mod openapi;
mod process;
mod tokens;
mod world;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::Value;
use trunkline_model::{Tenant, WorkflowId};

pub use self::a2a::A2aCall;
pub use self::asyncapi::AsyncApiCall;
pub use self::documents::Resource;
pub use self::grpc::GrpcCall;
pub use self::login::{Endpoints, Login, TokenPolicy, UserPassword};
pub(crate) use self::mcp::DEFAULT_VERSION;
pub use self::mcp::{McpCall, McpServer};
pub use self::openapi::OpenApiCall;
pub use self::process::{ProcessCall, ProcessLimits, Runnable};
pub use self::world::{RealWorld, RealWorldOptions};
use super::input::Failure;
pub use super::secrets::Hidden;
use super::state::HttpCall;

/// One call outside.
#[derive(Debug)]
pub struct EffectCall {
    /// Whose it is.
    pub tenant: Tenant,
    /// The instance that makes it.
    pub instance: WorkflowId,
    /// The journey it belongs to.
    pub correlation_id: String,
    /// The same for every attempt at it, also after a crash: the receiver can tell a repeat by it.
    pub key: String,
    /// What to do.
    pub call: Outside,
    /// As whom.
    pub login: Option<Login>,
    /// What must not be kept of the answer; who makes the call adds what it learns on the way.
    pub hidden: Arc<Hidden>,
}

/// What is done outside.
#[derive(Debug, Clone)]
pub enum Outside {
    /// An HTTP request.
    Http(HttpCall),
    /// An operation of an OpenAPI document.
    OpenApi(OpenApiCall),
    /// A message for a channel of an AsyncAPI document.
    AsyncApi(AsyncApiCall),
    /// A method of an agent.
    A2a(A2aCall),
    /// A method of an MCP server.
    Mcp(McpCall),
    /// A method of a gRPC service.
    Grpc(GrpcCall),
    /// A document to be fetched; its content is the result.
    Document(Resource),
    /// A process on this machine.
    Process(ProcessCall),
}

impl EffectCall {
    /// The HTTP request, if it is one.
    pub fn http(&self) -> Option<&HttpCall> {
        match &self.call {
            Outside::Http(call) => Some(call),
            _ => None,
        }
    }
}

/// Does calls. A call may be made again under the same key when a crash leaves its end unknown.
pub trait Effects: Send + Sync + 'static {
    /// Does one call. Dropping the future abandons it.
    fn run(&self, call: EffectCall) -> BoxFuture<'_, Result<Value, Failure>>;

    /// Whether the operator lets workflows start processes.
    fn has_processes(&self) -> bool {
        false
    }
}
