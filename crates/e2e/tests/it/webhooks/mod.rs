//! Outbound webhooks as a stranger would use them: over HTTP, on the program, by the documents alone.

mod catalogue;
mod delivery;
mod failing;
mod history;
mod secrets;
mod subscriptions;

use serde_json::Value;

/// The texts of one field in a list.
fn texts<'a>(list: &'a Value, field: &str) -> Vec<&'a str> {
    list.as_array().unwrap().iter().map(|item| item[field].as_str().unwrap()).collect()
}

/// The items of a page.
fn items(page: &Value) -> &[Value] {
    page["items"].as_array().unwrap()
}
