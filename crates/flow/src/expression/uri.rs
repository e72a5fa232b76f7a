//! URI templates as far as the specification takes them: `{name}` is replaced by a top-level property of the task's
//! input, percent-encoded (rule 18).

use std::fmt::Write as _;

use serde_json::Value;

use super::EvaluationError;

/// A URI with placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UriTemplate {
    text: String,
    /// Where the placeholders are: the braces with what is between them.
    placeholders: Vec<(usize, usize)>,
}

impl UriTemplate {
    /// The URI, where nothing has to be filled in.
    pub(crate) fn fixed(&self) -> Option<&str> {
        self.placeholders.is_empty().then_some(&self.text)
    }

    /// Reads a template.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in words.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut placeholders = Vec::new();
        let mut from = 0;
        while let Some(at) = text[from..].find(['{', '}']).map(|at| from + at) {
            let end = text[at..].find('}').map(|end| at + end);
            match end {
                Some(end) if end > at => {
                    let name = &text[at + 1..end];
                    if name.is_empty() || name.contains('{') {
                        return Err("a placeholder is a name in braces, such as {petId}".to_owned());
                    }
                    if name.starts_with(['+', '#', '.', '/', ';', '?', '&']) || name.contains([',', '*', ':'])
                    {
                        return Err(format!("`{{{name}}}` is no simple placeholder such as {{petId}}"));
                    }
                    placeholders.push((at, end + 1));
                    from = end + 1;
                }
                Some(_) => return Err("a brace closes that was not opened".to_owned()),
                None => return Err("a brace is not closed".to_owned()),
            }
        }
        Ok(Self { text: text.to_owned(), placeholders })
    }

    /// The template as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Fills the placeholders from the top level of `input`; what is missing or null becomes empty.
    ///
    /// # Errors
    ///
    /// [`EvaluationError::UriVariable`] for a value that is an array or an object.
    pub fn expand(&self, input: &Value) -> Result<String, EvaluationError> {
        let mut expanded = String::with_capacity(self.text.len());
        let mut from = 0;
        for &(start, end) in &self.placeholders {
            expanded.push_str(&self.text[from..start]);
            let name = &self.text[start + 1..end - 1];
            match input.get(name) {
                None | Some(Value::Null) => {}
                Some(Value::String(text)) => encode(text, &mut expanded),
                Some(value @ (Value::Bool(_) | Value::Number(_))) => {
                    encode(&value.to_string(), &mut expanded);
                }
                Some(_) => return Err(EvaluationError::UriVariable(name.to_owned())),
            }
            from = end;
        }
        expanded.push_str(&self.text[from..]);
        Ok(expanded)
    }
}

/// Simple string expansion of RFC 6570: everything but unreserved characters is encoded.
fn encode(text: &str, into: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            into.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(into, "%{byte:02X}");
        }
    }
}
