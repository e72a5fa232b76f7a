//! Event types (`appointment.created`) and the patterns that select them (`appointment.*`, `ehr.**`).

use std::fmt;
use std::sync::Arc;

/// The longest event type or pattern, in bytes.
pub const MAX_LEN: usize = 255;

/// A dotted event type: segments of `A-Z a-z 0-9 _ -`, joined by single dots, at most 255 bytes.
///
/// Lower case is the convention; upper case is accepted because producers' existing types have it. Types compare
/// byte for byte.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventType(Arc<str>);

/// A text that is no event type.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error(
    "an event type is dotted segments of letters, digits, _ and -, at most 255 bytes, such as appointment.created"
)]
pub struct InvalidEventType;

/// A text that is no event type pattern.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("a pattern is dotted segments, each a name, * (one segment) or ** (any number), at most 255 bytes")]
pub struct InvalidPattern;

fn is_segment(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

impl EventType {
    /// Parses an event type.
    pub fn parse(text: &str) -> Result<Self, InvalidEventType> {
        if text.len() <= MAX_LEN && text.split('.').all(is_segment) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidEventType)
        }
    }

    /// Takes a type that was parsed before it was stored.
    pub fn from_stored(text: &str) -> Self {
        Self(text.into())
    }

    /// The type as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventType({})", self.0)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Segment {
    Name(Box<str>),
    One,
    Any,
}

/// Selects event types: `*` stands for exactly one segment, `**` for any number of them, none included.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pattern {
    text: Box<str>,
    segments: Box<[Segment]>,
}

impl Pattern {
    /// Parses a pattern. Neighbouring `**` are one.
    pub fn parse(text: &str) -> Result<Self, InvalidPattern> {
        if text.len() > MAX_LEN {
            return Err(InvalidPattern);
        }
        let mut segments = Vec::new();
        for part in text.split('.') {
            match part {
                "*" => segments.push(Segment::One),
                "**" if segments.last() == Some(&Segment::Any) => {}
                "**" => segments.push(Segment::Any),
                name if is_segment(name) => segments.push(Segment::Name(name.into())),
                _ => return Err(InvalidPattern),
            }
        }
        Ok(Self { text: text.into(), segments: segments.into() })
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Tells whether the pattern selects `event_type`. Linear in both lengths times the number of `**`.
    pub fn matches(&self, event_type: &EventType) -> bool {
        let parts: Vec<&str> = event_type.as_str().split('.').collect();
        let (mut at, mut part) = (0, 0);
        // Where to resume when a later segment fails: after the last `**`, one part further on.
        let mut resume: Option<(usize, usize)> = None;
        while part < parts.len() {
            match self.segments.get(at) {
                Some(Segment::Any) => {
                    resume = Some((at + 1, part));
                    at += 1;
                }
                Some(Segment::One) => (at, part) = (at + 1, part + 1),
                Some(Segment::Name(name)) if **name == *parts[part] => (at, part) = (at + 1, part + 1),
                _ => match &mut resume {
                    Some((after, from)) => {
                        *from += 1;
                        (at, part) = (*after, *from);
                    }
                    None => return false,
                },
            }
        }
        self.segments[at..].iter().all(|segment| *segment == Segment::Any)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(pattern: &str, event_type: &str, expect: bool) {
        let matched = Pattern::parse(pattern).unwrap().matches(&EventType::parse(event_type).unwrap());
        assert_eq!(matched, expect, "{pattern} against {event_type}");
    }

    #[test]
    fn patterns_select_types() {
        check("appointment.created", "appointment.created", true);
        check("appointment.created", "appointment.created.twice", false);
        check("appointment.*", "appointment.created", true);
        check("appointment.*", "appointment", false);
        check("appointment.*", "appointment.slot.created", false);
        check("**", "a", true);
        check("**", "a.b.c", true);
        check("ehr.**", "ehr", true);
        check("ehr.**", "ehr.lab.report.created", true);
        check("ehr.**.created", "ehr.created", true);
        check("ehr.**.created", "ehr.a.created.b.created", true);
        check("ehr.**.created", "ehr.a.created.b", false);
        check("**.a.**.b", "x.a.a.c.b", true);
        check("**.*", "a", true);
        check("*.**.*", "a", false);
        check("*", "a.b", false);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", ".", "a.", ".a", "a..b", "a b", "a.***", "a*.b", "ä.b"] {
            assert_eq!(Pattern::parse(text), Err(InvalidPattern), "{text:?}");
        }
        for text in ["", ".", "a.", "a.*", "a b", &"a".repeat(256)] {
            assert_eq!(EventType::parse(text), Err(InvalidEventType), "{text:?}");
        }
    }

    /// The obvious recursive definition, exponential but plainly right.
    fn matches_by_definition(pattern: &[&str], parts: &[&str]) -> bool {
        match (pattern.split_first(), parts.split_first()) {
            (None, None) => true,
            (Some((&"**", rest)), _) => {
                (0..=parts.len()).any(|skip| matches_by_definition(rest, &parts[skip..]))
            }
            (Some((head, rest)), Some((part, tail))) => {
                (*head == "*" || head == part) && matches_by_definition(rest, tail)
            }
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(
            pattern in proptest::collection::vec(prop_oneof!["a", "b", "\\*", "\\*\\*"], 1..6),
            parts in proptest::collection::vec(prop_oneof!["a", "b"], 1..7),
        ) {
            let parsed = Pattern::parse(&pattern.join(".")).unwrap();
            let event_type = EventType::parse(&parts.join(".")).unwrap();
            let pattern: Vec<&str> = pattern.iter().map(String::as_str).collect();
            let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
            prop_assert_eq!(parsed.matches(&event_type), matches_by_definition(&pattern, &parts));
        }

        #[test]
        fn parsing_never_panics(text in ".{0,300}") {
            drop((Pattern::parse(&text), EventType::parse(&text)));
        }
    }
}
