//! Checks a schema before anything is built from it, and says everything that is wrong at once.
//!
//! JSON Schema ignores what it does not know, so a mistyped keyword or format silently checks nothing. The catalogue
//! takes the opposite view: unknown words are faults, with the nearest known one as a suggestion. Words of one's own
//! begin with `x-`.

use jsonschema::draft202012;
use serde_json::{Map, Value};

use super::engine;
use super::explain::explain;
use super::keywords::{self, FORMATS, KEYWORDS};
use super::reference::Reference;
use crate::fault::DocumentFault;
use crate::pointer;
use crate::suggest::{instead, nearest, quoted};

/// The most schemas in a document, subschemas counted.
pub(crate) const MAX_SCHEMAS: usize = 4000;
/// The most regular expressions in a document.
const MAX_PATTERNS: usize = 64;
/// The longest regular expression, in bytes.
const MAX_PATTERN_BYTES: usize = 1000;

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Tells whether a reference leads to a schema, and if not, what is wrong with it.
pub(crate) type Resolves<'a> = dyn Fn(&Reference) -> Result<(), String> + 'a;

/// Lists every fault of a schema document.
pub(crate) fn lint(schema: &Value, resolves: &Resolves<'_>) -> Vec<DocumentFault> {
    if !keywords::is_schema(schema) {
        return vec![DocumentFault::new(
            "",
            "a schema is an object, or true or false",
            "write a JSON Schema",
        )];
    }
    let mut lint = Lint { faults: Vec::new(), n_schemas: 0, n_patterns: 0, resolves };
    keywords::walk(schema, "", &mut |pointer, schema| lint.schema(pointer, schema));
    if lint.n_schemas > MAX_SCHEMAS {
        lint.fault("", format!("more than {MAX_SCHEMAS} subschemas"), "split the schema");
    } else {
        lint.against_the_dialect(schema);
    }
    lint.faults
}

struct Lint<'a> {
    faults: Vec<DocumentFault>,
    n_schemas: usize,
    n_patterns: usize,
    resolves: &'a Resolves<'a>,
}

impl Lint<'_> {
    fn fault(&mut self, pointer: &str, problem: impl Into<String>, fix: impl Into<String>) {
        self.faults.push(DocumentFault::new(pointer, problem, fix));
    }

    fn schema(&mut self, at: &str, schema: &Value) {
        self.n_schemas += 1;
        let Value::Object(map) = schema else { return };
        if self.n_schemas > MAX_SCHEMAS {
            return;
        }
        for name in map.keys() {
            self.keyword(at, name);
        }
        self.dialect(at, map);
        if let Some(Value::String(reference)) = map.get("$ref") {
            self.reference(&pointer::join(at, "$ref"), reference);
        }
        if let Some(Value::String(format)) = map.get("format")
            && !FORMATS.contains(&format.as_str())
        {
            self.fault(
                &pointer::join(at, "format"),
                format!("unknown format {}", quoted(format)),
                instead(format, FORMATS.iter().copied()),
            );
        }
        if let Some(Value::String(pattern)) = map.get("pattern") {
            self.pattern(&pointer::join(at, "pattern"), pattern);
        }
        if let Some(Value::Object(patterns)) = map.get("patternProperties") {
            let at = pointer::join(at, "patternProperties");
            for pattern in patterns.keys() {
                self.pattern(&pointer::join(&at, pattern), pattern);
            }
        }
    }

    fn keyword(&mut self, at: &str, name: &str) {
        if name.starts_with("x-") {
            return;
        }
        let current =
            || KEYWORDS.iter().filter(|keyword| keyword.instead.is_none()).map(|keyword| keyword.name);
        let (problem, fix) = match keywords::find(name) {
            Some(keyword) => match keyword.instead {
                None => return,
                Some(fix) => (format!("`{name}` is not supported"), fix.to_owned()),
            },
            None => (
                format!("unknown keyword {}", quoted(name)),
                match nearest(name, current()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "remove it, or begin it with x-".to_owned(),
                },
            ),
        };
        self.fault(&pointer::join(at, name), problem, fix);
    }

    fn dialect(&mut self, at: &str, schema: &Map<String, Value>) {
        let Some(Value::String(dialect)) = schema.get("$schema") else { return };
        let here = pointer::join(at, "$schema");
        if !at.is_empty() {
            self.fault(&here, "`$schema` stands inside a schema", "name the dialect at the top only");
        } else if dialect.trim_end_matches('#') != DIALECT {
            self.fault(
                &here,
                format!("the dialect is {}", quoted(dialect)),
                format!("write {DIALECT}, or nothing"),
            );
        }
    }

    fn reference(&mut self, at: &str, text: &str) {
        let checked =
            Reference::parse(text).map_err(str::to_owned).and_then(|reference| (self.resolves)(&reference));
        if let Err(problem) = checked {
            self.fault(at, format!("{}: {problem}", quoted(text)), "lead it to a schema of this pack");
        }
    }

    fn pattern(&mut self, at: &str, pattern: &str) {
        self.n_patterns += 1;
        if self.n_patterns > MAX_PATTERNS {
            if self.n_patterns == MAX_PATTERNS + 1 {
                self.fault(
                    at,
                    format!("more than {MAX_PATTERNS} regular expressions"),
                    "use fewer, or enums",
                );
            }
            return;
        }
        if pattern.len() > MAX_PATTERN_BYTES {
            self.fault(
                at,
                format!("a regular expression of more than {MAX_PATTERN_BYTES} bytes"),
                "shorten it",
            );
            return;
        }
        if !engine::takes_pattern(pattern) {
            self.fault(
                at,
                format!("{} is no regular expression that can be run in bounded time and memory", quoted(pattern)),
                "mend its syntax; look-around and back-references are not supported, and maxLength is cheaper than long \
                 repetitions",
            );
        }
    }

    /// Holds the values of the keywords against the dialect's own schema.
    fn against_the_dialect(&mut self, schema: &Value) {
        let validator = draft202012::meta::validator();
        for error in validator.iter_errors(schema) {
            for fault in explain(&error, schema, &|_| true) {
                self.fault(&fault.pointer, fault.problem, "write what JSON Schema 2020-12 asks for");
            }
        }
    }
}
