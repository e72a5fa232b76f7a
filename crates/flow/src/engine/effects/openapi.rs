//! Operations of OpenAPI documents (3.x, and 2.0 as Swagger was called): an operation and parameters become an HTTP
//! request. Pure; the document comes from the caller.

use percent_encoding::utf8_percent_encode;
use serde_json::{Map, Value};
use url::Url;

use super::documents::{Document, Resource};
use super::world::wrong;
use crate::dsl::error::StandardError;
use crate::engine::input::Failure;
use crate::engine::secrets::UNRESERVED;
use crate::engine::state::{HttpCall, HttpOutput};

/// References deeper than this lead in circles.
const MAX_REFERENCES: usize = 16;
const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// An operation to call.
#[derive(Debug, Clone)]
pub struct OpenApiCall {
    /// The document that describes it.
    pub document: Resource,
    /// Its `operationId`.
    pub operation: String,
    /// Its parameters by name, `body` among them.
    pub parameters: Map<String, Value>,
    /// What of the answer is the result.
    pub output: HttpOutput,
    /// Whether a 3xx answer is a result.
    pub takes_redirects: bool,
}

/// The request for an operation.
pub(super) fn request(document: &Document, call: &OpenApiCall) -> Result<HttpCall, Failure> {
    let root = document.value()?;
    let is_old = root.get("swagger").is_some();
    if !is_old && !root.get("openapi").and_then(Value::as_str).is_some_and(|it| it.starts_with("3.")) {
        return Err(wrong("the document is no OpenAPI 3 or Swagger 2 description"));
    }
    let operation = find(root, &call.operation)?;
    let mut built =
        Built { path: operation.path.to_owned(), left: call.parameters.clone(), ..Built::default() };
    for parameter in operation.parameters(root)? {
        built.place(parameter)?;
    }
    if !is_old {
        built.body_of(root, operation.node)?;
    }
    if let Some(name) = built.left.keys().next() {
        return Err(wrong(format!("the operation {} has no parameter `{name}`", call.operation)));
    }
    let server =
        if is_old { old_server(root, &document.url) } else { server(root, &operation, &document.url) }?;
    if !built.cookies.is_empty() {
        built.headers.insert("cookie".to_owned(), built.cookies.join("; ").into());
    }
    if let Some(kind) = built.content_type {
        built.headers.insert("content-type".to_owned(), kind.into());
    }
    built.headers.entry("accept").or_insert("application/json, */*;q=0.8".into());
    Ok(HttpCall {
        method: operation.method.to_ascii_uppercase(),
        url: format!("{}/{}", server.trim_end_matches('/'), built.path.trim_start_matches('/')),
        headers: built.headers,
        query: built.query,
        body: built.body,
        output: call.output,
        takes_redirects: call.takes_redirects,
    })
}

/// An operation with what stands around it.
struct Operation<'d> {
    path: &'d str,
    method: &'static str,
    item: &'d Value,
    node: &'d Value,
}

fn find<'d>(root: &'d Value, wanted: &str) -> Result<Operation<'d>, Failure> {
    let paths = root.get("paths").and_then(Value::as_object).into_iter().flatten();
    for (path, item) in paths {
        let item = resolved(root, item)?;
        for method in METHODS {
            if let Some(node) = item.get(method)
                && node.get("operationId").and_then(Value::as_str) == Some(wanted)
            {
                return Ok(Operation { path, method, item, node });
            }
        }
    }
    Err(wrong(format!("the document has no operation `{wanted}`")))
}

/// Follows references within the document.
fn resolved<'d>(root: &'d Value, mut node: &'d Value) -> Result<&'d Value, Failure> {
    for _ in 0..MAX_REFERENCES {
        let Some(reference) = node.get("$ref").and_then(Value::as_str) else { return Ok(node) };
        let pointer = reference.strip_prefix('#');
        let pointer = pointer.ok_or_else(|| wrong("the document refers to another document"))?;
        let pointer = percent_encoding::percent_decode_str(pointer).decode_utf8_lossy();
        node = root.pointer(&pointer).ok_or_else(|| wrong("the document refers to what it does not hold"))?;
    }
    Err(wrong("the document refers to itself without end"))
}

impl<'d> Operation<'d> {
    /// Its parameters; those of the operation itself take the place of those of the path.
    fn parameters(&self, root: &'d Value) -> Result<Vec<&'d Value>, Failure> {
        let mut found: Vec<&Value> = Vec::new();
        for list in [self.item, self.node].map(|node| node.get("parameters").and_then(Value::as_array)) {
            for parameter in list.into_iter().flatten() {
                let parameter = resolved(root, parameter)?;
                let same = |other: &&Value| {
                    other.get("name") == parameter.get("name") && other.get("in") == parameter.get("in")
                };
                match found.iter().position(same) {
                    Some(place) => found[place] = parameter,
                    None => found.push(parameter),
                }
            }
        }
        Ok(found)
    }
}

/// A request that is being put together.
#[derive(Default)]
struct Built {
    path: String,
    query: Map<String, Value>,
    headers: Map<String, Value>,
    cookies: Vec<String>,
    form: Map<String, Value>,
    body: Option<Value>,
    content_type: Option<&'static str>,
    /// Parameters that were given and have no place yet.
    left: Map<String, Value>,
}

impl Built {
    fn place(&mut self, parameter: &Value) -> Result<(), Failure> {
        let text = |key: &str| parameter.get(key).and_then(Value::as_str);
        let (Some(name), Some(place)) = (text("name"), text("in")) else {
            return Err(wrong("a parameter of the document has no name or place"));
        };
        let value = match self.left.remove(name).filter(|value| !value.is_null()) {
            Some(value) => value,
            None if parameter.get("required") == Some(&Value::Bool(true)) => {
                let detail = format!("the parameter `{name}` is missing");
                return Err(Failure::standard(StandardError::Validation, detail));
            }
            None => return Ok(()),
        };
        let is_form = matches!(text("style"), None | Some("form"));
        let explodes = match parameter.get("explode").and_then(Value::as_bool) {
            Some(explodes) => explodes,
            // Swagger 2 says it another way.
            None => text("type").is_none() && is_form || text("collectionFormat") == Some("multi"),
        };
        match place {
            "path" => {
                let encoded = utf8_percent_encode(&joined(&value, ","), UNRESERVED).to_string();
                self.path = self.path.replace(&format!("{{{name}}}"), &encoded);
            }
            "query" => self.put_query(name, value, explodes, text("style")),
            "header" => drop(self.headers.insert(name.to_ascii_lowercase(), joined(&value, ",").into())),
            "cookie" => {
                let text = joined(&value, ",");
                self.cookies.push(format!("{name}={}", utf8_percent_encode(&text, UNRESERVED)));
            }
            "body" => self.body = Some(value),
            "formData" => {
                self.form.insert(name.to_owned(), value);
                self.put_form();
            }
            _ => return Err(wrong(format!("the parameter `{name}` has an unknown place"))),
        }
        Ok(())
    }

    fn put_query(&mut self, name: &str, value: Value, explodes: bool, style: Option<&str>) {
        match (value, style) {
            (Value::Object(members), Some("deepObject")) => {
                let members = members.into_iter();
                self.query.extend(members.map(|(member, value)| (format!("{name}[{member}]"), value)));
            }
            (Value::Object(members), _) if explodes => self.query.extend(members),
            (value @ Value::Array(_), _) if explodes => drop(self.query.insert(name.to_owned(), value)),
            (value, style) => {
                let separator = match style {
                    Some("spaceDelimited") => " ",
                    Some("pipeDelimited") => "|",
                    _ => ",",
                };
                self.query.insert(name.to_owned(), joined(&value, separator).into());
            }
        }
    }

    fn put_form(&mut self) {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in &self.form {
            let one = std::slice::from_ref(value);
            for value in value.as_array().map_or(one, Vec::as_slice) {
                form.append_pair(name, &joined(value, ","));
            }
        }
        self.body = Some(form.finish().into());
        self.content_type = Some("application/x-www-form-urlencoded");
    }

    /// The body of an operation of OpenAPI 3: the parameter `body`, or an object of all that have no other place.
    fn body_of(&mut self, root: &Value, operation: &Value) -> Result<(), Failure> {
        let Some(wanted) = operation.get("requestBody") else { return Ok(()) };
        let wanted = resolved(root, wanted)?;
        let value = match self.left.remove("body") {
            Some(value) => value,
            None if !self.left.is_empty() => Value::Object(std::mem::take(&mut self.left)),
            None if wanted.get("required") == Some(&Value::Bool(true)) => {
                return Err(Failure::standard(StandardError::Validation, "the parameter `body` is missing"));
            }
            None => return Ok(()),
        };
        let kinds: Vec<&String> =
            wanted.get("content").and_then(Value::as_object).into_iter().flat_map(Map::keys).collect();
        let has = |test: &dyn Fn(&str) -> bool| kinds.iter().any(|kind| test(kind));
        match () {
            () if has(&|kind: &str| kind.contains("json") || kind == "*/*") => {
                // Text is a JSON text here, not a body of its own.
                self.content_type = Some("application/json");
                self.body = Some(match value {
                    text @ Value::String(_) => text.to_string().into(),
                    value => value,
                });
            }
            () if has(&|kind: &str| kind == "application/x-www-form-urlencoded") => {
                let Value::Object(members) = value else {
                    return Err(wrong("the body of a form is an object"));
                };
                self.form = members;
                self.put_form();
            }
            () if has(&|kind: &str| kind.starts_with("text/")) => {
                self.content_type = Some("text/plain; charset=utf-8");
                self.body = Some(joined(&value, ",").into());
            }
            () => {
                return Err(wrong(
                    "the operation takes none of the bodies that can be sent: JSON, form, text",
                ));
            }
        }
        Ok(())
    }
}

/// A value in one text: lists and objects with separators.
fn joined(value: &Value, separator: &str) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            items.iter().map(|item| joined(item, separator)).collect::<Vec<_>>().join(separator)
        }
        Value::Object(members) => {
            let pairs =
                members.iter().map(|(name, value)| format!("{name}{separator}{}", joined(value, separator)));
            pairs.collect::<Vec<_>>().join(separator)
        }
        other => other.to_string(),
    }
}

/// The first server of the operation, the path or the document, with the defaults of its variables.
fn server(root: &Value, operation: &Operation<'_>, from: &str) -> Result<String, Failure> {
    let first =
        [operation.node, operation.item, root].into_iter().find_map(|node| node.get("servers")?.get(0));
    let mut url =
        first.and_then(|server| server.get("url")).and_then(Value::as_str).unwrap_or("/").to_owned();
    let variables = first.and_then(|server| server.get("variables")).and_then(Value::as_object);
    for (name, variable) in variables.into_iter().flatten() {
        let default = variable.get("default").and_then(Value::as_str).unwrap_or_default();
        url = url.replace(&format!("{{{name}}}"), default);
    }
    let base = Url::parse(from).map_err(|_| wrong("the document's address is no URL"))?;
    base.join(&url).map(|url| url.to_string()).map_err(|_| wrong("the server of the document is no URL"))
}

fn old_server(root: &Value, from: &str) -> Result<String, Failure> {
    let base = Url::parse(from).map_err(|_| wrong("the document's address is no URL"))?;
    let text = |key: &str| root.get(key).and_then(Value::as_str);
    let schemes: Vec<&str> = root
        .get("schemes")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let scheme = match schemes.as_slice() {
        [] => base.scheme(),
        schemes if schemes.contains(&"https") => "https",
        [first, ..] => first,
    };
    let own = &base[url::Position::BeforeHost..url::Position::AfterPort];
    Ok(format!("{scheme}://{}{}", text("host").unwrap_or(own), text("basePath").unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // everything here is a test

    use serde_json::json;

    use super::*;

    fn check(document: Value, operation: &str, parameters: Value) -> Result<HttpCall, String> {
        let Value::Object(parameters) = parameters else { panic!("parameters are an object") };
        let document = Document::for_tests("https://docs.test/v3/api.json", document);
        let call = OpenApiCall {
            document: Resource { url: "https://docs.test/v3/api.json".to_owned(), login: None },
            operation: operation.to_owned(),
            parameters,
            output: HttpOutput::Content,
            takes_redirects: false,
        };
        request(&document, &call).map_err(|failure| failure.detail.unwrap())
    }

    fn pets() -> Value {
        json!({
            "openapi": "3.1.0",
            "servers": [{"url": "/api/{stage}", "variables": {"stage": {"default": "v1"}}}],
            "components": {"parameters": {"Id": {"name": "id", "in": "path", "required": true}}},
            "paths": {"/pets/{id}": {
                "parameters": [{"$ref": "#/components/parameters/Id"}],
                "get": {"operationId": "getPet", "parameters": [
                    {"name": "tags", "in": "query"}, {"name": "ids", "in": "query", "explode": false},
                    {"name": "f", "in": "query", "style": "deepObject"}, {"name": "X-Trace", "in": "header"},
                    {"name": "session", "in": "cookie"}
                ]},
                "post": {"operationId": "putPet", "requestBody": {"required": true, "content": {"application/json": {}}}},
                "put": {"operationId": "formPet", "servers": [{"url": "https://other.test/x/"}],
                    "requestBody": {"content": {"application/x-www-form-urlencoded": {}}}}
            }}
        })
    }

    #[test]
    fn parameters_go_where_the_document_says() {
        let parameters = json!({"id": "a/b c", "tags": ["x", "y"], "ids": [1, 2], "f": {"k": "v"}, "X-Trace": "t", "session": "s;1"});
        let call = check(pets(), "getPet", parameters).unwrap();
        assert_eq!(
            (call.method.as_str(), call.url.as_str()),
            ("GET", "https://docs.test/api/v1/pets/a%2Fb%20c")
        );
        assert_eq!(Value::Object(call.query), json!({"tags": ["x", "y"], "ids": "1,2", "f[k]": "v"}));
        assert_eq!(
            (call.headers["x-trace"].as_str(), call.headers["cookie"].as_str()),
            (Some("t"), Some("session=s%3B1"))
        );
        let call = check(pets(), "putPet", json!({"id": 7, "name": "Rex"})).unwrap();
        assert_eq!(
            (call.body, call.url.as_str()),
            (Some(json!({"name": "Rex"})), "https://docs.test/api/v1/pets/7")
        );
        let call = check(pets(), "putPet", json!({"id": 7, "body": [1]})).unwrap();
        assert_eq!(call.body, Some(json!([1])));
        let call = check(pets(), "formPet", json!({"id": 7, "a": "b c", "d": 1})).unwrap();
        assert_eq!((call.body, call.url.as_str()), (Some(json!("a=b+c&d=1")), "https://other.test/x/pets/7"));
    }

    #[test]
    fn faults_are_named() {
        let refused = |operation: &str, parameters: Value| check(pets(), operation, parameters).unwrap_err();
        assert_eq!(refused("nothing", json!({})), "the document has no operation `nothing`");
        assert_eq!(refused("getPet", json!({})), "the parameter `id` is missing");
        assert_eq!(
            refused("getPet", json!({"id": 1, "colour": 2})),
            "the operation getPet has no parameter `colour`"
        );
        assert_eq!(refused("putPet", json!({"id": 1})), "the parameter `body` is missing");
        assert_eq!(
            check(json!({}), "x", json!({})).unwrap_err(),
            "the document is no OpenAPI 3 or Swagger 2 description"
        );
        let circle = json!({"openapi": "3.0.0", "paths": {"/a": {"$ref": "#/paths/~1a"}}});
        assert_eq!(check(circle, "x", json!({})).unwrap_err(), "the document refers to itself without end");
    }

    #[test]
    fn swagger_is_read_too() {
        let document = json!({
            "swagger": "2.0", "host": "pets.test", "basePath": "/v2", "schemes": ["http", "https"],
            "paths": {"/pet/find": {"get": {"operationId": "find", "parameters": [
                {"name": "status", "in": "query", "required": true, "type": "array", "collectionFormat": "multi"}]}},
                "/pet": {"post": {"operationId": "add", "parameters": [{"name": "body", "in": "body", "required": true}]}}}
        });
        let call = check(document.clone(), "find", json!({"status": ["a", "b"]})).unwrap();
        assert_eq!(
            (call.url.as_str(), &call.query["status"]),
            ("https://pets.test/v2/pet/find", &json!(["a", "b"]))
        );
        let call = check(document, "add", json!({"body": {"id": 1}})).unwrap();
        assert_eq!((call.url.as_str(), call.body), ("https://pets.test/v2/pet", Some(json!({"id": 1}))));
    }
}
