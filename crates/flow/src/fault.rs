//! What is wrong with a workflow definition, where, and what to do about it.

use std::fmt;

use trunkline_packs::Position;

use crate::rule::Rule;

/// Why something is a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultKind {
    /// The text is no YAML or JSON, or too large.
    Syntax,
    /// The document does not have the shape that the specification's schema asks for.
    Shape,
    /// The document has the right shape and breaks a rule of the profile (`docs/workflow-profile.md`).
    Rule(Rule),
}

/// One fault, or one warning, of a definition.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// Where in the text.
    pub position: Position,
    /// JSON pointer into the document; empty for the document as a whole.
    pub pointer: String,
    /// Why it is one.
    pub kind: FaultKind,
    /// What is wrong: lower-case, without a full stop.
    pub problem: String,
    /// What to do about it, likewise.
    pub fix: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.position)?;
        if !self.pointer.is_empty() {
            write!(f, "{}: ", self.pointer)?;
        }
        write!(f, "{}. Fix: {}.", self.problem, self.fix)?;
        match self.kind {
            FaultKind::Rule(rule) => write!(f, " [{rule}]"),
            FaultKind::Syntax | FaultKind::Shape => Ok(()),
        }
    }
}

/// A definition that cannot be used: every fault, in the order of the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the workflow definition has {} faults, the first at {}", .faults.len(), first(.faults))]
pub struct Refusal {
    /// Every fault; never empty.
    pub faults: Vec<Fault>,
    /// What is allowed and probably not meant.
    pub warnings: Vec<Fault>,
}

fn first(faults: &[Fault]) -> String {
    faults.first().map(Fault::to_string).unwrap_or_default()
}
