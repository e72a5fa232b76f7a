//! The OpenAPI 3.1 document, made from the same table of [`Operation`]s that the router is made from: a route cannot be
//! served without being described.
//!
//! Schemas of answers are derived from the structs that are sent; schemas of bodies and parameters come from the field
//! tables that check them.

mod operation;
pub(crate) mod schemas;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use trunkline_model::ErrorCode;
use utoipa::{PartialSchema, ToSchema};

use crate::auth::Caller;
use crate::auth::portal::Access;
use crate::problem::{MEDIA_TYPE, ProblemBody, status_of};

pub(crate) use operation::{Answer, Body, Content, Operation};

/// The schemas that the document names.
#[derive(Debug, Default)]
pub(crate) struct Components(BTreeMap<String, Value>);

impl Components {
    /// Adds a schema under a name and gives the reference to it.
    pub(crate) fn add(&mut self, name: &str, schema: impl FnOnce(&mut Self) -> Value) -> Value {
        if !self.0.contains_key(name) {
            // The name is taken before the schema is made, so that one that holds itself ends.
            self.0.insert(name.to_owned(), Value::Null);
            let schema = schema(self);
            self.0.insert(name.to_owned(), schema);
        }
        json!({ "$ref": format!("#/components/schemas/{name}") })
    }
}

/// A type that the document can describe.
pub(crate) trait Described {
    /// A schema, or the reference to one in the components.
    fn reference(components: &mut Components) -> Value;
}

impl<T: ToSchema> Described for T {
    fn reference(components: &mut Components) -> Value {
        let mut inner = Vec::new();
        T::schemas(&mut inner);
        for (name, schema) in inner {
            components.add(&name, |_| to_value(&schema));
        }
        components.add(&T::name(), |_| to_value(&<T as PartialSchema>::schema()))
    }
}

fn to_value(schema: &impl serde::Serialize) -> Value {
    serde_json::to_value(schema).expect("invariant: schemas serialise")
}

/// Makes the document.
pub(crate) fn document(operations: &[Operation]) -> Value {
    let mut components = Components::default();
    ProblemBody::reference(&mut components);
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for operation in operations {
        let described = describe(operation, &mut components);
        paths.entry(operation.path).or_default().insert(operation.method.as_str().to_lowercase(), described);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Trunkline",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
            "description": "Events in, events out, deliveries, and why each happened. Failed answers are RFC 9457 \
                problem details with a stable `code`; lists are paged by cursor; every POST takes an `Idempotency-Key`."
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "schemas": components.0,
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API token, `tlk_…`, with a tenant and a role."
                },
                "password": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "The same token as the password of any user name, for apps on phones."
                }
            }
        }
    })
}

fn describe(operation: &Operation, components: &mut Components) -> Value {
    let mut described = json!({
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "responses": responses(operation, components),
    });
    if !operation.about.is_empty() {
        described["description"] = operation.about.into();
    }
    let parameters = parameters(operation);
    if !parameters.is_empty() {
        described["parameters"] = parameters.into();
    }
    if let Some(body) = &operation.body {
        described["requestBody"] = body.describe(components);
    }
    match operation.permission {
        Some(permission) => {
            described["security"] = match operation.caller {
                Caller::Program => json!([{ "token": [] }]),
                Caller::PhoneApp => json!([{ "token": [] }, { "password": [] }]),
            };
            described["x-permission"] = permission.as_str().into();
            if operation.portal != Access::Closed {
                described["x-portal"] = true.into();
            }
        }
        None => described["security"] = json!([]),
    }
    described
}

fn parameters(operation: &Operation) -> Vec<Value> {
    let mut parameters = Vec::new();
    for (name, schema) in operation.id_names().zip(&operation.path_schemas) {
        parameters.push(json!({ "name": name, "in": "path", "required": true, "schema": schema }));
    }
    for field in operation.query {
        let schema = field.kind.schema();
        parameters.push(json!({
            "name": field.name,
            "in": "query",
            "required": field.required,
            "description": field.about,
            "schema": schema,
        }));
    }
    if operation.takes_if_match {
        parameters.push(json!({
            "name": "If-Match",
            "in": "header",
            "description": "The `ETag` that was read; 412 when it was changed since.",
            "schema": { "type": "string", "pattern": "^(\\*|\"[0-9]{1,18}\")$" },
        }));
    }
    if operation.takes_idempotency_key() {
        parameters.push(json!({
            "name": "Idempotency-Key",
            "in": "header",
            "description": "Repeats of a POST under the same key get the first answer and do nothing.",
            "schema": { "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$" },
        }));
    }
    parameters
}

fn responses(operation: &Operation, components: &mut Components) -> Map<String, Value> {
    let mut responses = Map::new();
    let request_id =
        json!({ "description": "The request's id.", "schema": { "type": "string", "maxLength": 128 } });
    for answer in &operation.answers {
        let mut response = json!({ "description": answer.about, "headers": { "x-request-id": request_id } });
        match answer.content {
            Content::None => {}
            Content::Text(media_type) => {
                response["content"] = json!({ media_type: { "schema": { "type": "string" } } });
            }
            Content::Json(schema) => {
                response["content"] = json!({ "application/json": { "schema": schema(components) } });
            }
        }
        for (name, about) in answer.headers {
            response["headers"][*name] = json!({ "description": about, "schema": { "type": "string" } });
        }
        responses.insert(answer.status.to_string(), response);
    }
    let mut by_status: BTreeMap<u16, Vec<&ErrorCode>> = BTreeMap::new();
    let problems = operation.all_problems();
    for code in &problems {
        by_status.entry(status_of(*code).as_u16()).or_default().push(code);
    }
    for (status, codes) in by_status {
        let names: Vec<String> = codes.iter().map(|code| format!("`{code}`")).collect();
        let mut headers = json!({ "x-request-id": request_id });
        if status == 401 {
            headers["WWW-Authenticate"] =
                json!({ "description": "`Bearer`", "schema": { "type": "string" } });
        }
        if matches!(status, 408 | 409 | 429 | 503) {
            headers["Retry-After"] =
                json!({ "description": "Seconds to wait.", "schema": { "type": "integer", "minimum": 0 } });
        }
        responses.insert(
            status.to_string(),
            json!({
                "description": names.join(", "),
                "headers": headers,
                "content": { MEDIA_TYPE: { "schema": { "$ref": "#/components/schemas/Problem" } } },
            }),
        );
    }
    responses
}
