//! One operation: its route, its rule, what it takes and answers, and its handler.

use axum::handler::Handler;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, MethodRouter, on};
use http::Method;
use serde_json::{Value, json};
use trunkline_model::ErrorCode;

use super::{Components, Described};
use crate::auth::portal::Access;
use crate::auth::{Caller, Grant, Permission};
use crate::guard::{Rule, guard};
use crate::input::{Field, object_schema};
use crate::state::ApiState;

/// What an answer holds.
#[derive(Clone, Copy)]
pub(crate) enum Content {
    /// Nothing.
    None,
    /// JSON of this schema.
    Json(fn(&mut Components) -> Value),
    /// Text of this media type.
    Text(&'static str),
}

/// One good answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) about: &'static str,
    pub(crate) content: Content,
    pub(crate) headers: &'static [(&'static str, &'static str)],
}

impl Answer {
    pub(crate) fn json<T: Described>(status: u16, about: &'static str) -> Self {
        Self { status, about, content: Content::Json(T::reference), headers: &[] }
    }

    pub(crate) fn empty(status: u16, about: &'static str) -> Self {
        Self { status, about, content: Content::None, headers: &[] }
    }

    pub(crate) fn text(media_type: &'static str, about: &'static str) -> Self {
        Self { status: 200, about, content: Content::Text(media_type), headers: &[] }
    }

    /// The same answer naming headers of its own.
    pub(crate) fn with_headers(self, headers: &'static [(&'static str, &'static str)]) -> Self {
        Self { headers, ..self }
    }
}

/// What an operation reads.
pub(crate) enum Body {
    /// An object with these fields, described under this name.
    Object { name: &'static str, fields: &'static [Field], is_required: bool },
    /// One of several media types, each with its schema.
    OneOf(fn(&mut Components) -> Value),
}

impl Body {
    pub(crate) fn describe(&self, components: &mut Components) -> Value {
        match self {
            Self::OneOf(content) => json!({ "required": true, "content": content(components) }),
            Self::Object { name, fields, is_required } => {
                let schema = components.add(name, |_| object_schema(fields));
                json!({ "required": is_required, "content": { "application/json": { "schema": schema } } })
            }
        }
    }
}

/// One operation of the API.
pub(crate) struct Operation {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) id: &'static str,
    pub(crate) tag: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) about: &'static str,
    /// `None` for the few that anybody may call.
    pub(crate) permission: Option<Permission>,
    /// How far tokens for the receiving side may call it.
    pub(crate) portal: Access,
    /// By whom it is called, usually.
    pub(crate) caller: Caller,
    /// Schemas of the parameters in the path, in their order.
    pub(crate) path_schemas: Vec<Value>,
    pub(crate) query: &'static [Field],
    pub(crate) takes_if_match: bool,
    pub(crate) body: Option<Body>,
    pub(crate) answers: Vec<Answer>,
    problems: &'static [ErrorCode],
    handler: MethodRouter<ApiState>,
}

impl Operation {
    fn new(method: Method, path: &'static str, id: &'static str, handler: MethodRouter<ApiState>) -> Self {
        Self {
            method,
            path,
            id,
            tag: "hub",
            summary: "",
            about: "",
            permission: None,
            portal: Access::Closed,
            caller: Caller::Program,
            path_schemas: Vec::new(),
            query: &[],
            takes_if_match: false,
            body: None,
            answers: Vec::new(),
            problems: &[],
            handler,
        }
    }

    pub(crate) fn get<T: 'static>(
        path: &'static str,
        id: &'static str,
        handler: impl Handler<T, ApiState>,
    ) -> Self {
        Self::new(Method::GET, path, id, on(MethodFilter::GET, handler))
    }

    pub(crate) fn post<T: 'static>(
        path: &'static str,
        id: &'static str,
        handler: impl Handler<T, ApiState>,
    ) -> Self {
        Self::new(Method::POST, path, id, on(MethodFilter::POST, handler))
    }

    pub(crate) fn put<T: 'static>(
        path: &'static str,
        id: &'static str,
        handler: impl Handler<T, ApiState>,
    ) -> Self {
        Self::new(Method::PUT, path, id, on(MethodFilter::PUT, handler))
    }

    pub(crate) fn delete<T: 'static>(
        path: &'static str,
        id: &'static str,
        handler: impl Handler<T, ApiState>,
    ) -> Self {
        Self::new(Method::DELETE, path, id, on(MethodFilter::DELETE, handler))
    }

    /// Says what it does.
    pub(crate) fn about(self, tag: &'static str, summary: &'static str) -> Self {
        Self { tag, summary, ..self }
    }

    /// Says more than the summary does.
    pub(crate) fn details(self, about: &'static str) -> Self {
        Self { about, ..self }
    }

    /// Says what the caller's role must include.
    pub(crate) fn permit<G: Grant>(self) -> Self {
        Self { permission: Some(G::PERMISSION), ..self }
    }

    /// Opens it to tokens for the receiving side.
    pub(crate) fn portal(self, portal: Access) -> Self {
        Self { portal, ..self }
    }

    /// Says that apps on phones call it, which show their token as a password and have parameters of their own.
    pub(crate) fn for_phone_apps(self) -> Self {
        Self { caller: Caller::PhoneApp, ..self }
    }

    /// Describes the id in the path by its prefix.
    pub(crate) fn id_of(self, prefix: &str) -> Self {
        let pattern = format!("^{prefix}[0-9a-f]{{32}}$");
        self.id_schema(json!({ "type": "string", "pattern": pattern }))
    }

    /// Describes the parameter in the path; where there are several, the next one.
    pub(crate) fn id_schema(mut self, schema: Value) -> Self {
        self.path_schemas.push(schema);
        self
    }

    pub(crate) fn query(self, query: &'static [Field]) -> Self {
        Self { query, ..self }
    }

    pub(crate) fn if_match(self) -> Self {
        Self { takes_if_match: true, ..self }
    }

    pub(crate) fn body(self, body: Body) -> Self {
        Self { body: Some(body), ..self }
    }

    pub(crate) fn answer(mut self, answer: Answer) -> Self {
        self.answers.push(answer);
        self
    }

    /// The problems of this operation besides those that every one has.
    pub(crate) fn problems(self, problems: &'static [ErrorCode]) -> Self {
        Self { problems, ..self }
    }

    /// The names of the parameters in the path.
    pub(crate) fn id_names(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('{').skip(1).filter_map(|rest| rest.split_once('}').map(|(name, _)| name))
    }

    pub(crate) fn takes_idempotency_key(&self) -> bool {
        self.method == Method::POST && self.permission.is_some()
    }

    /// Every problem that the operation can answer, each once, in the order of the catalogue.
    pub(crate) fn all_problems(&self) -> Vec<ErrorCode> {
        use ErrorCode as C;
        let mut codes = self.problems.to_vec();
        codes.extend([C::RequestTimeout, C::ServerInternal]);
        if self.permission.is_some() {
            codes.extend([C::RequestInvalid, C::AuthMissing, C::AuthInvalid, C::AuthForbidden]);
            codes.extend([C::RequestRateLimited, C::StoreUnavailable]);
        }
        if self.method != Method::GET || self.caller == Caller::PhoneApp {
            codes.extend([C::HubDraining, C::StoreFull]);
        }
        if self.takes_idempotency_key() {
            codes.extend([C::RequestIdempotencyMismatch, C::RequestIdempotencyInProgress]);
        }
        if self.body.is_some() || self.takes_idempotency_key() {
            codes.extend([C::RequestMalformed, C::RequestTooLarge]);
        }
        if self.body.is_some() {
            codes.push(C::RequestUnsupportedMediaType);
        }
        C::ALL.iter().copied().filter(|code| codes.contains(code)).collect()
    }

    /// The handler behind its guard.
    pub(crate) fn into_route(self, state: &ApiState) -> (&'static str, MethodRouter<ApiState>) {
        let handler = match self.permission {
            None => self.handler,
            Some(permission) => {
                let rule = Rule { permission, portal: self.portal, query: self.query, caller: self.caller };
                self.handler.route_layer(from_fn_with_state((state.clone(), rule), guard))
            }
        };
        (self.path, handler)
    }
}
