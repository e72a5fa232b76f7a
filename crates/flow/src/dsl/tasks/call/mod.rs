//! `call`: reaches a service or a function. One file for each kind of call.

pub mod a2a;
pub mod asyncapi;
pub mod function;
pub mod grpc;
pub mod http;
pub mod human;
pub mod mcp;
pub mod openapi;

use crate::read::{At, Fields, Reader};

/// A call.
#[derive(Debug, Clone)]
pub enum Call {
    /// An HTTP request.
    Http(Box<http::Http>),
    /// An operation of an OpenAPI document.
    OpenApi(Box<openapi::OpenApi>),
    /// An operation of an AsyncAPI document.
    AsyncApi(Box<asyncapi::AsyncApi>),
    /// A gRPC method.
    Grpc(Box<grpc::Grpc>),
    /// An agent, by the A2A protocol.
    A2a(Box<a2a::A2a>),
    /// A tool, prompt or resource, by the Model Context Protocol.
    Mcp(Box<mcp::Mcp>),
    /// A function: the workflow's own, of a catalog, or behind a URL.
    Function(Box<function::FunctionCall>),
    /// A person.
    Human(Box<human::HumanTask>),
}

/// What of an HTTP response becomes the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ResponseOutput {
    /// The body as it came, in base64.
    Raw,
    /// The body, read by its content type.
    #[default]
    Content,
    /// Request, status, headers and content.
    Response,
}

/// What becomes of a 3xx answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Redirects {
    /// It is an error.
    #[default]
    Refuse,
    /// It is an answer as any other.
    Accept,
}

const OUTPUTS: [(&str, ResponseOutput); 3] = [
    ("raw", ResponseOutput::Raw),
    ("content", ResponseOutput::Content),
    ("response", ResponseOutput::Response),
];

impl Reader {
    pub(super) fn call(&mut self, fields: &mut Fields<'_>) -> Option<Call> {
        let at = fields.required("call", self)?;
        let with = fields.optional("with");
        let kind = self.text(&at)?.to_owned();
        let is_protocol = matches!(kind.as_str(), "http" | "openapi" | "asyncapi" | "grpc" | "a2a" | "mcp");
        if !is_protocol {
            return self.function_call(&kind, &at, with.as_ref());
        }
        let Some(with) = with else {
            self.shape(&at, "the call has no `with`", "say under `with` what to call");
            return None;
        };
        self.protocol_call(&kind, &with)
    }

    fn protocol_call(&mut self, kind: &str, with: &At<'_>) -> Option<Call> {
        Some(match kind {
            "http" => Call::Http(Box::new(self.http(with)?)),
            "openapi" => Call::OpenApi(Box::new(self.openapi(with)?)),
            "asyncapi" => Call::AsyncApi(Box::new(self.asyncapi(with)?)),
            "grpc" => Call::Grpc(Box::new(self.grpc(with)?)),
            "a2a" => Call::A2a(Box::new(self.a2a(with)?)),
            _ => Call::Mcp(Box::new(self.mcp(with)?)),
        })
    }

    /// Reads `output` and `redirect`, which calls over HTTP share.
    fn response(&mut self, fields: &mut Fields<'_>) -> (ResponseOutput, Redirects) {
        let output = fields.optional("output").and_then(|at| self.choice(&at, &OUTPUTS)).unwrap_or_default();
        let accepts = fields.optional("redirect").and_then(|at| self.flag(&at)).unwrap_or_default();
        (output, if accepts { Redirects::Accept } else { Redirects::Refuse })
    }
}
