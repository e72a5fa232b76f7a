//! Sources of the providers' schemes: what each needs, and what is asked for when it is missing.

use super::*;

#[test]
fn every_scheme_can_be_configured() {
    for row in SCHEMES {
        let own = match row.name {
            "meta" => "verify_token = \"env:EXAMPLE_SECRET\"",
            "twilio" => "public_url = \"https://hub.example.com/in/sms\"",
            "sns" => "topic_arns = [\"arn:aws:sns:eu-west-1:123456789012:orders\"]",
            _ => "",
        };
        let secret = if row.needs_secret { "secret = \"env:EXAMPLE_SECRET\"" } else { "" };
        let text = format!("[[sources]]\nname = \"a\"\nscheme = \"{}\"\n{secret}\n{own}\n", row.name);
        let settings = load(&text, &EXAMPLE_ENV).unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(settings.sources[0].scheme.name(), row.name);
        let credentials = settings.sources[0].resolve(&EXAMPLE_ENV.into_iter().collect()).unwrap();
        assert_eq!(credentials.secrets.is_empty(), !row.needs_secret);
        assert_eq!(credentials.verify_token.is_some(), row.name == "meta");
    }
}

#[test]
fn what_a_provider_needs_is_asked_for() {
    let check = |lines: &str, expect: &[&str]| {
        check_faults(&format!("[[sources]]\nname = \"a\"\n{lines}\n"), expect);
    };
    let secret = "secret = \"env:EXAMPLE_SECRET\"";
    check(
        "scheme = \"twilio\"",
        &[
            "1: sources[0].secret: is missing, and scheme \"twilio\" needs one",
            "1: sources[0].public_url: is missing",
        ],
    );
    for url in [
        "hub.example.com",
        "ftp://hub",
        "https://",
        "https://:80/",
        "https://hub/?a=b",
        "https://a b",
        "https://u@h",
    ] {
        let expect = format!(
            "5: sources[0].public_url: must be a URL that begins with https:// or http://, without query, found {url:?}"
        );
        check(&format!("scheme = \"twilio\"\n{secret}\npublic_url = \"{url}\""), &[&expect]);
    }
    check(&format!("scheme = \"meta\"\n{secret}"), &["1: sources[0].verify_token: is missing"]);
    check(
        &format!("scheme = \"meta\"\n{secret}\nverify_token = \"env:GONE\""),
        &["5: sources[0].verify_token: environment variable GONE is not set"],
    );
    check("scheme = \"sns\"", &["1: sources[0].topic_arns: is missing"]);
    check("scheme = \"sns\"\ntopic_arns = []", &["4: sources[0].topic_arns: is empty"]);
    check(
        "scheme = \"sns\"\ntopic_arns = [\"arn:aws:sqs:eu-west-1:1:x\"]",
        &[
            "4: sources[0].topic_arns[0]: must be the ARN of an SNS topic, found \"arn:aws:sqs:eu-west-1:1:x\"",
        ],
    );
    check(
        &format!("scheme = \"github\"\n{secret}\nverify_token = \"env:EXAMPLE_SECRET\""),
        &["5: sources[0].verify_token: does not belong to scheme \"github\" (but to meta)"],
    );
}

#[test]
fn one_time_tokens_need_a_secret_and_a_memory() {
    let check = |journal: &str, lines: &str, expect: &[&str]| {
        check_faults(
            &format!("{journal}\n[[sources]]\nname = \"a\"\n{lines}\none_time_tokens = true\n"),
            expect,
        );
    };
    let github = "scheme = \"github\"\nsecret = \"env:EXAMPLE_SECRET\"\ntolerance_s = 60";
    check("", github, &[]);
    check("[journal]\ndedupe_window_s = 120", github, &[]);
    check(
        "[journal]\ndedupe_window_s = 119",
        github,
        &[
            "3: sources[0].tolerance_s: one-time tokens are good for 60 s either way, but only remembered for 119 s",
        ],
    );
    check(
        "",
        "scheme = \"none\"",
        &["5: sources[0].one_time_tokens: needs a secret to make tokens with, and scheme \"none\" has none"],
    );
}
