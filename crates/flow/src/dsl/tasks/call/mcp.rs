//! `call: mcp`: a tool, prompt or resource of a server of the Model Context Protocol.

use crate::dsl::duration::Delay;
use crate::dsl::resource::Endpoint;
use crate::expression::{Stage, Template};
use crate::read::{At, Extra, Fields, Reader};

/// A method of an MCP server.
#[derive(Debug, Clone)]
pub struct Mcp {
    /// The version of the protocol; `2025-06-18` where absent.
    pub protocol_version: Option<String>,
    /// The method.
    pub method: &'static str,
    /// The method's parameters.
    pub parameters: Option<Template>,
    /// How long the call may take.
    pub timeout: Option<Delay>,
    /// How to reach the server.
    pub transport: Transport,
    /// Who calls: name and version.
    pub client: Option<(String, String)>,
}

/// How to reach an MCP server.
#[derive(Debug, Clone)]
pub enum Transport {
    /// Over HTTP.
    Http {
        /// Where it is.
        endpoint: Endpoint,
        /// Headers for every request.
        headers: Option<Template>,
    },
    /// As a process of this machine; needs the operator's switch (rule 23).
    Stdio {
        /// The command.
        command: Template,
        /// Its arguments.
        arguments: Vec<Template>,
        /// Its environment.
        environment: Option<Template>,
    },
}

const METHODS: [&str; 7] = [
    "tools/list",
    "tools/call",
    "prompts/list",
    "prompts/get",
    "resources/list",
    "resources/read",
    "resources/templates/list",
];

impl Reader {
    pub(super) fn mcp(&mut self, with: &At<'_>) -> Option<Mcp> {
        let stage = Stage::Body;
        let mut fields = Fields::open(with, "an MCP call", self)?;
        let protocol_version = self.optional_text(&mut fields, "protocolVersion");
        let method =
            fields.required("method", self).and_then(|at| self.choice(&at, &METHODS.map(|it| (it, it))));
        let parameters = fields.optional("parameters").and_then(|at| self.transformation(&at, stage));
        let timeout = fields.optional("timeout").and_then(|at| self.duration(&at, stage));
        let transport = fields.required("transport", self).and_then(|at| self.transport(&at));
        let client = fields.optional("client").and_then(|at| self.mcp_client(&at));
        fields.close(Extra::Open, self);
        Some(Mcp { protocol_version, method: method?, parameters, timeout, transport: transport?, client })
    }

    fn mcp_client(&mut self, at: &At<'_>) -> Option<(String, String)> {
        let mut fields = Fields::open(at, "a client", self)?;
        let [name, version] = ["name", "version"].map(|key| self.required_text(&mut fields, key));
        fields.close(Extra::Open, self);
        Some((name?, version?))
    }

    fn transport(&mut self, at: &At<'_>) -> Option<Transport> {
        let mut fields = Fields::open(at, "a transport", self)?;
        let kind = fields.one_of(&["http", "stdio"], self);
        if let Some(at) = fields.optional("options") {
            self.text_map(&at, Stage::Body);
        }
        fields.close(Extra::Open, self);
        let inner = at.peek(kind?)?;
        if kind? == "http" { self.http_transport(&inner) } else { self.stdio_transport(&inner) }
    }

    fn http_transport(&mut self, at: &At<'_>) -> Option<Transport> {
        let mut fields = Fields::open(at, "an HTTP transport", self)?;
        let endpoint = fields.required("endpoint", self).and_then(|at| self.endpoint(&at, Stage::Body));
        let headers = fields.optional("headers").map(|at| self.text_map(&at, Stage::Body));
        fields.close(Extra::Open, self);
        Some(Transport::Http { endpoint: endpoint?, headers })
    }

    fn stdio_transport(&mut self, at: &At<'_>) -> Option<Transport> {
        let stage = Stage::Body;
        let mut fields = Fields::open(at, "a stdio transport", self)?;
        let command = fields.required("command", self).map(|at| self.text_value(&at, stage));
        let arguments = fields.optional("arguments").map(|at| self.text_templates(&at, stage));
        let environment = fields.optional("environment").map(|at| self.text_map(&at, stage));
        fields.close(Extra::Open, self);
        Some(Transport::Stdio { command: command?, arguments: arguments.unwrap_or_default(), environment })
    }
}
