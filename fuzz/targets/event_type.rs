//! Event types and patterns: parsing and matching never panic, and matching keeps its laws.

#![no_main]

use libfuzzer_sys::fuzz_target;
use trunkline_model::{EventType, Pattern};

fuzz_target!(|input: (String, String)| {
    let (pattern, event_type) = input;
    let pattern = Pattern::parse(&pattern);
    let Ok(event_type) = EventType::parse(&event_type) else { return };
    assert_eq!(EventType::parse(event_type.as_str()).as_ref(), Ok(&event_type));
    // A type is a pattern that selects itself; `**` selects everything.
    assert!(Pattern::parse(event_type.as_str()).expect("a type is a pattern").matches(&event_type));
    assert!(Pattern::parse("**").expect("a pattern").matches(&event_type));
    let Ok(pattern) = pattern else { return };
    if pattern.matches(&event_type) && !pattern.as_str().contains('*') {
        assert_eq!(pattern.as_str(), event_type.as_str());
    }
    // More freedom never selects less.
    if let Ok(wider) = Pattern::parse(&format!("{}.**", pattern.as_str())) {
        assert!(!pattern.matches(&event_type) || wider.matches(&event_type));
    }
});
