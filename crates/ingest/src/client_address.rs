//! Finds the address of the real caller behind trusted proxies. Used for allow-lists and the operator's record.
//!
//! Forwarding headers are believed only as far as trusted proxies wrote them: the list is walked from the right, and the
//! first address that is no trusted proxy is the caller. Everything left of it is the caller's own word. When both
//! `X-Forwarded-For` and `Forwarded` are there and disagree, one of them was not written by the proxy and nobody can
//! tell which; the proxy's own address stands then, so that no allow-list is opened by guess.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use http::header::{FORWARDED, HeaderName};
use ipnet::IpNet;

static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The most hops that are walked; a longer list is not believed beyond them.
const MAX_HOPS: usize = 32;

/// The caller's address, in its plain form (no IPv4 inside IPv6).
pub fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let peer = peer.to_canonical();
    if !contains(trusted, peer) {
        return peer;
    }
    let lists = (headers.contains_key(&X_FORWARDED_FOR), headers.contains_key(FORWARDED));
    let plain = || walk(peer, trusted, entries(headers, &X_FORWARDED_FOR).map(parse_address));
    let standard = || walk(peer, trusted, entries(headers, &FORWARDED).map(forwarded_for));
    match lists {
        (false, false) => peer,
        (true, false) => plain(),
        (false, true) => standard(),
        (true, true) => {
            let address = plain();
            if address == standard() { address } else { peer }
        }
    }
}

/// Tells whether any of `networks` holds `address`.
pub fn contains(networks: &[IpNet], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&address))
}

/// The entries of a comma-separated header, last one first, over all its lines.
fn entries<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    let lines: Vec<&str> =
        headers.get_all(name).into_iter().map(|line| line.to_str().unwrap_or("")).collect();
    lines.into_iter().rev().flat_map(|line| line.rsplit(',')).map(str::trim).take(MAX_HOPS)
}

/// Walks from the proxy to the caller; an entry that is no address ends the walk at the hop that wrote it.
fn walk(peer: IpAddr, trusted: &[IpNet], hops: impl Iterator<Item = Option<IpAddr>>) -> IpAddr {
    let mut address = peer;
    for hop in hops {
        let Some(hop) = hop else { break };
        address = hop;
        if !contains(trusted, hop) {
            break;
        }
    }
    address
}

/// Reads an address with or without a port, brackets or quotes.
fn parse_address(text: &str) -> Option<IpAddr> {
    let text = text.trim_matches('"');
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse::<IpAddr>()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
        .map(|address| address.to_canonical())
}

/// The `for` parameter of one element of `Forwarded` (RFC 7239 §5.2).
fn forwarded_for(element: &str) -> Option<IpAddr> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then(|| parse_address(value.trim()))?
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PROXIES: [&str; 2] = ["10.0.0.0/8", "fd00::/8"];

    fn find(peer: &str, lines: &[(&'static str, &str)]) -> IpAddr {
        let trusted: Vec<IpNet> = PROXIES.iter().map(|text| text.parse().unwrap()).collect();
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        client_address(peer.parse().unwrap(), &headers, &trusted)
    }

    fn check(peer: &str, lines: &[(&'static str, &str)], expect: &str) {
        assert_eq!(find(peer, lines), expect.parse::<IpAddr>().unwrap(), "{peer} {lines:?}");
    }

    #[test]
    fn strangers_are_not_believed() {
        check("192.0.2.1", &[("x-forwarded-for", "203.0.113.9")], "192.0.2.1");
        check("192.0.2.1", &[("forwarded", "for=203.0.113.9")], "192.0.2.1");
        check("::ffff:192.0.2.1", &[], "192.0.2.1");
    }

    #[test]
    fn proxies_are_walked_from_the_right() {
        check("10.0.0.1", &[], "10.0.0.1");
        check("10.0.0.1", &[("x-forwarded-for", "203.0.113.9")], "203.0.113.9");
        check("::ffff:10.0.0.1", &[("x-forwarded-for", "203.0.113.9")], "203.0.113.9");
        check("10.0.0.1", &[("x-forwarded-for", "1.1.1.1, 203.0.113.9, 10.0.0.2")], "203.0.113.9");
        check(
            "10.0.0.1",
            &[("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "203.0.113.9")],
            "203.0.113.9",
        );
        check("10.0.0.1", &[("x-forwarded-for", "10.0.0.3, 10.0.0.2")], "10.0.0.3");
        check("10.0.0.1", &[("x-forwarded-for", "203.0.113.9:4711")], "203.0.113.9");
        check("10.0.0.1", &[("x-forwarded-for", "[2001:db8::7]:443")], "2001:db8::7");
        check("10.0.0.1", &[("x-forwarded-for", "2001:db8::7")], "2001:db8::7");
    }

    #[test]
    fn nonsense_ends_the_walk() {
        check("10.0.0.1", &[("x-forwarded-for", "203.0.113.9, unknown")], "10.0.0.1");
        check("10.0.0.1", &[("x-forwarded-for", "203.0.113.9, , 10.0.0.2")], "10.0.0.2");
        check("10.0.0.1", &[("forwarded", "for=_hidden")], "10.0.0.1");
        let long = "10.0.0.9,".repeat(100);
        check("10.0.0.1", &[("x-forwarded-for", &format!("203.0.113.9,{long}10.0.0.2"))], "10.0.0.9");
    }

    #[test]
    fn the_standard_header_is_read_too() {
        check(
            "10.0.0.1",
            &[("forwarded", "for=1.1.1.1, by=x; For=\"[2001:db8::7]:1\";proto=https")],
            "2001:db8::7",
        );
        check("10.0.0.1", &[("forwarded", "proto=https;for=203.0.113.9, for=10.0.0.2")], "203.0.113.9");
    }

    #[test]
    fn headers_that_disagree_open_nothing() {
        let plain = ("x-forwarded-for", "203.0.113.9");
        check("10.0.0.1", &[plain, ("forwarded", "for=203.0.113.9")], "203.0.113.9");
        check("10.0.0.1", &[plain, ("forwarded", "for=198.51.100.1")], "10.0.0.1");
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic(plain in "[ -~]{0,60}", standard in "[ -~]{0,60}") {
            find("10.0.0.1", &[("x-forwarded-for", &plain), ("forwarded", &standard)]);
        }
    }
}
