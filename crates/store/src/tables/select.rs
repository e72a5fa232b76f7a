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

    /// The same when there is a value, otherwise nothing.
    pub(super) fn add_some(&mut self, text: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.add(text, value);
        }
    }
}
