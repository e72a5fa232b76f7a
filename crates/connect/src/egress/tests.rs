//! The egress policy: every range, every spelling of an address, every way to write a URL.

use proptest::prelude::*;

use super::*;
use crate::Target;

fn policy(allow: &[&str]) -> EgressPolicy {
    EgressPolicy::new(allow.iter().map(|net| net.parse().unwrap()).collect())
}

fn rule_of(policy: &EgressPolicy, address: &str) -> Option<&'static str> {
    policy.check(address.parse().unwrap()).err().map(|blocked| blocked.rule.as_str())
}

#[test]
fn default_policy_by_address() {
    let blocked = [
        ("127.0.0.1", "loopback"),
        ("127.255.255.255", "loopback"),
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "unspecified"),
        ("10.0.0.0", "private"),
        ("10.255.255.255", "private"),
        ("172.16.0.1", "private"),
        ("172.31.255.255", "private"),
        ("192.168.0.1", "private"),
        ("100.64.0.0", "carrier_nat"),
        ("100.127.255.255", "carrier_nat"),
        ("169.254.0.1", "link_local"),
        ("169.254.169.253", "link_local"),
        ("169.254.169.254", "metadata"),
        ("169.254.170.2", "metadata"),
        ("100.100.100.200", "metadata"),
        ("192.0.0.192", "metadata"),
        ("168.63.129.16", "metadata"),
        ("192.0.0.1", "protocol_assignment"),
        ("192.88.99.1", "protocol_assignment"),
        ("192.0.2.1", "documentation"),
        ("198.51.100.1", "documentation"),
        ("203.0.113.255", "documentation"),
        ("198.18.0.1", "benchmarking"),
        ("198.19.255.255", "benchmarking"),
        ("224.0.0.1", "multicast"),
        ("239.255.255.255", "multicast"),
        ("240.0.0.1", "reserved"),
        ("255.255.255.254", "reserved"),
        ("255.255.255.255", "broadcast"),
        ("::", "unspecified"),
        ("::1", "loopback"),
        ("fe80::1", "link_local"),
        ("febf::1", "link_local"),
        ("fe80::a9fe:a9fe", "metadata"),
        ("fec0::1", "site_local"),
        ("fc00::1", "unique_local"),
        ("fdff::1", "unique_local"),
        ("fd00:ec2::254", "metadata"),
        ("fd20:ce::254", "metadata"),
        ("ff02::1", "multicast"),
        ("2001::1", "protocol_assignment"),
        ("2001:20::1", "protocol_assignment"),
        ("2001:db8::1", "documentation"),
        ("3fff:fff::1", "documentation"),
        ("100::1", "reserved"),
        ("5f00::1", "reserved"),
        ("4000::1", "reserved"),
        ("::ffff:127.0.0.1", "loopback"),
        ("::ffff:169.254.169.254", "metadata"),
        ("::127.0.0.1", "loopback"),
        ("::8.8.8.8", "ipv4_compatible"),
        ("64:ff9b::10.1.2.3", "private"),
        ("64:ff9b::169.254.169.254", "metadata"),
        ("64:ff9b:1::8.8.8.8", "nat64_local"),
        ("64:ff9b:2::8.8.8.8", "reserved"),
        ("2002:7f00:1::1", "loopback"),
        ("2002:a9fe:a9fe::", "metadata"),
    ];
    for (address, rule) in blocked {
        assert_eq!(rule_of(&policy(&[]), address), Some(rule), "{address}");
    }
    let open = [
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "126.255.255.255",
        "128.0.0.1",
        "100.63.255.255",
        "100.128.0.0",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "192.167.255.255",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "2606:4700::1111",
        "2001:200::1",
        "2001:4860:4860::8888",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
        "2002:808:808::1",
    ];
    for address in open {
        assert_eq!(rule_of(&policy(&[]), address), None, "{address}");
    }
}

#[test]
fn allow_opens_addresses_in_every_form() {
    let lan = policy(&["10.0.0.0/8"]);
    for address in ["10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3", "2002:a01:203::1"] {
        assert_eq!(rule_of(&lan, address), None, "{address}");
    }
    assert_eq!(rule_of(&lan, "192.168.0.1"), Some("private"));
    let mapped = policy(&["::ffff:10.0.0.0/104"]);
    assert_eq!(rule_of(&mapped, "10.1.2.3"), None);
    assert_eq!(rule_of(&mapped, "11.1.2.3"), None);
    assert_eq!(rule_of(&mapped, "192.168.0.1"), Some("private"));
    assert_eq!(rule_of(&policy(&["fd12:3456::/32"]), "fd12:3456::1"), None);
    assert_eq!(rule_of(&policy(&["64:ff9b:1::/48"]), "64:ff9b:1::1.2.3.4"), None);
    assert_eq!(rule_of(&policy(&["::1/128"]), "127.0.0.1"), Some("loopback"));
}

#[test]
fn metadata_opens_only_by_its_exact_address() {
    let wide = policy(&["0.0.0.0/0", "::/0"]);
    assert_eq!(rule_of(&wide, "10.0.0.1"), None);
    for address in ["169.254.169.254", "::ffff:169.254.169.254", "100.100.100.200", "fd00:ec2::254"] {
        assert_eq!(rule_of(&wide, address), Some("metadata"), "{address}");
    }
    let exact = policy(&["169.254.169.254/32", "fd00:ec2::254/128"]);
    for address in ["169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254"] {
        assert_eq!(rule_of(&exact, address), None, "{address}");
    }
}

#[test]
fn texts_name_the_rule_and_the_way_out() {
    let text = |address: &str| policy(&[]).check(address.parse().unwrap()).unwrap_err().to_string();
    assert_eq!(
        text("::ffff:10.1.2.3"),
        "address ::ffff:10.1.2.3 (ipv4_mapped form of 10.1.2.3) is blocked by egress rule private; \
         an allow entry in the configuration that contains it opens it"
    );
    assert!(
        text("169.254.169.254")
            .ends_with("only an allow entry in the configuration for exactly this address opens it")
    );
}

proptest! {
    #[test]
    fn a_blocked_v4_is_blocked_in_every_form(bits: u32, low: u64) {
        let v4 = Ipv4Addr::from(bits);
        let default = EgressPolicy::default();
        let plain = default.check(IpAddr::V4(v4)).err().map(|blocked| blocked.rule);
        let [a, b] = [(bits >> 16) as u16, bits as u16];
        let forms = [
            v4.to_ipv6_mapped(),
            Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, a, b),
            Ipv6Addr::from((0x2002_u128 << 112) | (u128::from(bits) << 80) | u128::from(low)),
        ];
        for form in forms {
            let embedded = default.check(IpAddr::V6(form)).err().map(|blocked| blocked.rule);
            prop_assert_eq!(embedded, plain, "{}", form);
        }
        prop_assert!(default.check(IpAddr::V6(Ipv6Addr::from(u128::from(bits)))).is_err());
    }

    #[test]
    fn parsing_never_panics_and_keeps_its_promises(text in "\\PC{0,60}", path in "[ -~]{0,40}") {
        let default = EgressPolicy::default();
        let _ = Target::parse(&text, &default);
        if let Ok(target) = Target::parse(&format!("http://hooks.test/{path}"), &default) {
            prop_assert_eq!(target.origin(), "http://hooks.test");
        }
    }
}

fn refusal(policy: &EgressPolicy, url: &str) -> Option<UrlRefused> {
    Target::parse(url, policy).err()
}

#[test]
fn urls_are_vetted() {
    let default = policy(&[]);
    // A backslash ends the host.
    assert_eq!(Target::parse("http://8.8.8.8\\@127.0.0.1/", &default).unwrap().host(), "8.8.8.8");
    let refused = [
        ("ftp://host.test/", UrlRefused::Scheme),
        ("file:///etc/passwd", UrlRefused::Scheme),
        ("gopher://host.test/", UrlRefused::Scheme),
        ("javascript:alert(1)", UrlRefused::Scheme),
        ("", UrlRefused::Malformed),
        ("host.test/path", UrlRefused::Malformed),
        ("/path", UrlRefused::Malformed),
        ("http://", UrlRefused::Malformed),
        ("http://host.test:99999/", UrlRefused::Malformed),
        ("http://ho st.test/", UrlRefused::Malformed),
        ("http://user:pw@host.test/", UrlRefused::Userinfo),
        ("http://user@host.test/", UrlRefused::Userinfo),
        ("http://:pw@host.test/", UrlRefused::Userinfo),
        ("http://host.test/#part", UrlRefused::Fragment),
        ("http://host.test/#", UrlRefused::Fragment),
        ("http://host.test:0/", UrlRefused::PortZero),
    ];
    for (url, expect) in refused {
        assert_eq!(refusal(&default, url), Some(expect), "{url}");
    }
    assert_eq!(
        refusal(&default, &format!("http://host.test/{}", "a".repeat(9_000))).map(|e| e.to_string()),
        Some("url is longer than 8192 bytes".to_owned())
    );
    for url in
        ["http://host.test", "HTTPS://Host.Test:8443/a?b=c", "http://bücher.test/ä", "http://a_b.test./"]
    {
        assert_eq!(refusal(&default, url), None, "{url}");
    }
}

#[test]
fn urls_with_an_address_are_judged_at_once() {
    let default = policy(&[]);
    let blocked = [
        ("http://127.0.0.1/", "loopback"),
        ("http://2130706433/", "loopback"),
        ("http://0x7f.1/", "loopback"),
        ("http://0177.0.0.1/", "loopback"),
        ("http://127.1/", "loopback"),
        ("http://127.0.0.1./", "loopback"),
        ("http://１２７.0.0.1/", "loopback"),
        ("http://%31%32%37.0.0.1/", "loopback"),
        ("http://0/", "unspecified"),
        ("http://[::1]/", "loopback"),
        ("http://[::]/", "unspecified"),
        ("http://[::ffff:127.0.0.1]/", "loopback"),
        ("http://[::ffff:7f00:1]/", "loopback"),
        ("https://[fd00:ec2::254]/", "metadata"),
        ("http://169.254.169.254/latest/meta-data/", "metadata"),
        ("http://localhost/", "loopback"),
        ("http://LOCALHOST.:8080/", "loopback"),
        ("http://api.localhost/", "loopback"),
    ];
    for (url, rule) in blocked {
        match refusal(&default, url) {
            Some(UrlRefused::Blocked(found)) => assert_eq!(found.rule.as_str(), rule, "{url}"),
            other => panic!("{url}: {other:?}"),
        }
    }
    for url in [
        "http://8.8.8.8/",
        "http://[2606:4700::1111]:8080/",
        "http://localhost.test/",
        "http://notlocalhost/",
    ] {
        assert_eq!(refusal(&default, url), None, "{url}");
    }
    assert_eq!(refusal(&policy(&["::1/128"]), "http://localhost/"), None);
    assert_eq!(refusal(&policy(&["127.0.0.0/8"]), "http://127.0.0.1:8080/"), None);
}

#[test]
fn https_only_refuses_http() {
    let strict = EgressPolicy::default().with_https_only();
    assert_eq!(refusal(&strict, "http://host.test/"), Some(UrlRefused::HttpsRequired));
    assert_eq!(refusal(&strict, "https://host.test/"), None);
}

#[test]
fn targets_show_no_path() {
    let target =
        Target::parse("https://[2606:4700::1111]:8443/token?key=secret", &EgressPolicy::default()).unwrap();
    assert_eq!(format!("{target:?}"), r#"Target("https://[2606:4700::1111]:8443")"#);
    assert_eq!((target.host(), target.port()), ("2606:4700::1111", 8443));
}
