//! Reads `.feature` files: as much of Gherkin as the conformance kit and our scenarios use, and nothing else.
//!
//! Features, backgrounds, scenarios, outlines with examples, tags, comments and texts between `"""`. Whatever else stands
//! in a file is refused with its line. (The `gherkin` crate reads more, for ten packages more in the lock file.)

/// A file.
#[derive(Debug)]
pub(super) struct Feature {
    pub(super) name: String,
    pub(super) scenarios: Vec<Scenario>,
}

/// One scenario, with the steps of the background before its own.
#[derive(Debug, Clone)]
pub(super) struct Scenario {
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) tags: Vec<String>,
    pub(super) steps: Vec<Step>,
}

impl Scenario {
    pub(super) fn has_tag(&self, wanted: &str) -> bool {
        self.tags.iter().any(|tag| tag == wanted)
    }
}

/// One step.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) line: usize,
    /// Without its keyword.
    pub(super) text: String,
    pub(super) doc: Option<String>,
}

/// A scenario as it is read, before the rows of its examples are put in.
#[derive(Default)]
struct Draft {
    scenario: Option<Scenario>,
    rows: Vec<Vec<String>>,
    is_outline: bool,
}

const KEYWORDS: [&str; 6] = ["Given ", "When ", "Then ", "And ", "But ", "* "];

/// Reads a file, or says which line is wrong.
pub(super) fn read(text: &str) -> Result<Feature, String> {
    let mut feature = Feature { name: String::new(), scenarios: Vec::new() };
    let mut background: Option<Vec<Step>> = None;
    let mut in_background = false;
    let mut draft = Draft::default();
    let mut tags: Vec<String> = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, raw)) = lines.next() {
        let (line, text) = (index + 1, raw.trim());
        let wrong = |why: &str| Err(format!("line {line}: {why}: {text}"));
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        if let Some(rest) = text.strip_prefix("Feature:") {
            rest.trim().clone_into(&mut feature.name);
        } else if text.starts_with('@') {
            tags.extend(text.split_whitespace().map(|tag| tag.trim_start_matches('@').to_owned()));
        } else if text == "Background:" {
            (background, in_background) = (Some(Vec::new()), true);
        } else if let Some((head, name)) =
            text.split_once(':').filter(|(head, _)| head.starts_with("Scenario"))
        {
            draft.give(&mut feature.scenarios)?;
            in_background = false;
            let scenario = Scenario {
                name: name.trim().to_owned(),
                line,
                tags: std::mem::take(&mut tags),
                steps: background.clone().unwrap_or_default(),
            };
            draft = Draft { scenario: Some(scenario), rows: Vec::new(), is_outline: head != "Scenario" };
        } else if text == "Examples:" && draft.is_outline {
        } else if text.starts_with('|') && draft.is_outline {
            draft.rows.push(cells(text));
        } else if text.starts_with("\"\"\"") {
            let indent = raw.len() - raw.trim_start().len();
            let doc =
                doc_string(&mut lines, indent).ok_or_else(|| format!("line {line}: no end of the text"))?;
            let steps = if in_background { background.as_mut() } else { draft.steps() };
            match steps.and_then(|steps| steps.last_mut()) {
                Some(step) if step.doc.is_none() => step.doc = Some(doc),
                _ => return wrong("a text without a step"),
            }
        } else if let Some(rest) = KEYWORDS.iter().find_map(|keyword| text.strip_prefix(keyword)) {
            // The kit writes `And given …`.
            let rest = rest.strip_prefix("given ").unwrap_or(rest);
            let step = Step { line, text: rest.trim().to_owned(), doc: None };
            match if in_background { background.as_mut() } else { draft.steps() } {
                Some(steps) => steps.push(step),
                None => return wrong("a step without a scenario"),
            }
        } else if draft.scenario.is_some() || in_background {
            return wrong("neither step nor keyword");
        }
        // Before the first scenario it is the description of the feature.
    }
    draft.give(&mut feature.scenarios)?;
    Ok(feature)
}

/// The cells of a row; `\|` is no border.
fn cells(row: &str) -> Vec<String> {
    let row = row.replace("\\|", "\u{0}");
    let cells = row.trim_matches('|').split('|');
    cells.map(|cell| cell.trim().replace('\u{0}', "|")).collect()
}

/// The lines up to the next `"""`, without the indentation of the first.
fn doc_string<'a>(lines: &mut impl Iterator<Item = (usize, &'a str)>, indent: usize) -> Option<String> {
    let mut doc = String::new();
    for (_, line) in lines {
        if line.trim() == "\"\"\"" {
            return Some(doc);
        }
        let blank = line.len() - line.trim_start().len();
        doc.push_str(&line[blank.min(indent)..]);
        doc.push('\n');
    }
    None
}

impl Draft {
    fn steps(&mut self) -> Option<&mut Vec<Step>> {
        self.scenario.as_mut().map(|scenario| &mut scenario.steps)
    }

    /// Hands the scenario over: once, or once for each row of its examples.
    fn give(&mut self, to: &mut Vec<Scenario>) -> Result<(), String> {
        let Some(scenario) = self.scenario.take() else { return Ok(()) };
        if !self.is_outline {
            to.push(scenario);
            return Ok(());
        }
        let Some((names, rows)) = self.rows.split_first().filter(|(_, rows)| !rows.is_empty()) else {
            return Err(format!("line {}: an outline without examples", scenario.line));
        };
        for row in rows {
            if row.len() != names.len() {
                return Err(format!("line {}: a row of {} cells: {row:?}", scenario.line, row.len()));
            }
            let fill = |text: &str| {
                names
                    .iter()
                    .zip(row)
                    .fold(text.to_owned(), |text, (name, cell)| text.replace(&format!("<{name}>"), cell))
            };
            let mut filled = scenario.clone();
            filled.name = format!("{} ({})", fill(&scenario.name), row.join(", "));
            for step in &mut filled.steps {
                step.text = fill(&step.text);
                step.doc = step.doc.as_deref().map(fill);
            }
            to.push(filled);
        }
        Ok(())
    }
}

#[test]
fn a_file_is_read() {
    let text = "@slow\nFeature: Things\n  As somebody\n\n  Background:\n    Given a\n\n  # why\n  @x @y\n  Scenario Outline: one <n>\n    When b <n>:\n      \"\"\"yaml\n      k: <n>\n        more\n      \"\"\"\n    And given c\n  Examples:\n    | n |\n    | 1 |\n    | 2 |\n";
    let feature = read(text).unwrap();
    assert_eq!((&*feature.name, feature.scenarios.len()), ("Things", 2));
    let second = &feature.scenarios[1];
    assert_eq!((&*second.name, second.tags.len()), ("one 2 (2)", 3));
    let texts: Vec<&str> = second.steps.iter().map(|step| &*step.text).collect();
    assert_eq!(texts, ["a", "b 2:", "c"]);
    assert_eq!(second.steps[1].doc.as_deref(), Some("k: 2\n  more\n"));
    for wrong in [
        "Scenario: a\nWhen\n",
        "Scenario Outline: a\nGiven b\n",
        "Given b\n",
        "Scenario: a\n\"\"\"\n\"\"\"\n",
    ] {
        assert!(read(&format!("Feature: f\n{wrong}")).is_err(), "{wrong}");
    }
}
