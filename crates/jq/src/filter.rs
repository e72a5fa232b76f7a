//! A compiled expression and the ways to run it.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use crate::compile::reads::Keys;
use crate::compile::{self, CompileError, Options, Program};
use crate::kernel;
use crate::limits::{Limits, RunError};
use crate::value::write::{self, Unfit};
use crate::value::{NULL, Val, read};

/// A compiled expression. Cheap to clone, shared between threads, run as often as wanted.
#[derive(Clone)]
pub struct Filter(Arc<Program>);

/// What a filter runs on: a document, the values of its variables, the time.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    document: Document<'a>,
    variables: Variables<'a>,
    now: Option<f64>,
}

#[derive(Debug, Clone, Copy)]
enum Document<'a> {
    Json(&'a [u8]),
    Value(&'a Value),
}

#[derive(Debug, Clone, Copy)]
enum Variables<'a> {
    Together(&'a [Value]),
    Apart(&'a [&'a Value]),
}

impl<'a> Variables<'a> {
    fn len(self) -> usize {
        match self {
            Self::Together(values) => values.len(),
            Self::Apart(values) => values.len(),
        }
    }

    fn get(self, at: usize) -> Option<&'a Value> {
        match self {
            Self::Together(values) => values.get(at),
            Self::Apart(values) => values.get(at).copied(),
        }
    }
}

impl<'a> Input<'a> {
    /// JSON text, read without a detour.
    pub fn json(text: &'a [u8]) -> Self {
        Self::of(Document::Json(text))
    }

    /// A value in memory. Integers of 64 bits are exact; text keeps more.
    pub fn value(value: &'a Value) -> Self {
        Self::of(Document::Value(value))
    }

    fn of(document: Document<'a>) -> Self {
        Self { document, variables: Variables::Together(&[]), now: None }
    }

    /// The values of the variables, in the order of [`Options::variables`]. One that the expression uses is copied for
    /// the run, the others are not looked at.
    #[must_use]
    pub fn with_variables(self, values: &'a [Value]) -> Self {
        Self { variables: Variables::Together(values), ..self }
    }

    /// The same for values that are kept in different places.
    #[must_use]
    pub fn with_variable_refs(self, values: &'a [&'a Value]) -> Self {
        Self { variables: Variables::Apart(values), ..self }
    }

    /// What `now` gives: seconds since 1970 in UTC, with a fraction.
    #[must_use]
    pub fn with_now(self, seconds: f64) -> Self {
        Self { now: Some(seconds), ..self }
    }
}

impl<'a> From<&'a [u8]> for Input<'a> {
    fn from(text: &'a [u8]) -> Self {
        Self::json(text)
    }
}

impl<'a> From<&'a Value> for Input<'a> {
    fn from(value: &'a Value) -> Self {
        Self::value(value)
    }
}

impl Filter {
    /// Compiles an expression that knows no variables and no time.
    pub fn compile(text: &str) -> Result<Self, CompileError> {
        Self::compile_with(text, &Options::default())
    }

    /// Compiles an expression that may use the variables, and the time, of `options`.
    pub fn compile_with(text: &str, options: &Options<'_>) -> Result<Self, CompileError> {
        compile::compile(text, options).map(|program| Self(Arc::new(program)))
    }

    /// The expression as it was written.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// All outputs, in order.
    pub fn run<'i>(&self, input: impl Into<Input<'i>>, limits: &Limits) -> Result<Vec<Value>, RunError> {
        self.evaluate(input.into(), limits, |outputs| {
            let (mut values, mut left) = (Vec::new(), limits.output_bytes);
            for output in outputs {
                if values.len() == limits.outputs {
                    return Err(RunError::Outputs(limits.outputs));
                }
                let value = write::to_value(&output?, &mut left);
                values.push(value.map_err(|unfit| refusal(unfit, limits))?);
            }
            Ok(values)
        })
    }

    /// The only output. None, or several, is an error.
    pub fn run_one<'i>(&self, input: impl Into<Input<'i>>, limits: &Limits) -> Result<Value, RunError> {
        self.evaluate(input.into(), limits, |outputs| {
            let mut left = limits.output_bytes;
            write::to_value(&only(outputs)?, &mut left).map_err(|unfit| refusal(unfit, limits))
        })
    }

    /// The only output as JSON text, with keys in the order the expression gave them and numbers as they were written.
    /// None, or several, is an error.
    pub fn run_one_json<'i>(&self, input: impl Into<Input<'i>>, limits: &Limits) -> Result<String, RunError> {
        self.evaluate(input.into(), limits, |outputs| {
            write::to_result_json(&only(outputs)?, limits.output_bytes)
                .map_err(|unfit| refusal(unfit, limits))
        })
    }

    /// Whether the first output is anything but `false` and `null`. No output is false. The rest is not evaluated.
    pub fn is_true<'i>(&self, input: impl Into<Input<'i>>, limits: &Limits) -> Result<bool, RunError> {
        let (input, reads) = (input.into(), self.0.reads_for_truth.as_ref());
        let read = || self.read(&input, limits, reads);
        kernel::evaluate(&self.0, limits, read, |outputs| {
            let first = outputs.next().transpose()?;
            Ok(first.is_some_and(|value| jaq_core::ValT::as_bool(&value)))
        })
    }

    fn evaluate<T: Send>(
        &self,
        input: Input<'_>,
        limits: &Limits,
        collect: impl Fn(&mut dyn Iterator<Item = Result<Val, RunError>>) -> Result<T, RunError> + Sync,
    ) -> Result<T, RunError> {
        kernel::evaluate(&self.0, limits, || self.read(&input, limits, None), collect)
    }

    /// The document, or as much of it as `reads` names where that can be told apart, and the values of the variables.
    fn read(
        &self,
        input: &Input<'_>,
        limits: &Limits,
        reads: Option<&Keys>,
    ) -> Result<(Val, Vec<Val>), RunError> {
        let depth = limits.effective_depth();
        let document = match input.document {
            Document::Json(text) if text.len() > limits.input_bytes => {
                return Err(read::InputError::TooLong(limits.input_bytes).into());
            }
            Document::Json(text) => {
                let part = reads.and_then(|keys| read::part_from_json(text, depth, keys));
                part.map_or_else(|| read::from_json(text, depth), Ok)?
            }
            Document::Value(value) => read::from_value(value, depth)?,
        };
        let (expected, given) = (self.0.variables.len(), input.variables.len());
        if expected != given {
            return Err(RunError::Variables { expected, given });
        }
        let variables = self.0.variables.iter().enumerate().map(|(at, is_used)| {
            let used = input.variables.get(at).filter(|_| *is_used);
            used.map_or(Ok(NULL), |value| read::from_value(value, depth))
        });
        let mut variables = variables.collect::<Result<Vec<_>, _>>()?;
        if self.0.uses_now {
            variables.push(input.now.ok_or(RunError::NoTime)?.into());
        }
        Ok((document, variables))
    }
}

fn only(outputs: &mut dyn Iterator<Item = Result<Val, RunError>>) -> Result<Val, RunError> {
    let first = outputs.next().ok_or(RunError::NoOutput)??;
    match outputs.next().transpose()? {
        None => Ok(first),
        Some(_) => Err(RunError::SeveralOutputs),
    }
}

fn refusal(unfit: Unfit, limits: &Limits) -> RunError {
    match unfit {
        Unfit::NotFinite => RunError::NotFinite,
        Unfit::TooLong => RunError::OutputBytes(limits.output_bytes),
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Filter").field(&self.text()).finish()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const LIMITS: Limits =
        Limits { steps: 100_000, time: None, depth: 16, input_bytes: 1_000, outputs: 5, output_bytes: 100 };

    fn filter(text: &str) -> Filter {
        Filter::compile(text).unwrap()
    }

    fn truth(text: &str) -> Result<bool, RunError> {
        filter(text).is_true(Input::json(b"{\"a\":1}"), &LIMITS)
    }

    #[test]
    fn filters_are_shared_between_threads() {
        fn shared<T: Send + Sync + Clone>(_: &T) {}
        shared(&filter("."));
    }

    #[test]
    fn truth_is_that_of_the_first_output() {
        for (text, expected) in [
            (".a > 0", true),
            (".a > 1", false),
            (".a", true),
            (".b", false),
            ("0", true),
            ("\"\"", true),
            ("[]", true),
            ("empty", false),
            ("true, error", true),
            ("false, true", false),
            (".[] | select(. == 1)", true),
        ] {
            assert_eq!(truth(text), Ok(expected), "{text}");
        }
        assert_eq!(truth("error(\"no\")"), Err(RunError::Raised("no".to_owned())));
        assert!(matches!(truth(".a.b"), Err(RunError::Raised(_))));
    }

    #[test]
    fn one_output_is_one_output() {
        let input = json!({"a": 1});
        assert_eq!(filter("{b: .a}").run_one(&input, &LIMITS), Ok(json!({"b": 1})));
        assert_eq!(filter("empty").run_one(&input, &LIMITS), Err(RunError::NoOutput));
        assert_eq!(filter("1, 2").run_one(&input, &LIMITS), Err(RunError::SeveralOutputs));
        assert_eq!(filter("1, error(\"x\")").run_one(&input, &LIMITS), Err(RunError::Raised("x".to_owned())));
    }

    #[test]
    fn json_out_keeps_order_and_digits() {
        let json = br#"{"z":1.50,"a":123456789012345678901}"#;
        assert_eq!(
            filter("{z, a, more: (.z + 1)}").run_one_json(Input::json(json), &LIMITS).as_deref(),
            Ok(r#"{"z":1.50,"a":123456789012345678901,"more":2.5}"#)
        );
    }

    #[test]
    fn outputs_are_limited_in_number_and_size() {
        let input = json!([1, 2, 3]);
        assert_eq!(filter("range(5)").run(&input, &LIMITS).unwrap().len(), 5);
        assert_eq!(filter("range(6)").run(&input, &LIMITS), Err(RunError::Outputs(5)));
        assert_eq!(filter("\"x\" * 100").run(&input, &LIMITS), Err(RunError::OutputBytes(100)));
        assert_eq!(filter("\"x\" * 100").run_one_json(&input, &LIMITS), Err(RunError::OutputBytes(100)));
        assert_eq!(filter("[nan]").run(&input, &LIMITS), Err(RunError::NotFinite));
        assert_eq!(filter("infinite").run_one_json(&input, &LIMITS), Err(RunError::NotFinite));
    }

    #[test]
    fn inputs_are_limited() {
        let long = format!("\"{}\"", "x".repeat(1_000));
        let error = filter(".").run(long.as_bytes(), &LIMITS).unwrap_err();
        assert_eq!(error, RunError::Input(read::InputError::TooLong(1_000)));
        let deep = format!("{}{}", "[".repeat(17), "]".repeat(17));
        let error = filter(".").run(deep.as_bytes(), &LIMITS).unwrap_err();
        assert_eq!(error, RunError::Input(read::InputError::TooDeep(16)));
        assert!(error.is_limit());
        assert!(!filter(".").run(&b"["[..], &LIMITS).unwrap_err().is_limit());
    }

    #[test]
    fn variables_are_bound_by_position() {
        let options = Options { variables: &["$a", "$b"], now: false };
        let filter = Filter::compile_with("[$a, $b, .]", &options).unwrap();
        let values = [json!(1), json!({"x": null})];
        let input = Input::json(b"0").with_variables(&values);
        assert_eq!(filter.run_one(input, &LIMITS), Ok(json!([1, {"x": null}, 0])));
        let apart = [&values[1], &values[0]];
        let swapped = Input::json(b"0").with_variable_refs(&apart);
        assert_eq!(filter.run_one(swapped, &LIMITS), Ok(json!([{"x": null}, 1, 0])));
        let missing = filter.run_one(Input::json(b"0"), &LIMITS);
        assert_eq!(missing, Err(RunError::Variables { expected: 2, given: 0 }));
    }

    #[test]
    fn a_variable_that_is_not_used_is_not_looked_at() {
        let too_deep = (0..20).fold(json!(1), |inner, _| json!([inner]));
        let options = Options { variables: &["$context", "$secrets"], now: true };
        let run = |text: &str, values: &[&Value]| {
            let filter = Filter::compile_with(text, &options).unwrap();
            filter.run_one(Input::json(b"0").with_variable_refs(values), &LIMITS)
        };
        assert_eq!(run("$context.a", &[&json!({"a": 2}), &too_deep]), Ok(json!(2)));
        let error = run("$secrets | 1", &[&json!(null), &too_deep]).unwrap_err();
        assert_eq!(error, RunError::Input(read::InputError::TooDeep(16)));
        // Wherever a variable can stand.
        for text in [
            "{$context}[\"context\"]",
            "[.[$context:]?] | $context",
            "\"\\($context)\" | tonumber",
            "def f: $context; f",
            "reduce $context as $x (0; . + $x)",
            "[limit($context; 7, 7, 7)] | length",
            "null | (.a = $context).a",
            "try error($context) catch .",
            "if $context then 2 else 3 end",
            "-$context | -.",
        ] {
            let filter = Filter::compile_with(text, &options).unwrap();
            let values = [json!(2), too_deep.clone()];
            let input = Input::json(b"0").with_variables(&values);
            assert_eq!(filter.run_one(input, &LIMITS), Ok(json!(2)), "{text}");
        }
    }

    #[test]
    fn the_time_is_what_the_caller_says() {
        let options = Options { variables: &["$a"], now: true };
        let filter = Filter::compile_with("[$a, (now | todate)]", &options).unwrap();
        let values = [json!(1)];
        let input = Input::json(b"null").with_variables(&values);
        assert_eq!(filter.run_one(input, &LIMITS), Err(RunError::NoTime));
        let dated = filter.run_one(input.with_now(1_700_000_000.25), &LIMITS);
        assert_eq!(dated, Ok(json!([1, "2023-11-14T22:13:20Z"])));
        let timeless = Filter::compile_with("$a", &options).unwrap();
        assert_eq!(timeless.run_one(input, &LIMITS), Ok(json!(1)));
    }

    /// As a workflow does: compiled once, run with what was recorded, the same each time.
    #[test]
    fn a_recorded_evaluation_can_be_repeated() {
        let options = Options { variables: &["$context", "$input", "$secrets"], now: true };
        let text = "{id: $input.id, n: ($context.n + 1), at: (now | todate), late: (now > $context.due)}";
        let filter = Filter::compile_with(text, &options).unwrap();
        let secrets = json!({"token": "t"});
        for (n, now, late) in [(1, 1_700_000_000.0, false), (2, 1_800_000_000.0, true)] {
            let (context, input) = (json!({"n": n, "due": 1_750_000_000}), json!({"id": "a"}));
            let variables = [&context, &input, &secrets];
            let run = || {
                let input = Input::value(&input).with_variable_refs(&variables).with_now(now);
                filter.run_one(input, &LIMITS)
            };
            let first = run().unwrap();
            assert_eq!((&first["n"], &first["late"]), (&json!(n + 1), &json!(late)));
            assert_eq!(run(), Ok(first));
        }
    }

    #[test]
    fn messages_are_shortened() {
        let raised = filter("error(\"é\" * 600)").run(&json!(null), &LIMITS).unwrap_err();
        assert_eq!(raised.to_string().chars().count(), 513);
        assert_eq!(filter("error({a: 1})").run(&json!(null), &LIMITS).unwrap_err().to_string(), "{\"a\":1}");
    }
}
