//! Forwarding headers: none makes the search panic, and strangers are never believed.

#![no_main]

use std::net::{IpAddr, Ipv4Addr};

use http::{HeaderMap, HeaderValue};
use ipnet::IpNet;
use libfuzzer_sys::fuzz_target;
use trunkline_ingest::client_address::client_address;

fuzz_target!(|input: (u32, Vec<(bool, Vec<u8>)>)| {
    let (peer, lines) = input;
    let trusted: [IpNet; 2] = ["10.0.0.0/8", "fd00::/8"].map(|text| text.parse().expect("a network"));
    let mut headers = HeaderMap::new();
    for (is_standard, line) in lines {
        let Ok(value) = HeaderValue::from_bytes(&line) else { continue };
        headers.append(if is_standard { "forwarded" } else { "x-forwarded-for" }, value);
    }
    let stranger = IpAddr::V4(Ipv4Addr::from(peer));
    if !trusted.iter().any(|network| network.contains(&stranger)) {
        assert_eq!(client_address(stranger, &headers, &trusted), stranger);
    }
    let proxy = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    let found = client_address(proxy, &headers, &trusted);
    assert_eq!(found, found.to_canonical());
});
