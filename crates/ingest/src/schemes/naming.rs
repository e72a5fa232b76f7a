//! Event types of providers' calls: `<scheme>.<what the provider calls it>`, in the hub's spelling.

use serde_json::Value;
use trunkline_model::{EventType, Timestamp};

/// Names an event of a provider. Dots, slashes and colons part segments; other characters that no event type has become
/// `_`. `None` when nothing of a name is left, or too much.
pub(super) fn event_type(scheme: &str, parts: &[&str]) -> Option<EventType> {
    let mut text = String::from(scheme);
    let segments = parts.iter().flat_map(|part| part.split(['.', '/', ':'])).map(str::trim);
    for segment in segments.filter(|segment| !segment.is_empty()) {
        text.push('.');
        text.extend(segment.chars().map(|c| match c {
            '-' | '_' => c,
            c if c.is_ascii_alphanumeric() => c.to_ascii_lowercase(),
            _ => '_',
        }));
        if text.len() > trunkline_model::event_type::MAX_LEN {
            return None;
        }
    }
    if text.len() == scheme.len() { None } else { EventType::parse(&text).ok() }
}

/// Turns `PatField` into `pat_field`.
pub(super) fn snake(text: &str) -> String {
    let mut snake = String::with_capacity(text.len() + 4);
    for c in text.chars() {
        if c.is_ascii_uppercase() && !snake.is_empty() && !snake.ends_with(['_', '.']) {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

/// Reads a verified body as JSON; what is none has no members to look at, and the judge says so.
pub(super) fn json(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or(Value::Null)
}

/// A member that is text with something in it.
pub(super) fn text<'v>(value: &'v Value, pointer: &str) -> Option<&'v str> {
    value.pointer(pointer)?.as_str().filter(|text| !text.is_empty())
}

/// A member that is a time in Unix seconds, before the year 10000.
pub(super) fn seconds(value: &Value, pointer: &str) -> Option<Timestamp> {
    const END: i64 = 253_402_300_800;
    value.pointer(pointer)?.as_i64().filter(|secs| (0..END).contains(secs)).map(Timestamp::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_the_hubs_spelling() {
        let check = |parts: &[&str], expect: Option<&str>| {
            let found = event_type("shop", parts);
            assert_eq!(found.as_ref().map(EventType::as_str), expect, "{parts:?}");
        };
        check(&["orders/create"], Some("shop.orders.create"));
        check(&["ORDER_CHANGE"], Some("shop.order_change"));
        check(&["pull_request", "opened"], Some("shop.pull_request.opened"));
        check(&["push", ""], Some("shop.push"));
        check(&["..a b\u{e9}/"], Some("shop.a_b_"));
        check(&[], None);
        check(&["", "/."], None);
        check(&[&"x".repeat(300)], None);
        check(&[&"x.".repeat(300)], None);
    }

    #[test]
    fn words_are_parted() {
        for (text, expect) in [
            ("PatField", "pat_field"),
            ("reauthorizationRequired", "reauthorization_required"),
            ("a", "a"),
            ("", ""),
        ] {
            assert_eq!(snake(text), expect);
        }
    }
}
