//! A SELECT that grows condition by condition; used by the lists with filters.

use crate::Value;

/// SQL text with its parameters, numbered as they come.
pub(super) struct Select {
    pub(super) sql: String,
    pub(super) values: Vec<Value>,
}

impl Select {
    /// Begins with a text that uses `$1 …` for `values`.
    pub(super) fn new(sql: String, values: Vec<Value>) -> Self {
        Self { sql, values }
    }

    /// Adds a text whose single `?` stands for `value`.
    pub(super) fn add(&mut self, text: &str, value: impl Into<Value>) {
        self.values.push(value.into());
        self.sql.push_str(&text.replace('?', &format!("${}", self.values.len())));
    }

    /// Adds a text that is followed by ` IN (…)` of these values; none of them is no row at all.
    pub(super) fn add_one_of(&mut self, text: &str, values: &[String]) {
        self.sql.push_str(text);
        self.sql.push_str(" IN (NULL");
        for value in values {
            self.add(", ?", value.as_str());
        }
        self.sql.push(')');
    }

    /// The same when there is a value, otherwise nothing.
    pub(super) fn add_some(&mut self, text: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.add(text, value);
        }
    }
}
