//! Queries with page tokens: none makes the reader panic, and no token that the hub did not make opens a place.

#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use libfuzzer_sys::fuzz_target;
use trunkline_model::Tenant;

fuzz_target!(|input: (bool, String, Vec<u8>)| {
    let (is_token, query, bytes) = input;
    let query =
        if is_token { format!("page_token={}&{query}", URL_SAFE_NO_PAD.encode(bytes)) } else { query };
    let tenant = Tenant::parse("default").expect("a valid tenant");
    if let Ok(place) = trunkline_api::read_place(&query, &tenant) {
        assert_eq!(place, None, "a made-up token was taken");
    }
});
