//! Templates that say where within a broker a message goes: a NATS subject, a routing key, a stream, an object key.
//!
//! **Shape**: text with placeholders in braces, for example `{tenant}/{date}/{type}/{id}.json`.
//!
//! | placeholder | value |
//! |---|---|
//! | `{id}` | the event's id |
//! | `{type}` | the event's type, dots kept |
//! | `{tenant}` | the tenant |
//! | `{subject}` | what the event is about, `_` when it has no subject |
//! | `{date}` | day of the event's time in UTC, `2026-01-31` |
//! | `{hour}` | hour of the event's time in UTC, `00` to `23` |
//!
//! Values keep ASCII letters, digits, `-` and `_`; every other character becomes `_`, so that no producer can write
//! wildcards, path steps or separators. Every value comes from the event, so each attempt renders to the same text.

use trunkline_model::{EventType, Tenant, Timestamp};

use crate::SinkMessage;

/// What a placeholder stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Placeholder {
    Id,
    Type,
    Tenant,
    Subject,
    Date,
    Hour,
}

const PLACEHOLDERS: &[(&str, Placeholder)] = &[
    ("id", Placeholder::Id),
    ("type", Placeholder::Type),
    ("tenant", Placeholder::Tenant),
    ("subject", Placeholder::Subject),
    ("date", Placeholder::Date),
    ("hour", Placeholder::Hour),
];

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Value(Placeholder),
}

/// A parsed template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    text: String,
    parts: Vec<Part>,
}

impl Template {
    /// Reads a template; the error says what is wrong.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find(['{', '}']) {
            let (literal, braced) = rest.split_at(start);
            let inner = braced.strip_prefix('{').and_then(|inner| inner.split_once('}'));
            let (name, after) = inner.ok_or("has a brace without its partner")?;
            let known = PLACEHOLDERS.iter().find(|(known, _)| *known == name);
            let (_, placeholder) = known.ok_or_else(unknown_placeholder)?;
            if !literal.is_empty() {
                parts.push(Part::Literal(literal.to_owned()));
            }
            parts.push(Part::Value(*placeholder));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest.to_owned()));
        }
        Ok(Self { text: text.to_owned(), parts })
    }

    /// The template as it was written.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a placeholder occurs.
    pub(crate) fn uses(&self, placeholder: Placeholder) -> bool {
        self.parts.contains(&Part::Value(placeholder))
    }

    /// The text for one message.
    pub(crate) fn render(&self, message: &SinkMessage) -> String {
        let mut out = String::with_capacity(self.text.len() + 64);
        for part in &self.parts {
            match part {
                Part::Literal(literal) => out.push_str(literal),
                Part::Value(placeholder) => push_value(&mut out, *placeholder, message),
            }
        }
        out
    }
}

fn unknown_placeholder() -> String {
    let known: Vec<String> = PLACEHOLDERS.iter().map(|(name, _)| format!("{{{name}}}")).collect();
    format!("has an unknown placeholder; known ones are {}", known.join(", "))
}

fn push_value(out: &mut String, placeholder: Placeholder, message: &SinkMessage) {
    match placeholder {
        Placeholder::Id => push_plain(out, &message.id, ""),
        Placeholder::Type => push_plain(out, message.event_type.as_str(), "."),
        Placeholder::Tenant => push_plain(out, message.tenant.as_str(), ""),
        Placeholder::Subject => push_plain(out, message.subject.as_deref().unwrap_or_default(), ""),
        Placeholder::Date => push_plain(out, message.time.to_rfc3339().get(..10).unwrap_or_default(), ""),
        Placeholder::Hour => push_plain(out, message.time.to_rfc3339().get(11..13).unwrap_or_default(), ""),
    }
}

fn push_plain(out: &mut String, value: &str, kept: &str) {
    let is_kept = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_') || kept.contains(c);
    out.extend(value.chars().map(|c| if is_kept(c) { c } else { '_' }));
    if value.is_empty() {
        out.push('_');
    }
}

/// A message to try a template on.
pub(crate) fn sample() -> SinkMessage {
    SinkMessage {
        id: "evt_0".to_owned(),
        event_type: EventType::from_stored("a.b"),
        tenant: Tenant::default(),
        subject: Some("s".to_owned()),
        time: Timestamp::default(),
        content_type: http::HeaderValue::from_static("application/json"),
        body: bytes::Bytes::new(),
        headers: http::HeaderMap::new(),
        timeout: std::time::Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn render(template: &str, message: &SinkMessage) -> String {
        Template::parse(template).unwrap().render(message)
    }

    #[test]
    fn renders_every_placeholder() {
        let mut message = sample();
        message.subject = Some("order/1 2*>é".to_owned());
        message.time = Timestamp::parse_rfc3339("2026-01-31T23:30:00+01:00").unwrap();
        let text = render("{tenant}/{date}/{hour}/{type}/{subject}/{id}.json", &message);
        assert_eq!(text, "default/2026-01-31/22/a.b/order_1_2___/evt_0.json");
        message.subject = None;
        assert_eq!(render("x{subject}y", &message), "x_y");
    }

    #[test]
    fn refuses_broken_templates() {
        for text in ["{", "}", "{id", "id}", "{nope}", "{}", "{{id}}"] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
        let detail = Template::parse("{nope}").unwrap_err();
        assert!(detail.contains("{id}, {type}"), "{detail}");
    }

    proptest! {
        #[test]
        fn values_cannot_write_structure(subject in ".*", id in ".*") {
            let message = SinkMessage { subject: Some(subject), id, ..sample() };
            let text = render("{subject}{id}{tenant}", &message);
            prop_assert!(text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')));
        }

        #[test]
        fn parsing_never_panics(text in ".*") {
            if let Ok(template) = Template::parse(&text) {
                prop_assert_eq!(template.as_str(), text);
            }
        }
    }
}
