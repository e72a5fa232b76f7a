//! What lies elsewhere: endpoints, external documents, catalogs.

use std::sync::Arc;

use trunkline_packs::document::Content;
use trunkline_packs::suggest::quoted;

use super::authentication::Authentication;
use crate::expression::{Stage, Uri, UriTemplate, unwrap};
use crate::read::{At, Extra, Fields, Reader};
use crate::rule::Rule;

/// A place to call.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Where.
    pub uri: Uri,
    /// As whom.
    pub authentication: Option<Arc<Authentication>>,
}

/// A document that lies elsewhere.
#[derive(Debug, Clone)]
pub struct ExternalResource {
    /// A name for people.
    pub name: Option<String>,
    /// Where it lies.
    pub endpoint: Endpoint,
}

impl Reader {
    /// Reads an endpoint: a URI, an expression, or a mapping with authentication.
    pub(crate) fn endpoint(&mut self, at: &At<'_>, stage: Stage) -> Option<Endpoint> {
        if matches!(at.node.content, Content::Text(_)) {
            return self.uri(at, stage).map(|uri| Endpoint { uri, authentication: None });
        }
        let mut fields = Fields::open(at, "an endpoint", self)?;
        let uri = fields.required("uri", self).and_then(|at| self.uri(&at, stage));
        let authentication =
            fields.optional("authentication").and_then(|at| self.authentication_or_name(&at, stage));
        fields.close(Extra::Closed, self);
        Some(Endpoint { uri: uri?, authentication })
    }

    /// Reads a URI with placeholders, or an expression.
    pub(crate) fn uri(&mut self, at: &At<'_>, stage: Stage) -> Option<Uri> {
        let text = self.text(at)?;
        if let Some(inner) = unwrap(text) {
            return self.compile(inner, at, stage).map(Uri::Expression);
        }
        self.uri_template(text, at).map(Uri::Literal)
    }

    /// Reads a URI with placeholders.
    pub(crate) fn uri_template(&mut self, text: &str, at: &At<'_>) -> Option<UriTemplate> {
        if !is_uri_template(text) {
            let problem = format!("{} is no URI", quoted(text));
            self.shape(at, problem, "write a URI without spaces, or `${ … }`");
            return None;
        }
        match UriTemplate::parse(text) {
            Ok(template) => Some(template),
            Err(problem) => {
                self.rule(Rule::UriTemplate, at, problem, "mend the placeholder");
                None
            }
        }
    }

    /// Reads the whereabouts of a document.
    pub(crate) fn external_resource(&mut self, at: &At<'_>, stage: Stage) -> Option<ExternalResource> {
        let mut fields = Fields::open(at, "an external resource", self)?;
        let name = self.optional_text(&mut fields, "name");
        let endpoint = fields.required("endpoint", self).and_then(|at| self.endpoint(&at, stage));
        fields.close(Extra::Closed, self);
        Some(ExternalResource { name, endpoint: endpoint? })
    }
}

/// What the schema's pattern for URIs takes: no white space but in what looks like a scheme, and no expression.
fn is_uri_template(text: &str) -> bool {
    if text.is_empty() || text.starts_with(char::is_whitespace) || text.starts_with("${") {
        return false;
    }
    let rest = match text.find([':', '/', '?', '#']) {
        Some(at) if at > 0 && text[at..].starts_with(':') => &text[at + 1..],
        _ => text,
    };
    !rest.contains(char::is_whitespace)
}
