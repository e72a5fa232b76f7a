//! No content of any file makes the loader panic or run away.

use proptest::prelude::*;
use trunkline_packs::import::{from_asyncapi, from_json_schema, from_openapi};
use trunkline_packs::run_tests;

use crate::fixture::{Fixture, MANIFEST, PING, SAMPLE, TESTS, TEXTS};

const FILES: [(&str, &str); 5] = [
    ("pack.yaml", MANIFEST),
    ("schemas/ping.sent.json", PING),
    ("schemas/defs/texts.json", TEXTS),
    ("samples/first.json", SAMPLE),
    ("tests/ping.yaml", TESTS),
];

/// Bytes without meaning, or a good file with a piece replaced.
fn content(good: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..20),
        "[-\\[\\]{}:,&*!|>'\"%@`#?a-c0-9\\.~ \n\t\\\\$/]{0,20}".prop_map(String::into_bytes),
        prop::sample::select(vec![
            "null",
            "[]",
            "{}",
            "true",
            "1e309",
            "\"$ref\": \"#\"",
            "&a [*a]",
            "\"\\ud800\""
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
    ];
    let changed = (0..good.len(), 0..40_usize, piece).prop_map(move |(start, len, piece)| {
        let mut bytes = good.as_bytes().to_vec();
        bytes.splice(start..(start + len).min(good.len()), piece);
        bytes
    });
    prop_oneof![1 => proptest::collection::vec(any::<u8>(), 0..200), 3 => changed]
}

proptest! {
    #[test]
    fn the_loader_never_panics(
        (file, bytes) in (0..FILES.len()).prop_flat_map(|file| (Just(file), content(FILES[file].1)))
    ) {
        let fixture = Fixture::new();
        fixture.write(FILES[file].0, &bytes);
        match fixture.load() {
            Ok(pack) => drop(run_tests(&pack)),
            Err(faults) => prop_assert!(!faults.is_empty()),
        }
    }

    #[test]
    fn imports_never_panic(text in "[\\[\\]{}:,a-c0-9\"$#/]{0,60}", kind in 0..3_usize) {
        let inner = serde_json::from_str(&text).unwrap_or(serde_json::Value::String(text));
        let doc = match kind {
            0 => serde_json::json!({"openapi": "3.1.0", "webhooks": {"a": inner.clone(), "b": {"post": inner}}}),
            1 => serde_json::json!({"asyncapi": "3.0.0", "channels": {"a": inner.clone(), "b": {"messages": {"c": inner}}}}),
            _ => inner,
        };
        drop((from_openapi(&doc), from_asyncapi(&doc), from_json_schema(&doc, None)));
    }
}
