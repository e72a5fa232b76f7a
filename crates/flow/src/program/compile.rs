//! From text to a program, or to every fault.

use std::fmt;

use trunkline_packs::Position;
use trunkline_packs::document::{Node, parse_json, parse_yaml};

use super::link::link;
use super::{ContentHash, Program};
use crate::fault::{Fault, FaultKind, Refusal};
use crate::read::{At, Reader};

/// The longest definition, in bytes.
pub const MAX_SOURCE_BYTES: usize = 1 << 20;

/// How a definition is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// YAML 1.2, which includes JSON.
    Yaml,
    /// JSON, held to its own grammar.
    Json,
}

/// A program, and what is allowed in it and probably not meant.
pub struct Compiled {
    /// The program.
    pub program: Program,
    /// Warnings, in the order of the text.
    pub warnings: Vec<Fault>,
}

impl fmt::Debug for Compiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hash = self.program.hash();
        f.debug_struct("Compiled").field("hash", &hash).field("warnings", &self.warnings).finish()
    }
}

/// Compiles a definition. Bounded in time and memory for any text; takes some milliseconds for a usual one, so call it
/// off the runtime's threads.
///
/// # Errors
///
/// Every fault of the definition, not only the first; of more than [`MAX_FAULTS`](crate::MAX_FAULTS) as many.
pub fn compile(text: &str, format: Format) -> Result<Compiled, Refusal> {
    let root = parse(text, format).map_err(|faults| Refusal { faults, warnings: Vec::new() })?;
    let mut reader = Reader::default();
    reader.refuse_long_keys(&root);
    if !reader.faults.is_empty() {
        return Err(refusal(reader));
    }
    let workflow = reader.workflow(&At::root(&root));
    let Some(workflow) = workflow else { return Err(refusal(reader)) };
    // Links are checked in documents with faults as well, so that one look tells everything.
    link(&mut reader, &workflow);
    if !reader.faults.is_empty() {
        return Err(refusal(reader));
    }
    let definition = root.to_json();
    let hash = ContentHash::of(&definition);
    reader.warnings.sort();
    reader.warnings.dedup();
    let program = Program { workflow, tasks: reader.tasks, definition, hash };
    Ok(Compiled { program, warnings: reader.warnings })
}

fn refusal(mut reader: Reader) -> Refusal {
    reader.faults.sort();
    reader.faults.dedup();
    reader.warnings.sort();
    reader.warnings.dedup();
    Refusal { faults: reader.faults, warnings: reader.warnings }
}

/// Parses a text of bounded length.
pub(crate) fn parse(text: &str, format: Format) -> Result<Node, Vec<Fault>> {
    let syntax = |position, problem, fix| Fault {
        position,
        pointer: String::new(),
        kind: FaultKind::Syntax,
        problem,
        fix,
    };
    if text.len() > MAX_SOURCE_BYTES {
        let problem = format!("the definition is longer than {MAX_SOURCE_BYTES} bytes");
        let fix = "split the workflow".to_owned();
        return Err(vec![syntax(Position { line: 1, column: 1 }, problem, fix)]);
    }
    let parsed = match format {
        Format::Yaml => parse_yaml(text),
        Format::Json => parse_json(text),
    };
    parsed.map_err(|faults| faults.into_iter().map(|it| syntax(it.position, it.problem, it.fix)).collect())
}
