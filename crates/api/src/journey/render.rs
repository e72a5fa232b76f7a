//! Draws a journey as text. Knows no colours: whoever prints says how each part looks.
//!
//! Texts come from outside; control characters are shown as escapes, so that an event cannot drive the terminal.

use std::fmt::Write as _;

use super::{Journey, Node};

/// A part of the drawing that may look different.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Lines of the tree and times.
    Faint,
    /// The kind of a node.
    Kind,
    /// A state that says all is well.
    Good,
    /// A state that says something failed.
    Bad,
    /// A state in between.
    Waiting,
}

/// Draws a journey without any decoration.
pub fn plain(journey: &Journey) -> String {
    render(journey, &|_, text| text.to_owned())
}

/// Draws a journey; `paint` decorates each part.
pub fn render(journey: &Journey, paint: &dyn Fn(Part, &str) -> String) -> String {
    let mut out = String::new();
    let head = format!("started {}, took {}", journey.started_at, duration(journey.duration_ms));
    let _ = writeln!(out, "journey {}  {}", shown(&journey.correlation_id), paint(Part::Faint, &head));
    draw(&mut out, &journey.nodes, "", paint);
    if journey.truncated {
        let _ = writeln!(out, "{}", paint(Part::Faint, "there is more than is shown"));
    }
    out
}

fn draw(out: &mut String, nodes: &[Node], indent: &str, paint: &dyn Fn(Part, &str) -> String) {
    for (index, node) in nodes.iter().enumerate() {
        let is_last = index + 1 == nodes.len();
        let (branch, below) = if is_last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        let took = node.duration_ms.map(|ms| format!(", took {}", duration(ms))).unwrap_or_default();
        let _ = writeln!(
            out,
            "{}{} {} {}  {}  {}",
            paint(Part::Faint, &format!("{indent}{branch}")),
            paint(Part::Kind, node.kind.as_str()),
            shown(&node.id),
            paint(part_of(&node.state), &shown(&node.state)),
            shown(&node.summary),
            paint(Part::Faint, &format!("+{}{took}", duration(node.offset_ms))),
        );
        draw(out, &node.children, &format!("{indent}{below}"), paint);
    }
}

fn part_of(state: &str) -> Part {
    match state {
        "stored" | "accepted" | "succeeded" | "completed" => Part::Good,
        "failed" | "rejected" | "exhausted" => Part::Bad,
        _ => Part::Waiting,
    }
}

fn shown(text: &str) -> String {
    text.chars()
        .flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] })
        .collect()
}

fn duration(ms: f64) -> String {
    if ms < 1.0 {
        format!("{:.0} µs", ms * 1000.0)
    } else if ms < 1000.0 {
        format!("{ms:.1} ms")
    } else if ms < 120_000.0 {
        format!("{:.2} s", ms / 1000.0)
    } else {
        format!("{:.1} min", ms / 60_000.0)
    }
}
