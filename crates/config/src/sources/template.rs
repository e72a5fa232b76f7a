//! The template of what an `hmac` source signs: literal text with `{id}`, `{timestamp}` and `{body}`.
//! Ingest walks the parts and feeds each into the MAC, so that the body is never copied.

use std::str::FromStr;

/// Names one piece of the signed bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignedPart {
    /// Text as it stands.
    Literal(String),
    /// `{id}`: value of the header `id_header` names.
    Id,
    /// `{timestamp}`: value of the header `timestamp_header` names, as received.
    Timestamp,
    /// `{body}`: the raw body.
    Body,
}

/// Holds a parsed template; it contains the body exactly once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedTemplate(Vec<SignedPart>);

/// Says why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// Braces around something that is not known, or without their partner.
    #[error("may have only {{id}}, {{timestamp}} and {{body}} in braces")]
    UnknownPlaceholder,
    /// The body is not signed, or more than once.
    #[error("must contain {{body}} exactly once")]
    BodyNotOnce,
    /// The text is longer than any real template.
    #[error("must be at most 256 bytes")]
    TooLong,
}

impl Default for SignedTemplate {
    fn default() -> Self {
        Self(vec![SignedPart::Body])
    }
}

impl SignedTemplate {
    /// Returns the parts in order.
    pub fn parts(&self) -> &[SignedPart] {
        &self.0
    }

    /// Tells whether a part occurs.
    pub fn contains(&self, part: &SignedPart) -> bool {
        self.0.contains(part)
    }
}

impl FromStr for SignedTemplate {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        if text.len() > 256 {
            return Err(TemplateError::TooLong);
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (literal, tail) = rest.split_at(at);
            push_literal(&mut parts, literal);
            let (part, tail) = [
                ("{id}", SignedPart::Id),
                ("{timestamp}", SignedPart::Timestamp),
                ("{body}", SignedPart::Body),
            ]
            .into_iter()
            .find_map(|(name, part)| Some((part, tail.strip_prefix(name)?)))
            .ok_or(TemplateError::UnknownPlaceholder)?;
            parts.push(part);
            rest = tail;
        }
        push_literal(&mut parts, rest);
        match parts.iter().filter(|part| **part == SignedPart::Body).count() {
            1 => Ok(Self(parts)),
            _ => Err(TemplateError::BodyNotOnce),
        }
    }
}

fn push_literal(parts: &mut Vec<SignedPart>, text: &str) {
    if !text.is_empty() {
        parts.push(SignedPart::Literal(text.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_parse_into_parts() {
        let literal = |text: &str| SignedPart::Literal(text.to_owned());
        let check = |text: &str, expect: Result<Vec<SignedPart>, TemplateError>| {
            assert_eq!(text.parse::<SignedTemplate>().map(|t| t.parts().to_vec()), expect, "{text}");
        };
        check("{body}", Ok(vec![SignedPart::Body]));
        check("{timestamp}.{body}", Ok(vec![SignedPart::Timestamp, literal("."), SignedPart::Body]));
        check(
            "v0:{id}.{timestamp}{body};",
            Ok(vec![
                literal("v0:"),
                SignedPart::Id,
                literal("."),
                SignedPart::Timestamp,
                SignedPart::Body,
                literal(";"),
            ]),
        );
        check("", Err(TemplateError::BodyNotOnce));
        check("body", Err(TemplateError::BodyNotOnce));
        check("{body}{body}", Err(TemplateError::BodyNotOnce));
        check("{url}{body}", Err(TemplateError::UnknownPlaceholder));
        check("{body", Err(TemplateError::UnknownPlaceholder));
        check("}{body}", Err(TemplateError::UnknownPlaceholder));
        check(&"x".repeat(300), Err(TemplateError::TooLong));
    }
}
