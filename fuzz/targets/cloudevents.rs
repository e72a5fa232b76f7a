//! CloudEvents in all three content modes: parsing never panics, and what was accepted survives being written and read.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use trunkline_model::cloudevents::{self, Defaults};
use trunkline_model::{Event, Tenant, Timestamp};

fn check_round_trip(event: &Event, defaults: &Defaults<'_>) {
    let written = cloudevents::to_structured(event);
    let again = cloudevents::parse_structured(&written, defaults)
        .unwrap_or_else(|faults| panic!("{} does not parse: {faults:?}", String::from_utf8_lossy(&written)));
    assert_eq!(again.id, event.id);
    assert_eq!(again.source, event.source);
    assert_eq!(again.event_type, event.event_type);
    assert_eq!(again.subject, event.subject);
    assert_eq!(again.time, event.time);
    assert_eq!(again.extensions, event.extensions);
    assert_eq!(again.correlationid, event.correlationid);
    // Space around JSON content means nothing and is not kept everywhere.
    assert_eq!(again.data.as_stored().trim_ascii(), event.data.as_stored().trim_ascii());
}

fuzz_target!(|input: (u8, Vec<(String, Vec<u8>)>, Vec<u8>)| {
    let (mode, headers, body) = input;
    let tenant = Tenant::parse("default").expect("a valid tenant");
    let defaults = Defaults { tenant: &tenant, now: Timestamp::from_secs(1_700_000_000) };
    match mode % 4 {
        0 => {
            if let Ok(event) = cloudevents::parse_structured(&body, &defaults) {
                check_round_trip(&event, &defaults);
            }
        }
        1 => {
            for event in cloudevents::parse_batch(&body, &defaults).into_iter().flatten().flatten() {
                check_round_trip(&event, &defaults);
            }
        }
        _ => {
            // The required attributes stand in front, so that most inputs get past them; later ones may repeat them.
            let fixed = [("ce-id", "1"), ("ce-source", "/s"), ("ce-type", "a.b"), ("ce-specversion", "1.0")];
            let fixed =
                fixed.into_iter().filter(|_| mode % 4 == 2).map(|(name, value)| (name, value.as_bytes()));
            let given = headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
            if let Ok(event) = cloudevents::parse_binary(fixed.chain(given), Bytes::from(body), &defaults) {
                check_round_trip(&event, &defaults);
            }
        }
    }
});
