//! The simple form of a workflow: a name, the document it is about, and steps that people advance by hand. It becomes a
//! definition like any other, each step a call of `step:1@default`.
//!
//! The definition depends on name and steps alone, so that all instances of the same form share one program: the
//! document is the instance's input. Its version carries the hash of the steps.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use trunkline_packs::document::Content;
use trunkline_packs::suggest::quoted;

use crate::fault::Refusal;
use crate::program::{ContentHash, Format, parse};
use crate::read::{At, Extra, Fields, Reader};
use crate::rule::Rule;

/// The namespace of definitions made from the simple form.
pub const NAMESPACE: &str = "simple";
/// The most steps.
pub const MAX_STEPS: usize = 200;
/// The longest name of a workflow or step, in characters.
const MAX_NAME_CHARS: usize = 200;

/// What the simple form stands for.
#[derive(Debug, Clone, PartialEq)]
pub struct SimpleWorkflow {
    /// The definition, to be compiled like any other.
    pub definition: Value,
    /// The document the instance is about.
    pub document_id: Option<String>,
    /// The instance's input.
    pub input: Value,
    /// How many steps there are.
    pub n_steps: usize,
}

struct Step {
    name: String,
    arguments: Map<String, Value>,
}

/// Tells whether a value is in the simple form rather than the start of a definition.
pub fn is_simple(value: &Value) -> bool {
    value.get("steps").is_some()
}

/// Reads the simple form.
///
/// # Errors
///
/// Every fault, not only the first.
pub fn read(text: &str, format: Format) -> Result<SimpleWorkflow, Refusal> {
    let root = parse(text, format).map_err(|faults| Refusal { faults, warnings: Vec::new() })?;
    let mut reader = Reader::default();
    reader.refuse_long_keys(&root);
    if !reader.faults.is_empty() {
        return Err(Refusal { faults: reader.faults, warnings: reader.warnings });
    }
    match reader.simple(&At::root(&root)) {
        Some(simple) if reader.faults.is_empty() => Ok(simple),
        _ => Err(Refusal { faults: reader.faults, warnings: reader.warnings }),
    }
}

impl Reader {
    fn simple(&mut self, at: &At<'_>) -> Option<SimpleWorkflow> {
        let mut fields = Fields::open(at, "a workflow", self)?;
        let name = fields.required("name", self).and_then(|at| self.short_text(&at));
        let document_id = fields.optional("documentId").and_then(|at| self.identifier(&at));
        let steps = fields.required("steps", self).map(|at| self.steps(&at));
        fields.close(Extra::Closed, self);
        let (name, steps) = (name?, steps?);
        let input = document_id.as_ref().map_or_else(|| json!({}), |id| json!({ "documentId": id }));
        Some(SimpleWorkflow {
            definition: definition(&name, &steps),
            document_id,
            input,
            n_steps: steps.len(),
        })
    }

    fn short_text(&mut self, at: &At<'_>) -> Option<String> {
        let text = self.text(at)?.trim();
        if text.is_empty() || text.chars().count() > MAX_NAME_CHARS {
            let problem = format!("is empty, or longer than {MAX_NAME_CHARS} characters");
            self.rule(Rule::Values, at, problem, "write a short name");
            return None;
        }
        Some(text.to_owned())
    }

    /// Reads an id, which callers also write as a number.
    fn identifier(&mut self, at: &At<'_>) -> Option<String> {
        match &at.node.content {
            Content::Number(number) => Some(number.to_string()),
            _ => self.short_text(at),
        }
    }

    fn steps(&mut self, at: &At<'_>) -> Vec<Step> {
        let items = self.list(at).unwrap_or_default();
        if items.is_empty() || items.len() > MAX_STEPS {
            let problem = format!("a workflow has from 1 to {MAX_STEPS} steps, found {}", items.len());
            self.rule(Rule::Size, at, problem, "add or remove steps");
            return Vec::new();
        }
        let mut names = BTreeSet::new();
        let mut steps = Vec::new();
        for item in &items {
            let Some(step) = self.step(item) else { continue };
            if !names.insert(step.name.clone()) {
                let problem = format!("there is another step {}", quoted(&step.name));
                self.rule(Rule::TaskNames, item, problem, "give each step a name of its own");
            }
            steps.push(step);
        }
        steps
    }

    fn step(&mut self, at: &At<'_>) -> Option<Step> {
        if matches!(at.node.content, Content::Text(_)) {
            let name = self.short_text(at)?;
            return Some(Step { name, arguments: Map::new() });
        }
        let mut fields = Fields::open(at, "a step", self)?;
        let name = fields.required("name", self).and_then(|at| self.short_text(&at));
        let mut arguments = Map::new();
        if let Some(at) = fields.optional("description")
            && let Some(text) = self.text(&at)
        {
            arguments.insert("description".to_owned(), text.into());
        }
        for key in ["assignees", "groups"] {
            let Some(at) = fields.optional(key) else { continue };
            arguments.insert(key.to_owned(), self.texts(&at).into());
        }
        if let Some(at) = fields.optional("due")
            && self.fixed_duration(&at).is_some()
        {
            arguments.insert("due".to_owned(), at.node.to_json());
        }
        fields.close(Extra::Closed, self);
        Some(Step { name: name?, arguments })
    }
}

fn definition(name: &str, steps: &[Step]) -> Value {
    let tasks: Vec<Value> = steps.iter().enumerate().map(|(index, step)| task(index, step)).collect();
    let content = json!({ "name": name, "do": tasks });
    let hash = ContentHash::of(&content).to_string();
    json!({
        "document": {
            "dsl": "1.0.3",
            "namespace": NAMESPACE,
            "name": slug(name),
            // A letter in front, since numbers of a version must not begin with 0.
            "version": format!("1.0.0-h{}", &hash[..16]),
            "title": name,
        },
        "do": tasks,
    })
}

/// A step, with text that happens to look like an expression kept as text.
fn task(index: usize, step: &Step) -> Value {
    let mut arguments = Map::new();
    arguments.insert("title".to_owned(), literal(&step.name));
    for (key, value) in &step.arguments {
        let value = match value {
            Value::String(text) => literal(text),
            Value::Array(items) => {
                items.iter().map(|item| literal(item.as_str().unwrap_or_default())).collect()
            }
            other => other.clone(),
        };
        arguments.insert(key.clone(), value);
    }
    json!({ format!("step{}", index + 1): { "call": "step:1@default", "with": arguments } })
}

/// Text that is data: the simple form knows no expressions.
fn literal(text: &str) -> Value {
    if crate::expression::unwrap(text).is_none() {
        return text.into();
    }
    // A jq string of the text: JSON escapes are jq's, and no interpolation can begin, since backslashes are doubled.
    format!("${{ {} }}", Value::from(text)).into()
}

/// A name by the rules of the specification: letters, digits and hyphens, at most 63.
fn slug(name: &str) -> String {
    let mut slug = String::new();
    for c in name.to_lowercase().chars() {
        if c.is_ascii_alphanumeric() {
            slug.push(c);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.truncate(63);
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { "workflow".to_owned() } else { slug.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expression::{Scope, Template, Variable};
    use crate::program::compile;

    /// Expressions that see nothing.
    struct Nothing;

    impl Scope for Nothing {
        fn value(&self, _: &Variable) -> Value {
            Value::Null
        }

        fn now(&self) -> f64 {
            0.0
        }
    }

    fn compiled(text: &str) -> (SimpleWorkflow, crate::Program) {
        let simple = read(text, Format::Json).unwrap();
        let program = compile(&simple.definition.to_string(), Format::Json).unwrap().program;
        (simple, program)
    }

    #[test]
    fn steps_become_tasks_of_people() {
        let (simple, program) = compiled(
            r#"{"name": "New patient (Köln)", "documentId": 42,
                "steps": ["Check in", {"name": "Sign", "assignees": ["dr-a"], "due": "P1D"}]}"#,
        );
        assert_eq!((simple.document_id.as_deref(), simple.n_steps), (Some("42"), 2));
        assert_eq!(simple.input, json!({"documentId": "42"}));
        let document = &program.workflow().document;
        assert_eq!((document.namespace.as_str(), document.name.as_str()), ("simple", "new-patient-k-ln"));
        assert_eq!(document.title.as_deref(), Some("New patient (Köln)"));
        let titles: Vec<_> = program.human_tasks().map(|(_, human)| human.title.clone()).collect();
        let title = |text: &str| Some(Template::Literal(text.into()));
        assert_eq!(titles, [title("Check in"), title("Sign")]);
    }

    #[test]
    fn the_document_is_no_part_of_the_definition() {
        let (one, _) = compiled(r#"{"name": "a", "documentId": "x", "steps": ["s"]}"#);
        let (other, _) = compiled(r#"{"name": "a", "documentId": "y", "steps": ["s"]}"#);
        let (longer, _) = compiled(r#"{"name": "a", "steps": ["s", "t"]}"#);
        assert_eq!(one.definition, other.definition);
        assert_ne!(one.definition["document"]["version"], longer.definition["document"]["version"]);
    }

    #[test]
    fn text_of_the_simple_form_is_never_an_expression() {
        let (_, program) = compiled(r#"{"name": "${ 1/0 }", "steps": ["${ $secrets.\\(x) }"]}"#);
        let (_, human) = program.human_tasks().next().unwrap();
        let Some(Template::Expression(title)) = &human.title else { panic!("no text") };
        assert_eq!(title.evaluate(&Value::Null, &Nothing), Ok(json!("${ $secrets.\\(x) }")));
    }

    #[test]
    fn every_fault_is_told() {
        let refusal = read(r#"{"name": "", "steps": ["a", "a", 7, {"nam": "b"}], "x": 1}"#, Format::Json);
        let pointers: Vec<_> = refusal.unwrap_err().faults.into_iter().map(|fault| fault.pointer).collect();
        assert_eq!(pointers, ["/name", "/steps/1", "/steps/2", "/steps/3", "/steps/3/nam", "/x"]);
        assert!(read(r#"{"name": "a", "steps": []}"#, Format::Json).is_err());
    }
}
