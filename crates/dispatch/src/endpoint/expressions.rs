//! The jq expressions of an endpoint: `filter` decides whether it gets an event, `transform` makes the body.
//!
//! Both see the body that would be sent, in the endpoint's format, and nothing else. They are compiled when the endpoint
//! is saved (to refuse what is wrong, with the place of the fault) and once for each version of it in the table. A run is
//! bounded in steps, depth and output; see `trunkline_jq`.
//!
//! The whole body goes in and the whole body comes out, as in Svix and Convoy: an endpoint can so be given any shape that
//! its receiver expects. The result must be one JSON object, since that is what all receivers of webhooks parse.

use bytes::Bytes;
use trunkline_jq::{Filter, Input, Limits, MAX_TEXT_BYTES, RunError};
use trunkline_model::FieldError;

use super::EndpointSettings;

/// The longest text of a failed run that is kept, in characters.
const MAX_FAULT_CHARS: usize = 300;

/// Bodies up to this size may be looked at where it is asked for.
const BRIEF_BYTES: usize = 16 * 1024;
/// Steps that may be taken there: some ten microseconds, on a bad day two hundred.
const BRIEF_STEPS: u64 = 2_000;

/// Compiled expressions.
#[derive(Debug, Clone, Default)]
pub struct Expressions {
    filter: Option<Filter>,
    transform: Option<Filter>,
}

/// An expression that did not run through. The text is short, and safe to show to whoever owns the event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} failed: {why}")]
pub struct ExpressionFault {
    what: &'static str,
    why: String,
}

impl ExpressionFault {
    fn new(what: &'static str, why: &str) -> Self {
        let why = why.chars().filter(|c| !c.is_control()).take(MAX_FAULT_CHARS).collect();
        Self { what, why }
    }
}

impl Expressions {
    /// Compiles the expressions of an endpoint; names what is wrong.
    pub fn compile(settings: &EndpointSettings) -> Result<Self, Vec<FieldError>> {
        let mut faults = Vec::new();
        let mut compile = |pointer: &str, text: Option<&str>| {
            let compiled = text.map(Filter::compile).transpose();
            compiled
                .map_err(|error| faults.push(FieldError::new(pointer, "invalid", error.to_string())))
                .ok()?
        };
        let filter = compile("/filter", settings.filter.as_deref());
        let transform = compile("/transform", settings.transform.as_deref());
        if faults.is_empty() { Ok(Self { filter, transform }) } else { Err(faults) }
    }

    /// Whether there is a filter.
    pub fn has_filter(&self) -> bool {
        self.filter.is_some()
    }

    /// Whether the filter wants an event with this body; `false` and `null` are no, everything else is yes.
    ///
    /// # Errors
    /// When the filter does not run through.
    pub fn wants(&self, body: &[u8]) -> Result<bool, ExpressionFault> {
        let Some(filter) = &self.filter else { return Ok(true) };
        let outcome = filter.is_true(Input::json(body), &Limits::filter());
        outcome.map_err(|error| ExpressionFault::new("filter", &error.to_string()))
    }

    /// The same if it takes no longer than may be waited for on the spot, else `None`.
    pub fn wants_briefly(&self, body: &[u8]) -> Option<Result<bool, ExpressionFault>> {
        let Some(filter) = &self.filter else { return Some(Ok(true)) };
        let limits = brief(body, Limits::filter())?;
        match filter.is_true(Input::json(body), &limits) {
            Err(error) if error.is_limit() => None,
            outcome => Some(outcome.map_err(|error| ExpressionFault::new("filter", &error.to_string()))),
        }
    }

    /// Makes the body that is sent.
    ///
    /// # Errors
    /// When the transformation does not run through, or does not give exactly one JSON object.
    pub fn transformed(&self, body: Bytes) -> Result<Bytes, ExpressionFault> {
        let Some(transform) = &self.transform else { return Ok(body) };
        as_body(transform.run_one_json(Input::json(&body), &Limits::default()))
    }

    /// The same if it takes no longer than may be waited for on the spot, else `None`.
    pub fn transformed_briefly(&self, body: &Bytes) -> Option<Result<Bytes, ExpressionFault>> {
        let Some(transform) = &self.transform else { return Some(Ok(body.clone())) };
        let limits = brief(body, Limits::default())?;
        match transform.run_one_json(Input::json(body), &limits) {
            Err(error) if error.is_limit() => None,
            made => Some(as_body(made)),
        }
    }
}

/// The limits of a run on the spot; `None` for a body that takes long to read.
fn brief(body: &[u8], limits: Limits) -> Option<Limits> {
    (body.len() <= BRIEF_BYTES).then_some(Limits { steps: BRIEF_STEPS, ..limits })
}

fn as_body(made: Result<String, RunError>) -> Result<Bytes, ExpressionFault> {
    let fault = |why: &str| ExpressionFault::new("transform", why);
    let made = made.map_err(|error| fault(&error.to_string()))?;
    if made.starts_with('{') { Ok(made.into()) } else { Err(fault("the result is not a JSON object")) }
}

/// The longest expression in bytes.
pub const MAX_EXPRESSION_BYTES: usize = MAX_TEXT_BYTES;

#[cfg(test)]
mod tests {
    use super::*;

    fn expressions(filter: Option<&str>, transform: Option<&str>) -> Result<Expressions, Vec<FieldError>> {
        Expressions::compile(&EndpointSettings {
            filter: filter.map(str::to_owned),
            transform: transform.map(str::to_owned),
            ..EndpointSettings::default()
        })
    }

    const BODY: &[u8] =
        br#"{"type":"order.paid","timestamp":"2026-01-31T12:00:00Z","data":{"total":120.50}}"#;

    #[test]
    fn faults_are_named_with_their_place() {
        let faults = expressions(Some(".data |\n  foo(1)"), Some("{")).unwrap_err();
        let pointers: Vec<_> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
        assert_eq!(pointers, ["/filter", "/transform"]);
        assert!(faults[0].detail.starts_with("line 2, column 3: "), "{}", faults[0].detail);
        assert!(faults[1].detail.starts_with("line 1, column "), "{}", faults[1].detail);
        assert!(expressions(Some("env"), None).is_err());
        assert!(expressions(Some(&"1+".repeat(MAX_EXPRESSION_BYTES)), None).is_err());
    }

    #[test]
    fn filters_decide() {
        let check = |text: &str, expect: Option<bool>| {
            let wants = expressions(Some(text), None).unwrap().wants(BODY);
            assert_eq!(wants.as_ref().ok().copied(), expect, "{text}: {wants:?}");
        };
        check(".data.total > 100 and .type == \"order.paid\"", Some(true));
        check(".data.total > 200", Some(false));
        check(".data.absent", Some(false));
        check("empty", Some(false));
        check("0", Some(true));
        check(".data.total.cents", None);
        check("[range(1e9)]", None);
        assert_eq!(Expressions::default().wants(b"not json"), Ok(true));
        let fault = expressions(Some("error(\"x\" * 1000)"), None).unwrap().wants(BODY).unwrap_err();
        let text = fault.to_string();
        assert!(text.starts_with("filter failed: x") && text.len() <= 320, "{text}");
    }

    #[test]
    fn what_takes_long_is_not_run_on_the_spot() {
        let check = |text: &str, expect: Option<bool>| {
            let found = expressions(Some(text), None).unwrap().wants_briefly(BODY);
            assert_eq!(found.map(|wants| wants.unwrap_or(false)), expect, "{text}");
        };
        check(".data.total > 100", Some(true));
        check(".data.total.cents", Some(false));
        check("[range(50000)] | length > 1", None);
        assert_eq!(Expressions::default().wants_briefly(BODY), Some(Ok(true)));
        let long = [b"{\"a\":\"".to_vec(), vec![b'x'; BRIEF_BYTES], b"\"}".to_vec()].concat();
        assert_eq!(expressions(Some("true"), None).unwrap().wants_briefly(&long), None);
        let made = |text: &str| {
            expressions(None, Some(text)).unwrap().transformed_briefly(&Bytes::from_static(BODY))
        };
        assert_eq!(made("{a: 1}").unwrap().unwrap(), r#"{"a":1}"#);
        assert!(made("1").unwrap().is_err());
        assert!(made("{a: [range(50000)] | length}").is_none());
    }

    #[test]
    fn transformations_make_the_body() {
        let made = |text: &str| expressions(None, Some(text)).unwrap().transformed(Bytes::from_static(BODY));
        let body = made("{text: \"paid \\(.data.total)\", z: .data.total, a: 1}").unwrap();
        assert_eq!(body, r#"{"text":"paid 120.50","z":120.50,"a":1}"#);
        assert_eq!(made(".").unwrap(), BODY);
        for text in [".data.total", "[.]", "null", "empty", ".,.", "error(\"no\")"] {
            assert!(made(text).is_err(), "{text}");
        }
        assert_eq!(Expressions::default().transformed(Bytes::from_static(b"x")).unwrap(), "x");
    }
}
