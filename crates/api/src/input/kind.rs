//! What a field may hold. One description serves both sides: it checks values and it is the JSON Schema in the OpenAPI
//! document, so the two cannot differ.

use serde_json::{Map, Value, json};
use trunkline_model::{FieldError, Timestamp};

/// One field of a body, or one query parameter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) required: bool,
    pub(crate) about: &'static str,
}

impl Field {
    pub(crate) const fn required(name: &'static str, kind: Kind, about: &'static str) -> Self {
        Self { name, kind, required: true, about }
    }

    pub(crate) const fn optional(name: &'static str, kind: Kind, about: &'static str) -> Self {
        Self { name, kind, required: false, about }
    }

    /// The field's JSON Schema with its description.
    pub(crate) fn schema(&self) -> Value {
        let mut schema = self.kind.schema();
        schema["description"] = self.about.into();
        schema
    }
}

/// The values a field may have.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// A text with a length in characters and a form.
    Text(Text),
    /// A whole number.
    Integer { min: i64, max: i64 },
    /// A number with or without a fraction.
    Number { min: f64, max: f64 },
    /// `true` or `false`.
    Boolean,
    /// An RFC 3339 time.
    Time,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A list of such values.
    List { item: &'static Kind, min: usize, max: usize },
    /// Texts by name; the names are looked at by whoever reads them.
    Texts { max: usize, max_chars: usize },
    /// An object with these fields.
    Object(&'static [Field]),
    /// A value of one of two kinds, which do not overlap.
    Either(&'static Kind, &'static Kind),
    /// Any JSON value, looked at by whoever reads it.
    Json,
    /// Accepted and not looked at: what an answer holds and a request may send back.
    Ignored,
}

/// A text's form.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text {
    pub(crate) min: usize,
    pub(crate) max: usize,
    /// For the document; `accepts` decides.
    pub(crate) pattern: &'static str,
    pub(crate) accepts: fn(&str) -> bool,
    /// What is expected, for people.
    pub(crate) rule: &'static str,
}

impl Text {
    /// One line without control characters.
    pub(crate) const fn line(min: usize, max: usize) -> Self {
        Self {
            min,
            max,
            pattern: "^[^\\x00-\\x1f\\x7f-\\x9f]*$",
            accepts: is_line,
            rule: "must not have control characters",
        }
    }

    /// Text of several lines, without control characters but tab and line ends.
    pub(crate) const fn lines(min: usize, max: usize) -> Self {
        Self {
            min,
            max,
            pattern: "^[^\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f]*$",
            accepts: is_text,
            rule: "must not have control characters",
        }
    }
}

fn is_line(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

fn is_text(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
}

/// Where faults are noted.
pub(crate) type Faults = Vec<FieldError>;

impl Kind {
    /// The JSON Schema of the values.
    pub(crate) fn schema(&self) -> Value {
        match self {
            Self::Text(text) => {
                let mut schema = json!({ "type": "string", "maxLength": text.max, "pattern": text.pattern });
                if text.min > 0 {
                    schema["minLength"] = text.min.into();
                }
                schema
            }
            Self::Integer { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
            Self::Number { min, max } => json!({ "type": "number", "minimum": min, "maximum": max }),
            Self::Boolean => json!({ "type": "boolean" }),
            Self::Time => json!({ "type": "string", "format": "date-time" }),
            Self::Choice(words) => json!({ "type": "string", "enum": words }),
            Self::List { item, min, max } => {
                json!({ "type": "array", "items": item.schema(), "minItems": min, "maxItems": max })
            }
            Self::Texts { max, max_chars } => json!({
                "type": "object", "maxProperties": max,
                "additionalProperties": { "type": "string", "maxLength": max_chars },
            }),
            Self::Object(fields) => object_schema(fields),
            Self::Either(one, other) => json!({ "oneOf": [one.schema(), other.schema()] }),
            Self::Json | Self::Ignored => json!({}),
        }
    }

    /// Notes every fault of a JSON value.
    pub(crate) fn check(&self, value: &Value, pointer: &str, faults: &mut Faults) {
        let mut fault = |code: &str, detail: String| faults.push(FieldError::new(pointer, code, detail));
        match (self, value) {
            (Self::Text(form), Value::String(text)) => {
                let length = text.chars().count();
                if length < form.min {
                    fault("too_short", format!("must have at least {} characters", form.min));
                } else if length > form.max {
                    fault("too_long", format!("must have at most {} characters", form.max));
                } else if !(form.accepts)(text) {
                    fault("invalid", form.rule.to_owned());
                }
            }
            (Self::Integer { min, max }, value) if to_integer(value).is_some() => {
                if !to_integer(value).is_some_and(|n| (*min..=*max).contains(&n)) {
                    fault("out_of_range", format!("must be {min} to {max}"));
                }
            }
            (Self::Time, Value::String(text)) => {
                if let Err(error) = Timestamp::parse_rfc3339(text) {
                    fault("invalid", error.to_string());
                }
            }
            (Self::Choice(words), Value::String(text)) => {
                if !words.contains(&text.as_str()) {
                    fault("invalid", format!("must be one of {}", words.join(", ")));
                }
            }
            (Self::List { item, min, max }, Value::Array(values)) => {
                if (*min..=*max).contains(&values.len()) {
                    for (index, value) in values.iter().enumerate() {
                        item.check(value, &format!("{pointer}/{index}"), faults);
                    }
                } else {
                    fault("out_of_range", format!("must hold {min} to {max} items"));
                }
            }
            (Self::Number { min, max }, Value::Number(number)) => {
                if !number.as_f64().is_some_and(|n| (*min..=*max).contains(&n)) {
                    fault("out_of_range", format!("must be {min} to {max}"));
                }
            }
            (Self::Texts { max, max_chars }, Value::Object(members)) => {
                if members.len() > *max {
                    fault("too_many", format!("at most {max}"));
                } else {
                    check_texts(members, *max_chars, pointer, faults);
                }
            }
            (Self::Object(fields), Value::Object(members)) => check_object(fields, members, pointer, faults),
            (Self::Either(one, other), value) => {
                match [one, other].into_iter().find(|kind| kind.is_shaped_like(value)) {
                    Some(kind) => kind.check(value, pointer, faults),
                    None => fault("wrong_type", format!("must be {} or {}", one.name(), other.name())),
                }
            }
            (Self::Boolean, Value::Bool(_)) | (Self::Json | Self::Ignored, _) => {}
            (kind, _) => fault("wrong_type", format!("must be {}", kind.name())),
        }
    }

    /// Whether a value has the type of this kind, however wrong it may be otherwise.
    fn is_shaped_like(&self, value: &Value) -> bool {
        let mut faults = Vec::new();
        self.check(value, "", &mut faults);
        !faults.iter().any(|fault| fault.pointer.is_empty() && fault.code == "wrong_type")
    }

    /// Turns the text of a query parameter into the JSON value that is checked.
    pub(crate) fn value_of(&self, text: &str) -> Value {
        match self {
            Self::Integer { .. } => {
                let plain = !text.starts_with('+');
                text.parse::<i64>()
                    .ok()
                    .filter(|_| plain)
                    .map_or_else(|| Value::String(text.to_owned()), Value::from)
            }
            Self::Boolean if text == "true" => Value::Bool(true),
            Self::Boolean if text == "false" => Value::Bool(false),
            // An unescaped plus in an offset arrives as a space.
            Self::Time => Value::String(text.replace(' ', "+")),
            _ => Value::String(text.to_owned()),
        }
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Text(_) | Self::Choice(_) => "a string",
            Self::Time => "an RFC 3339 time",
            Self::Integer { .. } => "a whole number",
            Self::Number { .. } => "a number",
            Self::Boolean => "true or false",
            Self::Texts { .. } | Self::Object(_) => "an object",
            Self::List { .. } => "a list",
            Self::Either(_, _) => "one of two kinds",
            Self::Json | Self::Ignored => "anything",
        }
    }
}

/// The JSON Schema of an object with these fields and no others.
pub(crate) fn object_schema(fields: &[Field]) -> Value {
    let properties: Map<String, Value> =
        fields.iter().map(|field| (field.name.to_owned(), field.schema())).collect();
    let required: Vec<&str> = fields.iter().filter(|field| field.required).map(|field| field.name).collect();
    let mut schema = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    if !required.is_empty() {
        schema["required"] = required.into();
    }
    schema
}

fn check_object(fields: &[Field], members: &Map<String, Value>, pointer: &str, faults: &mut Faults) {
    for (name, value) in members {
        match fields.iter().find(|field| field.name == name) {
            Some(field) => field.kind.check(value, &format!("{pointer}/{name}"), faults),
            None => faults.push(FieldError::new(member(pointer, name), "unknown", "is not known")),
        }
    }
    for field in fields.iter().filter(|field| field.required && !members.contains_key(field.name)) {
        faults.push(FieldError::new(format!("{pointer}/{}", field.name), "required", "is missing"));
    }
}

fn check_texts(members: &Map<String, Value>, max_chars: usize, pointer: &str, faults: &mut Faults) {
    for (name, value) in members {
        match value.as_str() {
            None => faults.push(FieldError::new(member(pointer, name), "wrong_type", "must be a string")),
            Some(text) if text.chars().count() > max_chars => {
                let detail = format!("must have at most {max_chars} characters");
                faults.push(FieldError::new(member(pointer, name), "too_long", detail));
            }
            Some(_) => {}
        }
    }
}

/// The pointer of a member whose name the caller chose; what is quoted back is bounded.
fn member(pointer: &str, name: &str) -> String {
    let shown: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
    format!("{pointer}/{}", shown.replace('~', "~0").replace('/', "~1"))
}

/// Whole numbers may be written with a fraction of nought, as JSON Schema has it.
pub(crate) fn to_integer(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| {
        let number = value.as_f64()?;
        if value.is_u64() {
            return Some(i64::MAX);
        }
        (number.fract() == 0.0).then_some(number as i64)
    })
}
