//! What a task asks of the outside, with every expression in its place evaluated. Done as the task begins where that may
//! be kept, and when the call is made where secrets are inside: both come to the same, because nothing that the
//! expressions see changes while the task waits.

use serde_json::{Map, Value};
use trunkline_model::{Secret, Timestamp};

use super::expression_failure;
use super::scope::View;
use crate::catalog::{self, FunctionCall};
use crate::dsl::authentication::{Authentication, Credentials, OAuth2, Token};
use crate::dsl::duration;
use crate::dsl::error::StandardError;
use crate::dsl::resource::ExternalResource;
use crate::dsl::tasks::call::a2a::A2a;
use crate::dsl::tasks::call::asyncapi::{AsyncApi, Exchange};
use crate::dsl::tasks::call::function::{self as dsl, Function};
use crate::dsl::tasks::call::grpc::Grpc;
use crate::dsl::tasks::call::http::Http;
use crate::dsl::tasks::call::mcp::{Mcp, Transport};
use crate::dsl::tasks::call::openapi::OpenApi;
use crate::dsl::tasks::call::{Call, Redirects, ResponseOutput};
use crate::dsl::tasks::run::{Code, Process, ProcessOutput, Run};
use crate::dsl::tasks::{Body, Task};
use crate::engine::effects::{
    A2aCall, AsyncApiCall, DEFAULT_VERSION, Endpoints, GrpcCall, Login, McpCall, McpServer, OpenApiCall,
    Outside, ProcessCall, Resource, Runnable, TokenPolicy, UserPassword,
};
use crate::engine::functions::place_in_catalog;
use crate::engine::input::Failure;
use crate::engine::secrets::{Known, secret_text};
use crate::engine::state::{HttpCall, HttpOutput, ROOT, State};
use crate::expression::{EvaluationError, Expression, Template, TemplateOr, Uri};
use crate::program::Program;

mod stored_policy;

/// Where the token endpoint of an OAuth 2 server is that says nothing else.
const TOKEN_PATH: &str = "/oauth2/token";

/// What a frame waits for, put together.
pub(crate) enum Ready {
    /// A call outside.
    Call(Box<Prepared>),
    /// A function of the default catalogue that does something itself.
    Function(FunctionCall),
}

/// A call that can be made.
pub(crate) struct Prepared {
    pub(crate) call: Outside,
    pub(crate) login: Option<Login>,
}

impl From<Prepared> for Ready {
    fn from(prepared: Prepared) -> Self {
        Self::Call(Box::new(prepared))
    }
}

/// Whether what a task asks of the outside must not be kept.
pub(crate) fn is_late(program: &Program, task: &Task) -> bool {
    match &task.body {
        Body::Call(Call::Http(http)) => {
            !program.workflow().secrets.is_empty() || http.endpoint.authentication.is_some()
        }
        Body::Call(Call::Function(call)) => {
            let function = call.of_default().and_then(catalog::find);
            !program.workflow().secrets.is_empty() && function.is_some_and(|it| !it.keeps())
        }
        _ => true,
    }
}

/// The policy that a task calls with.
pub(crate) fn authentication(body: &Body) -> Option<&Authentication> {
    match body {
        Body::Call(Call::Http(http)) => http.endpoint.authentication.as_deref(),
        Body::Call(Call::OpenApi(call)) => call.authentication.as_deref(),
        Body::Call(Call::AsyncApi(call)) => call.authentication.as_deref(),
        Body::Call(Call::Grpc(call)) => call.authentication.as_deref(),
        _ => None,
    }
}

/// Where a resource lies that is always at the same place.
pub(crate) fn fixed_url(resource: &ExternalResource) -> Option<String> {
    match &resource.endpoint.uri {
        TemplateOr::Literal(template) => template.fixed().map(str::to_owned),
        TemplateOr::Expression(_) => None,
    }
}

/// Puts together how a document of the program is fetched.
pub(crate) fn prepare_fetch(
    program: &Program,
    state: &State,
    url: &str,
    known: Option<&Known>,
) -> Result<Resource, Failure> {
    let found = program.external_schemas().find(|it| fixed_url(it).as_deref() == Some(url));
    let resource =
        found.ok_or_else(|| Failure::standard(StandardError::Runtime, "nothing refers to the document"))?;
    let at = state.started_at;
    let view = View { program, state, frame: ROOT, at, locals: &[], output: None, known };
    Builder { view, input: Value::Null }.resource(resource)
}

/// Puts together how the document of a function is fetched that a frame calls.
pub(crate) fn prepare_function(
    program: &Program,
    state: &State,
    frame: u32,
    known: Option<&Known>,
) -> Result<Resource, Failure> {
    let gone = || Failure::standard(StandardError::Runtime, "the task is not there any more");
    let waiting = state.frames.get(&frame).ok_or_else(gone)?;
    let task = waiting.task.and_then(|task| program.get(task)).ok_or_else(gone)?;
    let at = waiting.started_at;
    let view = View { program, state, frame, at, locals: &[], output: None, known };
    let builder = Builder { view, input: waiting.input.clone() };
    let Body::Call(Call::Function(call)) = &task.body else { return Err(gone()) };
    match &call.function {
        Function::External(url) => {
            let url = builder.eval(|input, _| url.expand(input))?;
            Ok(Resource { url, login: None })
        }
        Function::Cataloged { name, version, catalog } => {
            let catalog = program.workflow().catalogs.get(catalog).ok_or_else(gone)?;
            let url = place_in_catalog(&builder.uri(&catalog.uri)?, name, version);
            Ok(Resource { url, login: builder.login(catalog.authentication.as_deref())? })
        }
        Function::Own(_) => Err(gone()),
    }
}

/// Puts together what a frame waits for.
pub(crate) fn prepare(
    program: &Program,
    state: &State,
    frame: u32,
    at: Timestamp,
    known: Option<&Known>,
) -> Result<Ready, Failure> {
    let gone = || Failure::standard(StandardError::Runtime, "the task is not there any more");
    let waiting = state.frames.get(&frame).ok_or_else(gone)?;
    let task = waiting.task.and_then(|task| program.get(task)).ok_or_else(gone)?;
    let input = waiting.input.clone();
    let input = known.map_or_else(|| input.clone(), |known| known.revealed(input.clone()));
    let view = View { program, state, frame, at, locals: &[], output: None, known };
    let builder = Builder { view, input };
    let call = match &task.body {
        Body::Call(Call::Http(http)) => builder.http(http),
        Body::Call(Call::OpenApi(call)) => builder.openapi(call),
        Body::Call(Call::AsyncApi(call)) => builder.asyncapi(call),
        Body::Call(Call::A2a(call)) => builder.a2a(call),
        Body::Call(Call::Mcp(call)) => builder.mcp(call),
        Body::Call(Call::Grpc(call)) => builder.grpc(call),
        Body::Call(Call::Function(call)) => {
            return builder.function(call.of_default().ok_or_else(gone)?, call);
        }
        Body::Run(run) => builder.process(run),
        _ => Err(gone()),
    };
    call.map(Ready::from)
}

struct Builder<'v> {
    view: View<'v>,
    input: Value,
}

impl Builder<'_> {
    fn eval<T>(
        &self,
        run: impl FnOnce(&Value, &View<'_>) -> Result<T, EvaluationError>,
    ) -> Result<T, Failure> {
        run(&self.input, &self.view).map_err(|error| match self.view.known {
            None => expression_failure(&error),
            // What jq says of a value quotes it, and cuts it so that it is not found again.
            Some(_) => Failure::standard(StandardError::Expression, error.to_string()),
        })
    }

    fn template(&self, template: &Template) -> Result<Value, Failure> {
        self.eval(|input, view| template.evaluate(input, view))
    }

    fn text(&self, template: &Template) -> Result<String, Failure> {
        self.template(template).map(|value| plain(&value))
    }

    fn secret(&self, expression: &Expression) -> Result<Secret, Failure> {
        self.eval(|input, view| expression.evaluate(input, view)).map(|value| secret_text(&value))
    }

    fn uri(&self, uri: &Uri) -> Result<String, Failure> {
        self.eval(|input, view| uri.evaluate(input, view))
    }

    fn http(&self, http: &Http) -> Result<Prepared, Failure> {
        let method = match &http.method {
            TemplateOr::Literal(method) => method.clone(),
            TemplateOr::Expression(expression) => {
                let value = self.eval(|input, view| expression.evaluate(input, view))?;
                value.as_str().map(str::to_ascii_uppercase).ok_or_else(|| {
                    Failure::standard(StandardError::Expression, "the computed method is no text")
                })?
            }
        };
        let call = HttpCall {
            method,
            url: self.uri(&http.endpoint.uri)?,
            headers: self.members(http.headers.as_ref())?,
            query: self.members(http.query.as_ref())?,
            body: http.body.as_ref().map(|body| self.template(body)).transpose()?,
            output: output(http.output),
            takes_redirects: http.redirects == Redirects::Accept,
        };
        let login = self.login(http.endpoint.authentication.as_deref())?;
        Ok(Prepared { call: Outside::Http(call), login })
    }

    fn function(&self, name: &str, call: &dsl::FunctionCall) -> Result<Ready, Failure> {
        let (prepared, _) = catalog::prepare(name, self.template(&call.arguments)?)?;
        Ok(match prepared {
            catalog::Prepared::Http(call) => Prepared { call: Outside::Http(call), login: None }.into(),
            catalog::Prepared::Task(call) => Ready::Function(call),
            catalog::Prepared::Event(_) => {
                let detail = "an event is in the commit of its step";
                return Err(Failure::standard(StandardError::Runtime, detail));
            }
        })
    }

    fn openapi(&self, call: &OpenApi) -> Result<Prepared, Failure> {
        let prepared = OpenApiCall {
            document: self.resource(&call.document)?,
            operation: call.operation.clone(),
            parameters: self.members(call.parameters.as_ref())?,
            output: output(call.output),
            takes_redirects: call.redirects == Redirects::Accept,
        };
        let login = self.login(call.authentication.as_deref())?;
        Ok(Prepared { call: Outside::OpenApi(prepared), login })
    }

    fn asyncapi(&self, call: &AsyncApi) -> Result<Prepared, Failure> {
        let Exchange::Publish { payload, headers } = &call.exchange else {
            let detail = "messages are published and not taken";
            return Err(Failure::standard(StandardError::Configuration, detail));
        };
        let server = |(name, variables): &(String, Option<Template>)| {
            Ok::<_, Failure>((name.clone(), self.members(variables.as_ref())?))
        };
        let prepared = AsyncApiCall {
            document: self.resource(&call.document)?,
            target: call.target.clone(),
            server: call.server.as_ref().map(server).transpose()?,
            protocol: call.protocol,
            payload: payload.as_ref().map_or(Ok(Value::Null), |payload| self.template(payload))?,
            headers: self.members(headers.as_ref())?,
        };
        let login = self.login(call.authentication.as_deref())?;
        Ok(Prepared { call: Outside::AsyncApi(prepared), login })
    }

    fn a2a(&self, call: &A2a) -> Result<Prepared, Failure> {
        let server = call.server.as_ref().map(|endpoint| {
            let url = self.uri(&endpoint.uri)?;
            Ok::<_, Failure>(Resource { url, login: self.login(endpoint.authentication.as_deref())? })
        });
        let prepared = A2aCall {
            card: call.agent_card.as_ref().map(|card| self.resource(card)).transpose()?,
            server: server.transpose()?,
            method: call.method,
            parameters: self.parameters(call.parameters.as_ref())?,
        };
        Ok(Prepared { call: Outside::A2a(prepared), login: None })
    }

    fn parameters(&self, template: Option<&Template>) -> Result<Value, Failure> {
        template.map_or_else(|| Ok(Value::Object(Map::new())), |template| self.template(template))
    }

    fn mcp(&self, call: &Mcp) -> Result<Prepared, Failure> {
        let timeout = match &call.timeout {
            None => None,
            Some(TemplateOr::Literal(time)) => Some(*time),
            Some(TemplateOr::Expression(expression)) => {
                let value = self.eval(|input, view| expression.evaluate(input, view))?;
                let time = duration::from_value(&value);
                Some(time.map_err(|error| Failure::standard(StandardError::Expression, error.to_string()))?)
            }
        };
        let own = || ("trunkline".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
        let (server, login) = match &call.transport {
            Transport::Http { endpoint, headers } => {
                let server = McpServer::Http {
                    url: self.uri(&endpoint.uri)?,
                    headers: self.members(headers.as_ref())?,
                };
                (server, self.login(endpoint.authentication.as_deref())?)
            }
            Transport::Stdio { command, arguments, environment } => {
                let parts = (None, &arguments[..], environment.as_ref());
                let program = Runnable::Program(self.text(command)?);
                (McpServer::Process(self.process_call(program, parts)?), None)
            }
        };
        let prepared = McpCall {
            version: call.protocol_version.clone().unwrap_or_else(|| DEFAULT_VERSION.to_owned()),
            method: call.method,
            parameters: self.parameters(call.parameters.as_ref())?,
            timeout,
            server,
            client: call.client.clone().unwrap_or_else(own),
        };
        Ok(Prepared { call: Outside::Mcp(prepared), login })
    }

    fn grpc(&self, call: &Grpc) -> Result<Prepared, Failure> {
        let prepared = GrpcCall {
            proto: self.resource(&call.proto)?,
            service: call.service.clone(),
            host: call.host.clone(),
            port: call.port,
            method: call.method.clone(),
            arguments: self.parameters(call.arguments.as_ref())?,
        };
        let login = self.login(call.authentication.as_deref())?;
        Ok(Prepared { call: Outside::Grpc(prepared), login })
    }

    fn process(&self, run: &Run) -> Result<Prepared, Failure> {
        let (program, parts) = match &run.process {
            Process::Shell(shell) => {
                let parts = (&shell.stdin, &shell.arguments, &shell.environment);
                (Runnable::Shell(self.text(&shell.command)?), parts)
            }
            Process::Script(script) => {
                let program = match &script.code {
                    Code::Inline(code) => Runnable::Script(script.language, self.text(code)?),
                    Code::External(resource) => Runnable::Fetched(script.language, self.resource(resource)?),
                };
                (program, (&script.stdin, &script.arguments, &script.environment))
            }
            Process::Workflow(_) => {
                let detail = "a workflow is no process";
                return Err(Failure::standard(StandardError::Runtime, detail));
            }
        };
        let (stdin, arguments, environment) = parts;
        let call = self.process_call(program, (stdin.as_ref(), arguments, Some(environment)))?;
        let call = ProcessCall { output: run.output, wait: run.wait, ..call };
        Ok(Prepared { call: Outside::Process(call), login: None })
    }

    /// A process with what it reads, its arguments and its environment; its end is waited for.
    fn process_call(
        &self,
        program: Runnable,
        (stdin, arguments, environment): (Option<&Template>, &[Template], Option<&Template>),
    ) -> Result<ProcessCall, Failure> {
        let environment = self.members(environment)?;
        let call = ProcessCall {
            program,
            arguments: arguments.iter().map(|argument| self.text(argument)).collect::<Result<_, _>>()?,
            environment: environment.iter().map(|(name, value)| (name.clone(), plain(value))).collect(),
            stdin: stdin.map(|stdin| self.text(stdin)).transpose()?,
            output: ProcessOutput::Stdout,
            wait: true,
        };
        let clean = |text: &str| !text.is_empty() && !text.contains(['=', '\0']);
        let texts = call.arguments.iter().chain(call.environment.iter().map(|(_, value)| value));
        if !call.environment.iter().all(|(name, _)| clean(name))
            || texts.clone().any(|text| text.contains('\0'))
        {
            let detail = "a process takes no text with a zero byte, and no name of a variable with `=`";
            return Err(Failure::standard(StandardError::Configuration, detail));
        }
        Ok(call)
    }

    fn resource(&self, resource: &ExternalResource) -> Result<Resource, Failure> {
        let url = self.uri(&resource.endpoint.uri)?;
        Ok(Resource { url, login: self.login(resource.endpoint.authentication.as_deref())? })
    }

    fn members(&self, template: Option<&Template>) -> Result<Map<String, Value>, Failure> {
        let Some(template) = template else { return Ok(Map::new()) };
        match self.template(template)? {
            Value::Object(members) => Ok(members),
            Value::Null => Ok(Map::new()),
            _ => {
                let detail = "headers and parameters are an object of names and values";
                Err(Failure::standard(StandardError::Expression, detail))
            }
        }
    }

    fn login(&self, policy: Option<&Authentication>) -> Result<Option<Login>, Failure> {
        let Some(policy) = policy else { return Ok(None) };
        let login = match policy {
            Authentication::Basic(Credentials::Inline(user)) => Login::Basic(self.user(user)?),
            Authentication::Digest(Credentials::Inline(user)) => Login::Digest(self.user(user)?),
            Authentication::Bearer(Credentials::Inline(token)) => Login::Bearer(self.secret(token)?),
            Authentication::OAuth2(Credentials::Inline(policy)) => {
                let path = policy.token_endpoint.clone().unwrap_or_else(|| TOKEN_PATH.to_owned());
                Login::Token(Box::new(self.token_policy(policy, Endpoints::Path(path))?))
            }
            Authentication::Oidc(Credentials::Inline(policy)) => {
                Login::Token(Box::new(self.token_policy(policy, Endpoints::Discovered)?))
            }
            Authentication::Basic(Credentials::Secret(name)) => {
                Login::Basic(stored_policy::user(name, self.stored(name)?)?)
            }
            Authentication::Digest(Credentials::Secret(name)) => {
                Login::Digest(stored_policy::user(name, self.stored(name)?)?)
            }
            Authentication::Bearer(Credentials::Secret(name)) => {
                Login::Bearer(stored_policy::token(name, self.stored(name)?)?)
            }
            Authentication::OAuth2(Credentials::Secret(name)) => {
                Login::Token(Box::new(stored_policy::oauth2(name, self.stored(name)?, None)?))
            }
            Authentication::Oidc(Credentials::Secret(name)) => {
                let endpoints = Some(Endpoints::Discovered);
                Login::Token(Box::new(stored_policy::oauth2(name, self.stored(name)?, endpoints)?))
            }
        };
        Ok(Some(login))
    }

    fn user(&self, user: &crate::dsl::authentication::UserPassword) -> Result<UserPassword, Failure> {
        Ok(UserPassword { username: self.text(&user.username)?, password: self.secret(&user.password)? })
    }

    fn stored(&self, name: &str) -> Result<&Value, Failure> {
        self.view.known.and_then(|known| known.get(name)).ok_or_else(|| {
            Failure::standard(StandardError::Configuration, format!("the secret `{name}` is not there"))
        })
    }

    fn token_policy(&self, policy: &OAuth2, endpoints: Endpoints) -> Result<TokenPolicy, Failure> {
        let client = policy.client.as_ref();
        let secret = |expression: Option<&Expression>| expression.map(|it| self.secret(it)).transpose();
        let token = |token: Option<&Token>| {
            token.map(|it| Ok::<_, Failure>((self.secret(&it.token)?, it.kind.clone()))).transpose()
        };
        let user = match (&policy.username, &policy.password) {
            (Some(username), Some(password)) => {
                Some(UserPassword { username: self.text(username)?, password: self.secret(password)? })
            }
            _ => None,
        };
        Ok(TokenPolicy {
            authority: self.uri(&policy.authority)?,
            endpoints,
            grant: policy.grant,
            client_id: client.and_then(|it| it.id.as_ref()).map(|id| self.text(id)).transpose()?,
            client_secret: secret(client.and_then(|it| it.secret.as_ref()))?,
            assertion: secret(client.and_then(|it| it.assertion.as_ref()))?,
            client_authentication: client
                .map_or(crate::dsl::authentication::ClientAuthentication::SecretPost, |it| it.authentication),
            encoding: policy.encoding,
            issuers: policy.issuers.clone(),
            scopes: policy.scopes.clone(),
            audiences: policy.audiences.clone(),
            user,
            subject: token(policy.subject.as_ref())?,
            actor: token(policy.actor.as_ref())?,
        })
    }
}

fn output(output: ResponseOutput) -> HttpOutput {
    match output {
        ResponseOutput::Raw => HttpOutput::Raw,
        ResponseOutput::Content => HttpOutput::Content,
        ResponseOutput::Response => HttpOutput::Response,
    }
}

/// A value as text: texts as they are, everything else as JSON.
pub(super) fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
