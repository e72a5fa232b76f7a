//! Endpoint URLs: none makes the guard panic, and none that it lets through names a blocked address.

#![no_main]

use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;
use trunkline_connect::{EgressPolicy, Target};

fuzz_target!(|input: (bool, String)| {
    let (has_prefix, text) = input;
    let text = if has_prefix { format!("http://{text}") } else { text };
    let policy = EgressPolicy::default();
    let Ok(target) = Target::parse(&text, &policy) else { return };
    assert!(matches!(target.uri().scheme_str(), Some("http" | "https")));
    assert!(!target.host().is_empty() && target.port() != 0);
    assert!(!target.host().eq_ignore_ascii_case("localhost"));
    if let Ok(address) = target.host().parse::<IpAddr>() {
        policy.check(address).expect("only open addresses pass");
    }
    assert!(!target.origin().contains('@'));
});
