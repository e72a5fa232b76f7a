//! Reading settings: every fault is named, defaults are shown, secrets are not.

use serde_json::{Value, json};

use super::*;

const SEED: &str = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";

fn faults(kind: &str, value: &Value) -> Vec<String> {
    let faults = SinkSettings::parse(kind, value).map(drop).err().unwrap_or_default();
    faults.into_iter().map(|fault| format!("{} {}", fault.pointer, fault.code)).collect()
}

fn check_masked(kind: &str, value: &Value, expect: &Value) {
    let settings = SinkSettings::parse(kind, value).unwrap();
    assert_eq!(&settings.masked(), expect);
    let mut shown = settings.masked();
    for secret in settings.kind().secrets {
        shown[*secret] = value[*secret].clone();
    }
    let again = SinkSettings::parse(kind, &shown).unwrap();
    assert_eq!(again.masked(), settings.masked(), "what is shown can be saved again");
    assert!(!format!("{settings:?} {}", settings.masked()).contains("canary"));
}

#[test]
fn names_every_bad_field() {
    let value = json!({
        "host": "redis://cache", "port": 0, "tls": "yes", "username": "u", "database": -1,
        "stream": "{nope}", "max_len": 1.5, "max_length": 5,
    });
    let expect = [
        "/host invalid",
        "/port out_of_range",
        "/tls invalid",
        "/password required",
        "/database out_of_range",
        "/stream invalid",
        "/max_len out_of_range",
        "/max_length unknown",
    ];
    assert_eq!(faults("redis", &value), expect);
    assert_eq!(faults("amqp", &json!({})), ["/host required", "/username required", "/password required"]);
    let expect =
        ["/endpoint required", "/bucket required", "/access_key_id required", "/secret_access_key required"];
    assert_eq!(faults("s3", &json!({})), expect);
    assert_eq!(faults("nats", &json!({"host": ["a"]})), ["/host invalid"]);
    assert_eq!(faults("stdout", &json!({"a/b": 1})), ["/a~1b unknown"]);
    assert_eq!(faults("redis", &json!("text")), [" invalid"]);
    assert_eq!(faults("kafka", &json!({})), ["/kind invalid"]);
}

#[test]
fn hosts_are_names_or_addresses() {
    let host = |text: &str| {
        let settings = SinkSettings::parse("redis", &json!({"host": text})).ok()?;
        Some(settings.masked()["host"].as_str().unwrap().to_owned())
    };
    let check = |text, expect: Option<&str>| assert_eq!(host(text).as_deref(), expect, "{text}");
    check("Broker.Example.org", Some("broker.example.org"));
    check("my_redis-1", Some("my_redis-1"));
    check("bücher.example", Some("xn--bcher-kva.example"));
    check("2130706433", Some("127.0.0.1"));
    check("0x7f.1", Some("127.0.0.1"));
    check("::1", Some("::1"));
    check("[::1]", Some("::1"));
    for text in ["a b", "a/b", "a:1", "user@host", "http://a", "a\nb", "*", "[::1", ""] {
        check(text, None);
    }
}

#[test]
fn masked_shows_defaults_and_hides_secrets() {
    check_masked(
        "redis",
        &json!({"host": "r", "password": "canary"}),
        &json!({
            "host": "r", "port": 6379, "tls": true, "username": null, "password": "***", "database": 0,
            "stream": "trunkline:{tenant}", "max_len": 100_000,
        }),
    );
    check_masked(
        "amqp",
        &json!({"host": "q", "tls": false, "username": "u", "password": "canary"}),
        &json!({
            "host": "q", "port": 5672, "tls": false, "vhost": "/", "username": "u", "password": "***",
            "exchange": null, "routing_key": "{type}", "persistent": true, "mandatory": true,
        }),
    );
    check_masked(
        "nats",
        &json!({"host": "n", "token": "canary"}),
        &json!({
            "host": "n", "port": 4222, "tls": true, "tls_first": false, "mode": "jetstream",
            "subject": "events.{tenant}.{type}", "stream": null, "username": null, "password": null,
            "token": "***", "nkey_seed": null, "credentials": null,
        }),
    );
    check_masked(
        "s3",
        &json!({
            "endpoint": "https://s3.example.org", "bucket": "b", "access_key_id": "k",
            "secret_access_key": "canary", "session_token": "canary",
        }),
        &json!({
            "endpoint": "https://s3.example.org/", "region": "us-east-1", "bucket": "b", "path_style": true,
            "key": "{tenant}/{date}/{type}/{id}.json", "access_key_id": "k", "secret_access_key": "***",
            "session_token": "***", "only_new": false, "checksum": true,
        }),
    );
    check_masked("stdout", &json!({}), &json!({}));
}

#[test]
fn every_secret_field_is_known_to_its_kind_and_refuses_the_mask() {
    for kind in KINDS {
        for secret in kind.secrets {
            let faults = faults(kind.name, &json!({ *secret: "***" }));
            assert!(faults.contains(&format!("/{secret} invalid")), "{} {secret}: {faults:?}", kind.name);
        }
    }
}

#[test]
fn places_within_a_broker_are_checked() {
    let check = |kind: &str, field: &str, text: &str, expect: bool| {
        let found = faults(kind, &json!({ field: text })).contains(&format!("/{field} invalid"));
        assert_eq!(!found, expect, "{kind} {field} {text}");
    };
    for (text, expect) in
        [("a.{type}", true), ("a..b", false), (".a", false), ("a.*", false), ("a b", false), (">", false)]
    {
        check("nats", "subject", text, expect);
    }
    for (text, expect) in [
        ("{id}", true),
        ("a/{id}.json", true),
        ("{type}", false),
        ("/{id}", false),
        ("../{id}", false),
        ("a//{id}", false),
        ("a\\{id}", false),
    ] {
        check("s3", "key", text, expect);
    }
    check("amqp", "routing_key", &"k".repeat(256), false);
    check("s3", "bucket", "..", false);
    check("s3", "bucket", "a/b", false);
    for endpoint in ["ftp://a", "a", "https://u:p@a", "https://a?b", "https://a#b"] {
        check("s3", "endpoint", endpoint, false);
    }
}

#[test]
fn one_way_to_log_in_at_nats() {
    let check = |members: Value, expect: &[&str]| {
        let mut value = json!({"host": "n"});
        value.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        assert_eq!(faults("nats", &value), expect, "{members}");
    };
    check(json!({"username": "u", "password": "p"}), &[]);
    check(json!({"username": "u"}), &["/password invalid"]);
    check(json!({"password": "p"}), &["/username invalid"]);
    check(json!({"username": "u", "password": "p", "token": "t"}), &["/username invalid"]);
    check(json!({"nkey_seed": SEED}), &[]);
    check(json!({"nkey_seed": "SU"}), &["/nkey_seed invalid"]);
    check(json!({"credentials": "text"}), &["/credentials invalid"]);
    check(json!({"mode": "core", "stream": "S"}), &["/stream invalid"]);
    check(json!({"mode": "fast"}), &["/mode invalid"]);
    check(json!({"tls": false, "tls_first": true}), &["/tls_first invalid"]);
}

#[test]
fn fingerprints_tell_secrets_and_kinds_apart() {
    let fingerprint = |kind, value: Value| SinkSettings::parse(kind, &value).unwrap().fingerprint();
    let one = fingerprint("redis", json!({"host": "a", "password": "x"}));
    assert_eq!(one, fingerprint("redis", json!({"password": "x", "host": "a"})));
    assert_ne!(one, fingerprint("redis", json!({"host": "a", "password": "y"})));
    assert_ne!(fingerprint("nats", json!({"host": "a"})), fingerprint("redis", json!({"host": "a"})));
}

#[test]
fn settings_are_held_against_the_egress_policy() {
    let check = |kind: &str, value: &Value, egress: &EgressPolicy, expect: &[&str]| {
        let faults = SinkSettings::parse(kind, value).unwrap().check(egress);
        let faults: Vec<_> = faults.iter().map(|fault| format!("{} {}", fault.pointer, fault.code)).collect();
        assert_eq!(faults, expect, "{value}");
    };
    let shut = EgressPolicy::default();
    for host in ["127.0.0.1", "::1", "::ffff:10.0.0.1", "169.254.169.254", "localhost", "0x7f.1"] {
        check("redis", &json!({ "host": host }), &shut, &["/host blocked"]);
    }
    check("nats", &json!({ "host": "broker.example", "tls": false }), &shut, &[]);
    let strict = EgressPolicy::default().with_https_only();
    check("nats", &json!({ "host": "broker.example", "tls": false }), &strict, &["/tls https_required"]);
    check("nats", &json!({ "host": "broker.example" }), &strict, &[]);
    let store = |endpoint: &str| json!({ "endpoint": endpoint, "bucket": "b", "access_key_id": "a", "secret_access_key": "s" });
    check("s3", &store("http://10.0.0.1:9000"), &strict, &["/endpoint blocked", "/endpoint https_required"]);
    check("s3", &store("https://s3.example"), &strict, &[]);
    check("stdout", &json!({}), &strict, &[]);
}

#[test]
fn addresses_are_for_people() {
    let address = |kind: &str, value: &Value| SinkSettings::parse(kind, value).unwrap().address();
    assert_eq!(address("nats", &json!({ "host": "a.example", "token": "canary" })), "nats://a.example:4222");
    assert_eq!(address("redis", &json!({ "host": "2001:db8::1" })), "redis://[2001:db8::1]:6379");
    assert_eq!(address("stdout", &json!({})), "stdout:");
}
