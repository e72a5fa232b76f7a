//! `call: http`: an HTTP request.

use trunkline_packs::suggest::quoted;

use super::{Redirects, ResponseOutput};
use crate::dsl::resource::Endpoint;
use crate::expression::{Stage, Template, TemplateOr};
use crate::read::{At, Extra, Fields, Reader};
use crate::rule::Rule;

/// An HTTP request.
#[derive(Debug, Clone)]
pub struct Http {
    /// The method, in upper case.
    pub method: TemplateOr<String>,
    /// Where to.
    pub endpoint: Endpoint,
    /// Headers, names to texts.
    pub headers: Option<Template>,
    /// The body.
    pub body: Option<Template>,
    /// Query parameters, names to texts.
    pub query: Option<Template>,
    /// What of the answer becomes the output.
    pub output: ResponseOutput,
    /// What becomes of a 3xx answer.
    pub redirects: Redirects,
}

impl Reader {
    pub(super) fn http(&mut self, with: &At<'_>) -> Option<Http> {
        let stage = Stage::Body;
        let mut fields = Fields::open(with, "an HTTP call", self)?;
        let method = fields.required("method", self).and_then(|at| self.method(&at));
        let endpoint = fields.required("endpoint", self).and_then(|at| self.endpoint(&at, stage));
        let headers = fields.optional("headers").and_then(|at| self.text_map_or_expression(&at, stage));
        let body = fields.optional("body").map(|at| self.template(&at, stage));
        let query = fields.optional("query").and_then(|at| self.text_map_or_expression(&at, stage));
        let (output, redirects) = self.response(&mut fields);
        fields.close(Extra::Closed, self);
        Some(Http { method: method?, endpoint: endpoint?, headers, body, query, output, redirects })
    }

    fn method(&mut self, at: &At<'_>) -> Option<TemplateOr<String>> {
        self.text_or_expression(at, Stage::Body, |reader, text| {
            let method = text.to_ascii_uppercase();
            let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
            if !known.contains(&method.as_str()) {
                let problem = format!("{} is no method that can be called", quoted(text));
                reader.rule(Rule::Values, at, problem, format!("write one of {}", known.join(", ")));
                return None;
            }
            Some(method)
        })
    }
}
