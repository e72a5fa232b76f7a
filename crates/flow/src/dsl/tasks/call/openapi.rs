//! `call: openapi`: an operation of an OpenAPI document.

use std::sync::Arc;

use super::{Redirects, ResponseOutput};
use crate::dsl::authentication::Authentication;
use crate::dsl::resource::ExternalResource;
use crate::expression::{Stage, Template};
use crate::read::{At, Extra, Fields, Reader};

/// An operation of an OpenAPI document.
#[derive(Debug, Clone)]
pub struct OpenApi {
    /// The document.
    pub document: ExternalResource,
    /// Which of its operations.
    pub operation: String,
    /// The operation's parameters by name.
    pub parameters: Option<Template>,
    /// As whom.
    pub authentication: Option<Arc<Authentication>>,
    /// What of the answer becomes the output.
    pub output: ResponseOutput,
    /// What becomes of a 3xx answer.
    pub redirects: Redirects,
}

impl Reader {
    pub(super) fn openapi(&mut self, with: &At<'_>) -> Option<OpenApi> {
        let stage = Stage::Body;
        let mut fields = Fields::open(with, "an OpenAPI call", self)?;
        let document = fields.required("document", self).and_then(|at| self.external_resource(&at, stage));
        let operation = self.required_text(&mut fields, "operationId");
        let parameters = fields.optional("parameters").map(|at| self.object_template(&at, stage));
        let authentication =
            fields.optional("authentication").and_then(|at| self.authentication_or_name(&at, stage));
        let (output, redirects) = self.response(&mut fields);
        fields.close(Extra::Closed, self);
        Some(OpenApi {
            document: document?,
            operation: operation?,
            parameters,
            authentication,
            output,
            redirects,
        })
    }
}
