//! `call: grpc`: a method of a gRPC service.

use std::sync::Arc;

use crate::dsl::authentication::Authentication;
use crate::dsl::resource::ExternalResource;
use crate::expression::{Stage, Template};
use crate::read::{At, Extra, Fields, Reader};

/// A gRPC method.
#[derive(Debug, Clone)]
pub struct Grpc {
    /// The description of the service.
    pub proto: ExternalResource,
    /// The service's name.
    pub service: String,
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: Option<u16>,
    /// As whom.
    pub authentication: Option<Arc<Authentication>>,
    /// The method.
    pub method: String,
    /// Its arguments.
    pub arguments: Option<Template>,
}

impl Reader {
    pub(super) fn grpc(&mut self, with: &At<'_>) -> Option<Grpc> {
        let stage = Stage::Body;
        let mut fields = Fields::open(with, "a gRPC call", self)?;
        let proto = fields.required("proto", self).and_then(|at| self.external_resource(&at, stage));
        let service = fields.required("service", self).and_then(|at| self.service(&at));
        let method = self.required_text(&mut fields, "method");
        let arguments = fields.optional("arguments").map(|at| self.object_template(&at, stage));
        fields.close(Extra::Closed, self);
        let (service, host, port, authentication) = service?;
        Some(Grpc { proto: proto?, service, host, port, authentication, method: method?, arguments })
    }

    #[allow(clippy::type_complexity, reason = "taken apart by the one caller")]
    fn service(&mut self, at: &At<'_>) -> Option<(String, String, Option<u16>, Option<Arc<Authentication>>)> {
        let mut fields = Fields::open(at, "a service", self)?;
        let name = self.required_text(&mut fields, "name");
        let host = fields.required("host", self).and_then(|at| self.host(&at));
        let port = fields.optional("port").and_then(|at| self.port(&at));
        let authentication =
            fields.optional("authentication").and_then(|at| self.authentication_or_name(&at, Stage::Body));
        fields.close(Extra::Closed, self);
        Some((name?, host?, port, authentication))
    }

    fn port(&mut self, at: &At<'_>) -> Option<u16> {
        let number = self.integer(at)?;
        let port = u16::try_from(number).ok();
        if port.is_none() {
            self.shape(at, "is no port", "write a number from 0 to 65535");
        }
        port
    }

    fn host(&mut self, at: &At<'_>) -> Option<String> {
        let host = self.text(at)?;
        let inner = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
        let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        let bytes = host.as_bytes();
        if !inner || host.len() > 63 || !ends(bytes.first()) || !ends(bytes.last()) {
            self.shape(at, "is no name of a host", "write letters, digits, dots and hyphens, at most 63");
            return None;
        }
        Some(host.to_owned())
    }
}
