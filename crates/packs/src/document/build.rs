//! Builds the tree from the parser's events, with an eye on how large it grows.

use std::collections::HashMap;

use granit_parser::{ErrorKind, Event, Marker, Options, Parser, ScalarStyle, ScanError};

use super::{Content, Entry, MAX_DEPTH, MAX_TEXT_BYTES, MAX_VALUES, Node, scalar};
use crate::fault::Position;
use crate::suggest::quoted;

/// A fault of the text itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxFault {
    /// Where it is.
    pub position: Position,
    /// What is wrong: lower-case, without a full stop.
    pub problem: String,
    /// What to do about it, likewise.
    pub fix: String,
}

impl SyntaxFault {
    fn new(position: Position, problem: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { position, problem: problem.into(), fix: fix.into() }
    }
}

/// Parses a YAML file of one document, in the core schema of YAML 1.2.
///
/// # Errors
///
/// The faults of the text; the first one that keeps it from being read is the last of the list.
pub fn parse_yaml(text: &str) -> Result<Node, Vec<SyntaxFault>> {
    build(text, granit_parser::options! { flow_nesting_limit: MAX_DEPTH, block_nesting_limit: MAX_DEPTH })
}

/// Parses a JSON file. Strict, but for a key that is given twice, which is a fault here.
///
/// # Errors
///
/// As [`parse_yaml`].
pub fn parse_json(text: &str) -> Result<Node, Vec<SyntaxFault>> {
    if let Err(error) = serde_json::from_str::<serde_json::Value>(text) {
        let position = Position { line: error.line().max(1) as u32, column: error.column().max(1) as u32 };
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or_default();
        return Err(vec![SyntaxFault::new(position, format!("no valid JSON: {message}"), "mend the syntax")]);
    }
    build(
        text,
        granit_parser::options! {
            flow_nesting_limit: MAX_DEPTH,
            block_nesting_limit: MAX_DEPTH,
            // JSON has no limit for the length of keys.
            simple_key_max_lookahead: text.len().saturating_add(1024),
        },
    )
}

fn build(text: &str, options: Options) -> Result<Node, Vec<SyntaxFault>> {
    let mut builder = Builder::default();
    for item in Parser::new_from_str_with_options(text, options) {
        let step = match item {
            Ok((event, span)) => builder.take(event, position(span.start)),
            Err(error) => Err(syntax_fault(&error)),
        };
        if let Err(fault) = step {
            builder.faults.push(fault);
            return Err(builder.faults);
        }
    }
    if !builder.faults.is_empty() {
        return Err(builder.faults);
    }
    builder.root.ok_or_else(|| {
        let start = Position { line: 1, column: 1 };
        vec![SyntaxFault::new(start, "the file is empty", "write what belongs there, or remove the file")]
    })
}

fn position(marker: Marker) -> Position {
    Position { line: marker.line().max(1) as u32, column: marker.col().saturating_add(1) as u32 }
}

fn syntax_fault(error: &ScanError) -> SyntaxFault {
    let at = position(*error.marker());
    if *error.kind() == ErrorKind::RecursionLimitExceeded {
        return too_deep(at);
    }
    SyntaxFault::new(at, format!("no valid YAML: {}", error.info()), "mend the syntax")
}

fn too_deep(at: Position) -> SyntaxFault {
    SyntaxFault::new(at, format!("nested deeper than {MAX_DEPTH} levels"), "flatten the structure")
}

/// How much of the file's allowance something takes.
#[derive(Debug, Clone, Copy, Default)]
struct Size {
    values: usize,
    text_bytes: usize,
}

/// A value that an alias may repeat.
struct Anchored {
    node: Node,
    size: Size,
    height: usize,
}

/// A list or mapping that is not closed yet.
struct Open {
    position: Position,
    anchor: usize,
    /// What was used before it opened; the difference at its end is its own size.
    before: Size,
    /// The tallest child.
    height: usize,
    items: Items,
}

enum Items {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, key: Option<(String, Position)>, seen: HashMap<String, u32> },
}

#[derive(Default)]
struct Builder {
    stack: Vec<Open>,
    anchors: HashMap<usize, Anchored>,
    used: Size,
    root: Option<Node>,
    faults: Vec<SyntaxFault>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, at: Position) -> Result<(), SyntaxFault> {
        match event {
            Event::DocumentStart(..) if self.root.is_some() => {
                Err(SyntaxFault::new(at, "a second document begins", "keep one document in a file"))
            }
            Event::Scalar(text, style, anchor, tag) => {
                refuse_tag(tag.is_some(), at)?;
                self.scalar(&text, style, anchor, at)
            }
            Event::SequenceStart(_, anchor, tag) => {
                refuse_tag(tag.is_some(), at)?;
                self.open(Items::List(Vec::new()), anchor, at)
            }
            Event::MappingStart(_, anchor, tag) => {
                refuse_tag(tag.is_some(), at)?;
                self.open(Items::Map { entries: Vec::new(), key: None, seen: HashMap::new() }, anchor, at)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => self.alias(anchor, at),
            _ => Ok(()),
        }
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        anchor: usize,
        at: Position,
    ) -> Result<(), SyntaxFault> {
        let size = Size { values: 1, text_bytes: text.len() };
        self.use_up(size, at)?;
        if let Some(Items::Map { key: key @ None, seen, .. }) =
            self.stack.last_mut().map(|open| &mut open.items)
        {
            if let Some(first) = seen.insert(text.to_owned(), at.line) {
                self.faults.push(SyntaxFault::new(
                    at,
                    format!("the key {} is given twice, first on line {first}", quoted(text)),
                    "remove one of them",
                ));
            }
            *key = Some((text.to_owned(), at));
            return Ok(());
        }
        let content = if style == ScalarStyle::Plain {
            scalar::resolve(text).map_err(|()| {
                SyntaxFault::new(
                    at,
                    format!("{} is no number of JSON", quoted(text)),
                    "quote it if it is text",
                )
            })?
        } else {
            Content::Text(text.to_owned())
        };
        self.attach(Node { position: at, content }, anchor, size, 1)
    }

    fn open(&mut self, items: Items, anchor: usize, at: Position) -> Result<(), SyntaxFault> {
        self.refuse_key(at)?;
        let before = self.used;
        self.use_up(Size { values: 1, text_bytes: 0 }, at)?;
        self.stack.push(Open { position: at, anchor, before, height: 0, items });
        Ok(())
    }

    fn close(&mut self) -> Result<(), SyntaxFault> {
        let Some(open) = self.stack.pop() else { return Ok(()) };
        let content = match open.items {
            Items::List(items) => Content::List(items),
            Items::Map { entries, .. } => Content::Map(entries),
        };
        let size = Size {
            values: self.used.values - open.before.values,
            text_bytes: self.used.text_bytes - open.before.text_bytes,
        };
        self.attach(Node { position: open.position, content }, open.anchor, size, open.height + 1)
    }

    fn alias(&mut self, anchor: usize, at: Position) -> Result<(), SyntaxFault> {
        self.refuse_key(at)?;
        let Some(anchored) = self.anchors.get(&anchor) else {
            return Err(SyntaxFault::new(at, "an alias inside its own anchor", "write the value out"));
        };
        let (size, height) = (anchored.size, anchored.height);
        if self.stack.len() + height > MAX_DEPTH {
            return Err(too_deep(at));
        }
        self.use_up(size, at)?;
        let mut node = self.anchors[&anchor].node.clone();
        node.position = at;
        self.attach(node, 0, size, height)
    }

    fn attach(&mut self, node: Node, anchor: usize, size: Size, height: usize) -> Result<(), SyntaxFault> {
        if anchor != 0 {
            // The copy that waits for aliases takes memory too.
            self.use_up(size, node.position)?;
            self.anchors.insert(anchor, Anchored { node: node.clone(), size, height });
        }
        let Some(open) = self.stack.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        open.height = open.height.max(height);
        match &mut open.items {
            Items::List(items) => items.push(node),
            Items::Map { entries, key, .. } => {
                if let Some((key, key_position)) = key.take() {
                    entries.push(Entry { key, key_position, value: node });
                }
            }
        }
        Ok(())
    }

    /// Refuses a key that is no scalar.
    fn refuse_key(&self, at: Position) -> Result<(), SyntaxFault> {
        match self.stack.last() {
            Some(Open { items: Items::Map { key: None, .. }, .. }) => {
                Err(SyntaxFault::new(at, "a key must be text", "write a plain word as key"))
            }
            _ => Ok(()),
        }
    }

    fn use_up(&mut self, size: Size, at: Position) -> Result<(), SyntaxFault> {
        self.used.values = self.used.values.saturating_add(size.values);
        self.used.text_bytes = self.used.text_bytes.saturating_add(size.text_bytes);
        if self.used.values > MAX_VALUES {
            return Err(SyntaxFault::new(
                at,
                format!("more than {MAX_VALUES} values, with aliases written out"),
                "use fewer aliases, or split the file",
            ));
        }
        if self.used.text_bytes > MAX_TEXT_BYTES {
            return Err(SyntaxFault::new(
                at,
                format!("more than {MAX_TEXT_BYTES} bytes of text, with aliases written out"),
                "use fewer aliases, or split the file",
            ));
        }
        Ok(())
    }
}

fn refuse_tag(tagged: bool, at: Position) -> Result<(), SyntaxFault> {
    if tagged {
        return Err(SyntaxFault::new(at, "YAML tags are not supported", "remove the tag"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn first_problem(parsed: Result<Node, Vec<SyntaxFault>>) -> String {
        let faults = parsed.unwrap_err();
        format!("{}: {}", faults[0].position, faults[0].problem)
    }

    #[test]
    fn yaml_becomes_a_tree_with_places() {
        let node = parse_yaml("a: 1\nb:\n  - x\n  - &n {c: no}\nd: *n\n").unwrap();
        assert_eq!(node.to_json(), json!({"a": 1, "b": ["x", {"c": "no"}], "d": {"c": "no"}}));
        assert_eq!(node.position_of("/b/1/c"), Position { line: 4, column: 9 });
        assert_eq!(node.position_of("/b/0"), Position { line: 3, column: 5 });
        assert_eq!(node.position_of("/b/7/x"), Position { line: 2, column: 1 });
        assert_eq!(node.position_of("/d"), Position { line: 5, column: 1 });
    }

    #[test]
    fn syntax_faults_have_a_place() {
        let check = |text: &str, expect: &str| {
            let found = first_problem(parse_yaml(text));
            assert!(found.starts_with(expect), "{text:?}: {found}");
        };
        check("", "1:1: the file is empty");
        check("a: 1\na: 2\n", "2:1: the key `a` is given twice, first on line 1");
        check("a: !!str 1\n", "1:10: YAML tags");
        check("a: .nan\n", "1:4: `.nan` is no number");
        check("[a]: 1\n", "1:1: a key must be text");
        check("a: &x [*x]\n", "1:8: an alias inside its own anchor");
        check("a: *y\n", "1:4: no valid YAML");
        check("--- 1\n--- 2\n", "2:1: a second document");
        check("a: [1\n", "1:4: no valid YAML");
        check(&"[".repeat(100), "1:65: nested deeper than 64");
    }

    #[test]
    fn json_is_held_to_its_own_grammar() {
        let check = |text: &str, expect: &str| {
            let found = first_problem(parse_json(text));
            assert!(found.starts_with(expect), "{text:?}: {found}");
        };
        check("{\n \"a\": 1,\n}", "3:1: no valid JSON: trailing comma");
        check("a: 1", "1:1: no valid JSON");
        check("{\"a\": 1,\n\"a\": 2}", "2:1: the key `a` is given twice, first on line 1");
        check(&"[".repeat(200), "1:128: no valid JSON: recursion limit");
        check(&format!("{}{}", "[".repeat(100), "]".repeat(100)), "1:65: nested deeper");
    }

    #[test]
    fn aliases_cannot_blow_a_file_up() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..12 {
            let list = vec![format!("*a{}", n - 1); 10].join(", ");
            writeln!(text, "a{n}: &a{n} [{list}]").unwrap();
        }
        assert!(first_problem(parse_yaml(&text)).contains("more than 100000 values"));
        let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(100_000), vec!["*a"; 60].join(", "));
        assert!(first_problem(parse_yaml(&long)).contains("bytes of text"));
        let mut deep = "a0: &a0 []\n".to_owned();
        for n in 1..100 {
            writeln!(deep, "a{n}: &a{n} [*a{}]", n - 1).unwrap();
        }
        assert!(first_problem(parse_yaml(&deep)).contains("nested deeper"));
    }

    fn json_values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::String),
        ];
        leaf.prop_recursive(5, 60, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
                proptest::collection::btree_map(any::<String>(), inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// Whatever JSON writes, both ways of writing it, the one parser reads as serde_json does.
        #[test]
        fn json_reads_as_it_was_written(value in json_values()) {
            let compact = value.to_string();
            prop_assert_eq!(parse_json(&compact).map(|node| node.to_json()), Ok(value.clone()));
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            let lines: Vec<&str> = pretty.lines().map(str::trim_start).collect();
            let with_tabs = lines.join("\r\n\t\t");
            prop_assert_eq!(parse_json(&with_tabs).map(|node| node.to_json()), Ok(value));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[-\\[\\]{}:,&*!|>'\"%@`#?a-c0-9\\.~ \n\t\\\\]{0,80}") {
            drop((parse_yaml(&text), parse_json(&text)));
        }
    }
}
