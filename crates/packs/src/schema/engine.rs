//! How schemas are compiled: JSON Schema 2020-12, formats checked, regular expressions in linear time, nothing fetched.

use jsonschema::{Draft, PatternOptions, ValidationError, Validator};
use serde_json::{Value, json};

/// The most memory one compiled regular expression may take.
const PATTERN_BYTES: usize = 1 << 20;

/// Compiles a self-contained schema.
pub(crate) fn compile(schema: &Value) -> Result<Validator, ValidationError<'static>> {
    jsonschema::options()
        .with_draft(Draft::Draft202012)
        .with_pattern_options(PatternOptions::regex().size_limit(PATTERN_BYTES).dfa_size_limit(PATTERN_BYTES))
        .should_validate_formats(true)
        .should_ignore_unknown_formats(false)
        .offline()
        .build(schema)
}

/// Tells whether a regular expression compiles within bounds.
pub(crate) fn takes_pattern(pattern: &str) -> bool {
    compile(&json!({ "pattern": pattern })).is_ok()
}
