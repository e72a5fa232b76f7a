//! Turns what a document calls a message into an event type.

use trunkline_model::EventType;

/// Reads a name as an event type: slashes, colons and spaces become dots, letters stay as they are, since producers
/// send the type as they write it. `Err` says what is in the way.
pub(super) fn normalise(name: &str) -> Result<EventType, String> {
    let dotted: String =
        name.trim().chars().map(|c| if matches!(c, '/' | ':' | ' ' | '\t') { '.' } else { c }).collect();
    let parts: Vec<&str> = dotted.split('.').filter(|part| !part.is_empty()).collect();
    let joined = parts.join(".");
    if joined.is_empty() {
        return Err("it has no name".to_owned());
    }
    EventType::parse(&joined).map_err(|error| {
        let foreign: Vec<String> = joined
            .chars()
            .filter(|c| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')))
            .take(5)
            .map(|c| format!("`{}`", c.escape_debug()))
            .collect();
        if foreign.is_empty() { error.to_string() } else { format!("it holds {}", foreign.join(", ")) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_types_or_are_refused() {
        let check = |name: &str, expect: Result<&str, &str>| {
            let found = normalise(name);
            let found = found.as_ref().map(EventType::as_str).map_err(String::as_str);
            assert_eq!(found, expect, "{name}");
        };
        check("appointment.created", Ok("appointment.created"));
        check("/orders/created", Ok("orders.created"));
        check("order:paid", Ok("order.paid"));
        check("Order Paid", Ok("Order.Paid"));
        check("CaseReadyToShip", Ok("CaseReadyToShip"));
        check("users/{id}", Err("it holds `{`, `}`"));
        check("  ", Err("it has no name"));
        check("größe", Err("it holds `ö`, `ß`"));
    }
}
