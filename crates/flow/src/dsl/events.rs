//! Events that workflows emit and wait for: properties, filters with correlation, and strategies that combine filters.

use serde_json::Value;
use trunkline_packs::document::Content;
use trunkline_packs::suggest::quoted;

use crate::expression::{Expression, Stage, Template, unwrap};
use crate::read::{At, Extra, Fields, Reader};
use crate::rule::Rule;

/// The event to emit.
#[derive(Debug, Clone)]
pub struct EventDefinition {
    /// CloudEvents attributes and `data`, by name; `type` is among them. What is missing is filled in when it is sent.
    pub attributes: Vec<(String, Template)>,
}

/// Which events are meant.
#[derive(Debug, Clone)]
pub struct EventFilter {
    /// Tests, all of which must hold; `data` is one of the names.
    pub tests: Vec<(String, AttributeTest)>,
    /// Values that must be the same in all events of one activation, by name.
    pub correlate: Vec<Correlation>,
}

/// What an attribute of an event must be.
#[derive(Debug, Clone, PartialEq)]
pub enum AttributeTest {
    /// Equal to this.
    Equals(Value),
    /// Text that the regular expression matches as a whole; evaluated on the attribute.
    Matches(Expression),
    /// Whatever this holds for; evaluated on the attribute.
    Holds(Expression),
}

/// A value taken from an event that ties events together.
#[derive(Debug, Clone)]
pub struct Correlation {
    /// Its name.
    pub name: String,
    /// Takes the value from the event.
    pub from: Expression,
    /// What the value must be; that of the first event where absent.
    pub expect: Option<Template>,
}

/// How many events of which filters are waited for.
#[derive(Debug, Clone)]
pub enum Strategy {
    /// One event for each filter.
    All(Vec<EventFilter>),
    /// One event that any filter takes; without filters any event at all. Goes on until told otherwise.
    Any(Vec<EventFilter>, Option<Until>),
    /// One event.
    One(Box<EventFilter>),
}

/// What ends `any`.
#[derive(Debug, Clone)]
pub enum Until {
    /// A condition on the events so far, as a list, evaluated after each.
    Condition(Expression),
    /// Further events.
    Consumed(Box<Strategy>),
}

/// How events are handed to the workflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReadAs {
    /// Their data.
    #[default]
    Data,
    /// The event with its attributes.
    Envelope,
    /// The data as it came.
    Raw,
}

const READ_AS: [(&str, ReadAs); 3] =
    [("data", ReadAs::Data), ("envelope", ReadAs::Envelope), ("raw", ReadAs::Raw)];

impl EventFilter {
    /// The one event type the filter takes, if it names one: the key to look events up by.
    pub fn event_type(&self) -> Option<&str> {
        self.tests.iter().find(|(name, _)| name == "type").and_then(|(_, test)| match test {
            AttributeTest::Equals(value) => value.as_str(),
            _ => None,
        })
    }
}

impl Strategy {
    /// Every filter, those that end the strategy last.
    pub fn filters(&self) -> Vec<&EventFilter> {
        match self {
            Self::All(filters) | Self::Any(filters, None | Some(Until::Condition(_))) => {
                filters.iter().collect()
            }
            Self::Any(filters, Some(Until::Consumed(until))) => {
                filters.iter().chain(until.filters()).collect()
            }
            Self::One(filter) => vec![filter],
        }
    }
}

impl Reader {
    /// Reads how events are handed over.
    pub(crate) fn read_as(&mut self, at: Option<At<'_>>) -> ReadAs {
        at.and_then(|at| self.choice(&at, &READ_AS)).unwrap_or_default()
    }

    /// Reads the properties of an event to emit.
    pub(crate) fn event_definition(&mut self, at: &At<'_>, stage: Stage) -> Option<EventDefinition> {
        Fields::open(at, "an event", self)?;
        let mut attributes = Vec::new();
        for entry in at.entries() {
            let at = at.entry(entry);
            self.check_attribute(&entry.key, &at, stage);
            attributes.push((entry.key.clone(), self.template(&at, stage)));
        }
        if !at.has("type") {
            self.shape(at, "`type` is missing in an event", "add `type`");
        }
        Some(EventDefinition { attributes })
    }

    /// Checks the shape of an attribute, for definitions and filters alike.
    fn check_attribute(&mut self, key: &str, at: &At<'_>, stage: Stage) {
        match key {
            "id" | "type" | "subject" | "datacontenttype" => {
                self.text(at);
            }
            "source" | "dataschema" => {
                // Read for its faults; the value is kept as a template.
                self.uri(at, stage);
            }
            "time" => {
                if let Some(text) = self.text(at)
                    && unwrap(text).is_none()
                    && trunkline_model::Timestamp::parse_rfc3339(text).is_err()
                {
                    let problem = format!("{} is no time", quoted(text));
                    self.shape(at, problem, "write it like 2026-01-31T12:00:00Z, or `${ now | todate }`");
                }
            }
            "data" => {}
            name => {
                let plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
                if !plain || name.is_empty() {
                    let problem = format!("{} cannot be an attribute of an event", quoted(name));
                    self.rule(Rule::Values, at, problem, "use lower-case letters and digits");
                }
            }
        }
    }

    /// Reads a strategy.
    pub(crate) fn strategy(&mut self, at: &At<'_>, stage: Stage) -> Option<Strategy> {
        let mut fields = Fields::open(at, "an event strategy", self)?;
        let kind = fields.one_of(&["all", "any", "one"], self);
        let until = (kind == Some("any")).then(|| fields.optional("until")).flatten();
        fields.close(Extra::Closed, self);
        let inner = at.peek(kind?)?;
        Some(match kind? {
            "all" => {
                let filters = self.filters(&inner, stage)?;
                if filters.is_empty() {
                    self.rule(Rule::Listen, &inner, "`all` of no events", "name the events to wait for");
                }
                Strategy::All(filters)
            }
            "any" => {
                let filters = self.filters(&inner, stage)?;
                let until = until.and_then(|at| self.until(&at, stage));
                Strategy::Any(filters, until)
            }
            _ => Strategy::One(Box::new(self.event_filter(&inner, stage)?)),
        })
    }

    fn until(&mut self, at: &At<'_>, stage: Stage) -> Option<Until> {
        if matches!(at.node.content, Content::Text(_)) {
            return self.expression(at, stage).map(Until::Condition);
        }
        if let Some(inner) = at.peek("until") {
            self.shape(&inner, "`until` inside `until`", "remove the inner one");
        }
        self.strategy(at, stage).map(|strategy| Until::Consumed(Box::new(strategy)))
    }

    fn filters(&mut self, at: &At<'_>, stage: Stage) -> Option<Vec<EventFilter>> {
        let items = self.list(at)?;
        Some(items.iter().filter_map(|item| self.event_filter(item, stage)).collect())
    }

    fn event_filter(&mut self, at: &At<'_>, stage: Stage) -> Option<EventFilter> {
        let mut fields = Fields::open(at, "an event filter", self)?;
        let with = fields.required("with", self);
        let tests = with.and_then(|at| self.attribute_tests(&at, stage));
        let correlate = fields.optional("correlate").map(|at| self.correlations(&at, stage));
        fields.close(Extra::Closed, self);
        Some(EventFilter { tests: tests?, correlate: correlate.unwrap_or_default() })
    }

    fn attribute_tests(&mut self, at: &At<'_>, stage: Stage) -> Option<Vec<(String, AttributeTest)>> {
        Fields::open(at, "an event filter", self)?;
        if at.entries().is_empty() {
            self.shape(at, "the filter is empty", "name at least the `type`");
        }
        let mut tests = Vec::new();
        for entry in at.entries() {
            let at = at.entry(entry);
            self.check_attribute(&entry.key, &at, stage);
            if let Some(test) = self.attribute_test(&at, stage) {
                tests.push((entry.key.clone(), test));
            }
        }
        Some(tests)
    }

    fn attribute_test(&mut self, at: &At<'_>, stage: Stage) -> Option<AttributeTest> {
        match self.template(at, stage) {
            Template::Expression(expression) => Some(AttributeTest::Holds(expression)),
            Template::Literal(Value::String(text)) if looks_like_a_pattern(&text) => {
                self.pattern(&text, at).map(AttributeTest::Matches)
            }
            Template::Literal(value) => Some(AttributeTest::Equals(value)),
            Template::List(_) | Template::Map(_) => {
                let fix = "write one expression for the whole value";
                self.rule(Rule::Listen, at, "an expression inside a value to compare with", fix);
                None
            }
        }
    }

    /// Turns a regular expression into an expression that tests a whole text.
    fn pattern(&mut self, text: &str, at: &At<'_>) -> Option<Expression> {
        if !self.admits_patterns(1, at) {
            return None;
        }
        let quoted_pattern = Value::String(format!("^(?:{text})$")).to_string();
        let expression = self.compile(&format!("test({quoted_pattern})"), at, Stage::Trigger)?;
        let trial = expression.filter_once(&Value::String(String::new()));
        if let Err(error) = trial {
            let problem = format!("the regular expression cannot be used: {error}");
            self.rule(Rule::Listen, at, problem, "mend it, or escape what is meant as written");
            return None;
        }
        Some(expression)
    }

    fn correlations(&mut self, at: &At<'_>, stage: Stage) -> Vec<Correlation> {
        self.object(at);
        at.entries()
            .iter()
            .filter_map(|entry| {
                let at = at.entry(entry);
                let mut fields = Fields::open(&at, "a correlation", self)?;
                let from = fields.required("from", self).and_then(|at| self.expression(&at, stage));
                let expect = fields.optional("expect").map(|at| self.text_value(&at, stage));
                fields.close(Extra::Open, self);
                Some(Correlation { name: entry.key.clone(), from: from?, expect })
            })
            .collect()
    }
}

/// Tells text to compare with from a regular expression: one has at least one of these.
fn looks_like_a_pattern(text: &str) -> bool {
    text.contains(['^', '$', '*', '+', '?', '(', ')', '[', ']', '{', '}', '|', '\\'])
}
