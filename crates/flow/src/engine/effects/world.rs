//! The real outside: who makes each kind of call, and what calls share.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::HeaderValue;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use serde_json::Value;
use tokio::time::Instant;
use trunkline_connect::{EgressPolicy, OutboundRequest, OutboundResponse, SendError, Transport};
use trunkline_model::{Clock, PerTenant, Tenant};
use trunkline_sinks::SinkFactory;

use super::documents::Documents;
use super::login::Login;
use super::process::{ProcessCall, ProcessLimits, Processes, Runnable};
use super::tokens::Tokens;
use super::{
    EffectCall, Effects, Hidden, Outside, a2a, asyncapi, digest, grpc, http as http_call, mcp, openapi,
};
use crate::dsl::error::StandardError;
use crate::engine::input::Failure;

/// The longest document that instances keep.
const MAX_KEPT_DOCUMENT: usize = 256 << 10;

/// What calls may spend.
#[derive(Clone)]
pub struct RealWorldOptions {
    /// How requests leave.
    pub transport: PerTenant<Arc<dyn Transport>>,
    /// Which URLs may be called; the transport judges addresses by its own.
    pub egress: PerTenant<EgressPolicy>,
    /// The time, for assertions that have one.
    pub clock: Arc<dyn Clock>,
    /// For a whole call. Default 30 s.
    pub timeout: Duration,
    /// The longest answer. Default 4 MiB.
    pub response_limit_bytes: usize,
    /// Value of the `User-Agent` header.
    pub user_agent: Option<HeaderValue>,
    /// How brokers are reached; messages go to none without it.
    pub sinks: Option<PerTenant<Arc<SinkFactory>>>,
    /// What processes may use; none are started without it.
    pub processes: Option<ProcessLimits>,
}

impl RealWorldOptions {
    /// Options with defaults for everything that has one.
    pub fn new(
        transport: impl Into<PerTenant<Arc<dyn Transport>>>,
        egress: impl Into<PerTenant<EgressPolicy>>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            transport: transport.into(),
            egress: egress.into(),
            clock,
            timeout: Duration::from_secs(30),
            response_limit_bytes: 4 << 20,
            user_agent: None,
            sinks: None,
            processes: None,
        }
    }
}

/// Does calls for real.
pub struct RealWorld {
    pub(super) options: RealWorldOptions,
    pub(super) documents: Documents,
    tokens: Tokens,
    processes: Option<Processes>,
}

/// Whose a request is, and what must not be kept of its answer.
#[derive(Clone, Copy)]
pub(super) struct Caller<'a> {
    pub(super) tenant: &'a Tenant,
    pub(super) login: Option<&'a Login>,
    pub(super) hidden: &'a Hidden,
}

impl<'a> From<&'a EffectCall> for Caller<'a> {
    fn from(call: &'a EffectCall) -> Self {
        Self { tenant: &call.tenant, login: call.login.as_ref(), hidden: &call.hidden }
    }
}

impl RealWorld {
    /// Makes calls under these options.
    pub fn new(options: RealWorldOptions) -> Self {
        let processes = options.processes.clone().map(Processes::new);
        Self { options, documents: Documents::default(), tokens: Tokens::default(), processes }
    }

    async fn make(&self, effect: EffectCall) -> Result<Value, Failure> {
        match &effect.call {
            Outside::Http(call) => http_call::make(self, &effect, call).await,
            Outside::OpenApi(call) => {
                let document = self.document(&effect.tenant, &effect.hidden, &call.document).await?;
                http_call::make(self, &effect, &openapi::request(&document, call)?).await
            }
            Outside::AsyncApi(call) => asyncapi::make(self, &effect, call).await,
            Outside::A2a(call) => a2a::make(self, &effect, call).await,
            Outside::Mcp(call) => mcp::make(self, &effect, call).await,
            Outside::Grpc(call) => grpc::make(self, &effect, call).await,
            Outside::Document(resource) => self.schema(&effect, resource).await,
            Outside::Process(call) => self.run_process(&effect, call).await,
        }
    }

    /// A document that becomes part of the instance. It is small, and worth a second try.
    async fn schema(&self, effect: &EffectCall, resource: &super::Resource) -> Result<Value, Failure> {
        let mut n_tries = 1;
        let document = loop {
            match self.document(&effect.tenant, &effect.hidden, resource).await {
                Err(failure) if n_tries < 3 && failure.status >= 500 => {
                    tokio::time::sleep(Duration::from_millis(200) * n_tries).await;
                    n_tries += 1;
                }
                result => break result?,
            }
        };
        if document.text().len() > MAX_KEPT_DOCUMENT {
            return Err(wrong(format!("the document is longer than {MAX_KEPT_DOCUMENT} bytes")));
        }
        document.value().cloned()
    }

    /// What runs processes, where the operator lets them run.
    pub(super) fn processes(&self) -> Result<&Processes, Failure> {
        let off = "processes are switched off; the operator allows them with `flow.processes = true`";
        self.processes.as_ref().ok_or_else(|| wrong(off))
    }

    async fn run_process(&self, effect: &EffectCall, call: &ProcessCall) -> Result<Value, Failure> {
        let processes = self.processes()?;
        match &call.program {
            Runnable::Shell(_) | Runnable::Program(_) => processes.run(call, None).await,
            Runnable::Script(language, code) => processes.run(call, Some((*language, code))).await,
            Runnable::Fetched(language, resource) => {
                let document = self.document(&effect.tenant, &effect.hidden, resource).await?;
                processes.run(call, Some((*language, document.text()))).await
            }
        }
    }

    /// Sends a request in somebody's name. An answer with any status is one; what the caller's name costs, such as
    /// fetching a token, counts against the request's timeout.
    pub(super) async fn send(
        &self,
        mut request: OutboundRequest,
        caller: Caller<'_>,
    ) -> Result<OutboundResponse, Failure> {
        match caller.login {
            None => {}
            Some(Login::Digest(user)) => return self.send_digest(request, user, caller.tenant).await,
            Some(Login::Token(policy)) => return self.send_with_token(request, policy, caller).await,
            Some(login) => {
                if let Some(value) = login.header() {
                    request.headers.insert(AUTHORIZATION, sensitive(&value)?);
                }
            }
        }
        self.transmit(request, caller.tenant).await
    }

    async fn transmit(&self, request: OutboundRequest, tenant: &Tenant) -> Result<OutboundResponse, Failure> {
        self.options.transport.of(tenant).send(request).await.map_err(|error| not_sent(&error))
    }

    /// Asks once without proof to learn what is to be proved.
    async fn send_digest(
        &self,
        request: OutboundRequest,
        user: &super::UserPassword,
        tenant: &Tenant,
    ) -> Result<OutboundResponse, Failure> {
        let deadline = Instant::now() + request.timeout;
        let answer = self.transmit(request.clone(), tenant).await?;
        let challenges = answer.headers.get_all(WWW_AUTHENTICATE);
        let challenges = challenges.iter().filter_map(|value| value.to_str().ok());
        let Some(challenge) = digest::strongest(challenges).filter(|_| answer.status.as_u16() == 401) else {
            return Ok(answer);
        };
        let mut request = request;
        let path = request.target.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let nonce = crate::engine::secrets::fresh_seal();
        let proof = challenge.answer(user, request.method.as_str(), path, &nonce);
        request.headers.insert(AUTHORIZATION, sensitive(&proof)?);
        request.timeout = deadline.saturating_duration_since(Instant::now());
        self.transmit(request, tenant).await
    }

    /// A token that is refused may have been withdrawn: another one is fetched, once.
    async fn send_with_token(
        &self,
        request: OutboundRequest,
        policy: &super::TokenPolicy,
        caller: Caller<'_>,
    ) -> Result<OutboundResponse, Failure> {
        let deadline = Instant::now() + request.timeout;
        let source = self.tokens.source(self, caller.tenant, policy).await?;
        let mut is_second = false;
        loop {
            let token = source
                .token(&**self.options.transport.of(caller.tenant), deadline)
                .await
                .map_err(|fault| Failure::standard(StandardError::Authentication, fault.to_string()))?;
            if let Some(text) = token.header().to_str().ok().and_then(|text| text.strip_prefix("Bearer ")) {
                caller.hidden.token(text);
            }
            let mut request = request.clone();
            request.headers.insert(AUTHORIZATION, token.header().clone());
            request.timeout = deadline.saturating_duration_since(Instant::now());
            let answer = self.transmit(request, caller.tenant).await?;
            let is_refused = answer.status.as_u16() == 401;
            if is_refused {
                source.refused(&token).await;
            }
            if !is_refused || is_second {
                return Ok(answer);
            }
            is_second = true;
        }
    }
}

impl std::fmt::Debug for RealWorld {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RealWorld").finish_non_exhaustive()
    }
}

impl Effects for RealWorld {
    fn run(&self, call: EffectCall) -> BoxFuture<'_, Result<Value, Failure>> {
        Box::pin(self.make(call))
    }

    fn has_processes(&self) -> bool {
        self.processes.is_some()
    }
}

/// A configuration error.
pub(super) fn wrong(detail: impl Into<String>) -> Failure {
    Failure::standard(StandardError::Configuration, detail)
}

/// The value of a header that nobody prints.
pub(super) fn sensitive(text: &str) -> Result<HeaderValue, Failure> {
    let mut value =
        HeaderValue::from_str(text).map_err(|_| wrong("the credentials have bytes that no header takes"))?;
    value.set_sensitive(true);
    Ok(value)
}

pub(super) fn not_sent(error: &SendError) -> Failure {
    let kind = match error {
        SendError::Timeout | SendError::BodyTimeout { .. } => StandardError::Timeout,
        SendError::Blocked(_) | SendError::Refused(_) => StandardError::Configuration,
        _ => StandardError::Communication,
    };
    Failure::standard(kind, error.to_string())
}
