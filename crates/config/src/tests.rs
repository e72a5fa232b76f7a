//! Tests of whole loads: precedence, every kind of fault with its place, secrets, and that the default
//! file and the reference page agree with the readers.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;

use crate::reader::{Located, Scope};
use crate::sources::read_all;
use crate::sources::schemes::SCHEMES;
use crate::tree;
use crate::*;

mod providers;

const EXAMPLE_ENV: [(&str, &str); 1] = [("EXAMPLE_SECRET", "example-value")];

/// A directory with a `trunkline.toml` of the given text.
struct Fixture(tempfile::TempDir);

impl Fixture {
    fn new(text: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("trunkline.toml"), text).unwrap();
        Self(dir)
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("trunkline.toml")
    }

    fn load(&self, env: &[(&str, &str)], overrides: Overrides) -> Result<Settings, ConfigErrors> {
        let env = env.iter().copied().collect();
        Settings::load(LoadOptions { path: Some(self.path()), env, overrides })
    }
}

fn load(text: &str, env: &[(&str, &str)]) -> Result<Settings, ConfigErrors> {
    Fixture::new(text).load(env, Overrides::default())
}

/// Loads and renders each fault as `line: key: problem` (a variable or flag in place of the line).
fn faults(text: &str, env: &[(&str, &str)]) -> Vec<String> {
    let Err(errors) = load(text, env) else { return Vec::new() };
    let place = |origin: &Origin| match origin {
        Origin::File { line, .. } => line.to_string(),
        other => other.to_string(),
    };
    errors.0.iter().map(|e| format!("{}: {}: {}", place(&e.origin), e.key, e.problem)).collect()
}

#[track_caller]
fn check_faults(text: &str, expect: &[&str]) {
    assert_eq!(faults(text, &EXAMPLE_ENV), expect, "{text}");
}

#[test]
fn without_a_file_everything_has_its_default() {
    let settings = Settings::load(LoadOptions::default()).unwrap();
    assert_eq!(settings.server, ServerSettings::default());
    assert_eq!(settings.server.listen, SocketAddr::from(([127, 0, 0, 1], 8080)));
    assert_eq!(settings.dispatch, DispatchSettings::default());
    assert_eq!(settings.journal, JournalSettings::default());
    assert_eq!(settings.store_path(), Some(Path::new("data/trunkline.db")));
    assert_eq!(settings.data_dir, Path::new("data"));
    assert!(settings.sources.is_empty() && settings.warnings.is_empty() && settings.file.is_none());
}

#[test]
fn override_beats_variable_beats_file() {
    let file = Fixture::new("[server]\nlisten = \"127.0.0.1:1\"\nthreads = 3\n");
    let listen = |env: &[(&str, &str)], flag: Option<&str>| {
        let overrides = Overrides { listen: flag.map(str::to_owned), data_dir: None };
        file.load(env, overrides).unwrap().server.listen.port()
    };
    let env = [("TRUNKLINE_SERVER__LISTEN", "127.0.0.1:2")];
    assert_eq!(listen(&[], None), 1);
    assert_eq!(listen(&env, None), 2);
    assert_eq!(listen(&env, Some("127.0.0.1:3")), 3);
    assert_eq!(file.load(&env, Overrides::default()).unwrap().server.threads, 3);
}

#[test]
fn variables_set_every_type() {
    let env = [
        ("TRUNKLINE_SERVER__THREADS", "2"),
        ("TRUNKLINE_SERVER__LOG_FORMAT", "json"),
        ("TRUNKLINE_JOURNAL__RETENTION_BYTES", "10_000_000"),
        ("TRUNKLINE_DISPATCH__HTTPS_ONLY", "true"),
        ("TRUNKLINE_DISPATCH__JITTER", "0.5"),
        ("TRUNKLINE_DISPATCH__BACKOFF_MS", "[100, 200]"),
        ("TRUNKLINE_EGRESS__ALLOW", "10.0.0.0/8, 192.0.2.7"),
        ("TRUNKLINE_SERVER__TRUSTED_PROXIES", "[\"fd00::/8\"]"),
        ("TRUNKLINE_ADMIN_TOKEN", "x"),
        ("TRUNKLINE_TEST_POSTGRES", "x"),
        ("TRUNKLINE_PORT", "tcp://10.0.0.1:80"),
        ("TRUNKLINE_SERVICE_HOST", "10.0.0.1"),
        ("PATH", "/bin"),
    ];
    let settings = load("", &env).unwrap();
    assert_eq!(settings.server.threads, 2);
    assert_eq!(settings.server.log_format, LogFormat::Json);
    assert_eq!(settings.journal.retention_bytes, Some(10_000_000));
    assert!(settings.dispatch.https_only);
    assert!((settings.dispatch.jitter - 0.5).abs() < f64::EPSILON);
    assert_eq!(settings.dispatch.backoff, [100, 200].map(Duration::from_millis));
    assert_eq!(settings.egress.allow, nets(&["10.0.0.0/8", "192.0.2.7/32"]));
    assert_eq!(settings.server.trusted_proxies, nets(&["fd00::/8"]));
}

fn nets(texts: &[&str]) -> Vec<ipnet::IpNet> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn live_rules_are_tables() {
    let text = "[live]\nmax_rooms = 5\n[[live.rules]]\nevents = \"driver.**\"\nroom = \"route:{id}\"\n\
                roles = [\"dispatcher\"]\n[[live.publish]]\nevents = \"driver.location\"\nroles = [\"driver\"]\n";
    let live = load(text, &[]).unwrap().live;
    assert_eq!((live.max_rooms, live.rules.len(), live.publish.len()), (5, 1, 1));
    assert_eq!(
        (live.rules[0].room.as_str(), live.publish[0].roles.as_slice()),
        ("route:{id}", &["driver".to_owned()][..])
    );
    check_faults(
        "[live]\nheartbeat_s = 0\n[[live.rules]]\nroom = \"\"\nx = 1\n",
        &[
            "2: live.heartbeat_s: must be between 1 and 3600, found 0",
            "3: live.rules[0].events: is missing",
            "4: live.rules[0].room: must be 1 to 256 bytes without control characters",
            "5: live.rules[0].x: unknown key",
        ],
    );
}

#[test]
fn origins_are_exact() {
    let read = |text: &str| load(&format!("[server]\ncors_origins = [\"{text}\"]"), &[]).is_ok();
    for good in ["https://portal.example", "http://localhost:3000", "http://[::1]:8080"] {
        assert!(read(good), "{good}");
    }
    for bad in [
        "*",
        "portal.example",
        "https://Portal.example",
        "https://a.example/",
        "https://a.example:443",
        "https://",
    ] {
        assert!(!read(bad), "{bad}");
    }
}

#[test]
fn faulty_variables_are_named() {
    let env = [
        ("TRUNKLINE_SERVR__LISTEN", "x"),
        ("TRUNKLINE_SERVER__LISTNE", "x"),
        ("TRUNKLINE_SOURCES__NAME", "x"),
        ("TRUNKLINE_DEBUG", "x"),
        ("TRUNKLINE_SERVER__THREADS", "many"),
        ("TRUNKLINE_EGRESS__ALLOW", "[1"),
    ];
    let errors = load("", &env).unwrap_err();
    let text = errors.to_string();
    for (name, _) in env {
        assert!(text.contains(&format!("environment variable {name}: ")), "{name} in {text}");
    }
    assert_eq!(errors.0.len(), env.len());
    assert!(text.contains("did you mean `listen`?"), "{text}");
    assert!(text.contains("TRUNKLINE_SERVER__…"), "{text}");
}

#[test]
fn all_faults_come_at_once_with_their_lines() {
    check_faults(
        "[server]\nlisten = \"localhost:80\"\nlog_format = \"jsn\"\nthread = 1\n\n[sever]\n\n[journal]\n\
         retention_days = 0\nurl = \"nats://u:pw@host\"\n[dispatch]\njitter = 2\nbackoff_ms = [1, -1, \"2\"]\n\
         [egress]\nallow = [\n  \"10.0.0.0/8\",\n  \"10.0.0.1/8\",\n]\n",
        &[
            "2: server.listen: must be an IP address and a port, found \"localhost:80\"",
            "3: server.log_format: unknown value \"jsn\"",
            "4: server.thread: unknown key",
            "6: sever: unknown section",
            "9: journal.retention_days: must be between 1 and 3650, found 0",
            "10: journal.url: a journal on NATS is not available in this version",
            "12: dispatch.jitter: must be between 0.0 and 1.0, found 2",
            "13: dispatch.backoff_ms[1]: must be between 0 and 604800000, found -1",
            "13: dispatch.backoff_ms[2]: must be a whole number, found a string",
            "17: egress.allow[1]: 10.0.0.1/8 has address bits beyond its prefix",
        ],
    );
}

#[test]
fn wrong_types_are_named() {
    check_faults(
        "server = 3\n[store]\nurl = 1\nmax_bytes = \"1\"\n[dispatch]\nhttps_only = \"true\"\nbackoff_ms = []\n\
         timeout_ms = 99999999999999999999999\n[egress]\nallow = \"10.0.0.0/8\"\n[packs]\nload = [1]\n",
        &[
            "1: server: must be a table, found an integer",
            "3: store.url: must be a string, found an integer",
            "4: store.max_bytes: must be a whole number, found a string",
            "6: dispatch.https_only: must be true or false, found a string",
            "7: dispatch.backoff_ms: must hold 1 to 100 waits",
            "8: dispatch.timeout_ms: must be between 100 and 120000, found 99999999999999999999999",
            "10: egress.allow: must be an array, found a string",
            "12: packs.load[0]: must be a string, found an integer",
        ],
    );
    check_faults("sources = [1]\n", &["1: sources[0]: must be a table, found an integer"]);
    check_faults("[sources]\n", &["1: sources: must be an array of tables, found a table"]);
}

#[test]
fn syntax_errors_are_all_reported_with_their_lines() {
    let errors = load("[server]\nlisten = \n[journal\n", &[]).unwrap_err();
    let lines: Vec<_> = errors.0.iter().map(|e| e.origin.to_string()).collect();
    assert!(lines.iter().any(|l| l.contains("trunkline.toml:2:")), "{errors}");
    assert!(lines.iter().any(|l| l.contains("trunkline.toml:3:")), "{errors}");
    assert!(errors.0.iter().all(|e| e.problem.starts_with("is not valid TOML")), "{errors}");
    let twice = load("[server]\nthreads = 1\nthreads = 2\n", &[]).unwrap_err();
    assert!(twice.to_string().contains("trunkline.toml:3:"), "{twice}");
}

#[test]
fn display_names_file_line_key_and_fix() {
    let file = Fixture::new("[server]\n\n  threads = 5000\n");
    let text = file.load(&[], Overrides::default()).unwrap_err().to_string();
    let expect = format!(
        "the configuration has 1 fault:\n  {}:3:3: server.threads: must be between 0 and 1024, found 5000. \
         Fix: set a number of threads (0 = automatic) in that range, or remove the key for the default.",
        file.path().display()
    );
    assert_eq!(text, expect);
}

#[test]
fn a_named_file_must_exist() {
    let path = Some(PathBuf::from("/nonexistent/trunkline.toml"));
    let text = Settings::load(LoadOptions { path, ..LoadOptions::default() }).unwrap_err().to_string();
    assert!(text.contains("/nonexistent/trunkline.toml: the configuration file does not exist"), "{text}");
}

#[test]
fn a_file_that_is_not_utf8_is_refused() {
    let file = Fixture::new("");
    std::fs::write(file.path(), [0xff, 0xfe]).unwrap();
    let text = file.load(&[], Overrides::default()).unwrap_err().to_string();
    assert!(text.contains("cannot be read"), "{text}");
}

#[test]
fn store_paths_follow_file_variable_and_data_dir() {
    let file = |url: &str| Fixture::new(&format!("[store]\nurl = \"{url}\"\n"));
    let path = |fixture: &Fixture, env: &[(&str, &str)], dir: Option<&str>| {
        let overrides = Overrides { listen: None, data_dir: dir.map(PathBuf::from) };
        let settings = fixture.load(env, overrides).unwrap();
        (settings.store_path().map(Path::to_owned), settings.data_dir)
    };
    let relative = file("sqlite://state/hub.db");
    let home = relative.0.path().join("state");
    assert_eq!(path(&relative, &[], None), (Some(home.join("hub.db")), home));
    assert_eq!(path(&relative, &[], Some("/var/x")), (Some("/var/x/hub.db".into()), "/var/x".into()));
    let env = [("TRUNKLINE_STORE__URL", "sqlite://hub.db")];
    assert_eq!(path(&relative, &env, None), (Some("hub.db".into()), ".".into()));
    let absolute = file("sqlite:///srv/hub.db");
    assert_eq!(path(&absolute, &[], Some("/var/x")), (Some("/srv/hub.db".into()), "/var/x".into()));
    let unset = Fixture::new("");
    assert_eq!(path(&unset, &[], Some("dir")), (Some("dir/trunkline.db".into()), "dir".into()));
    let postgres = file("postgres://hub@db/trunkline");
    assert_eq!(path(&postgres, &[], None), (None, postgres.0.path().join("data")));
    for bad in ["sqlite://", "sqlite://:memory:", "sqlite://a?mode=ro", "sqlite://dir/", "mysql://x", "x", ""]
    {
        let errors = faults(&format!("[store]\nurl = \"{bad}\"\n"), &[]);
        assert!(errors.len() == 1 && errors[0].starts_with("2: store.url: "), "{bad}: {errors:?}");
    }
}

#[test]
fn postgres_passwords_stay_hidden() {
    let settings =
        load("[store]\nurl = \"postgres://hub:hunter2@db/x\"\nmax_bytes = 2000000\n", &[]).unwrap();
    assert_eq!(settings.warnings.len(), 2);
    assert!(!format!("{settings:?}{:?}", settings.store.url.redacted()).contains("hunter2"));
    assert!(settings.warnings.iter().all(|w| !w.to_string().contains("hunter2")));
    let env = [("DB", "postgres://hub:hunter2@db/x")];
    let settings = load("[store]\nurl = \"env:DB\"\n", &env).unwrap();
    assert!(settings.warnings.is_empty());
    let StoreUrl::Postgres(url) = &settings.store.url else { panic!("not postgres") };
    assert_eq!(url.expose(), "postgres://hub:hunter2@db/x");
    assert_eq!(
        faults("[store]\nurl = \"env:DB\"\n", &[]),
        ["2: store.url: environment variable DB is not set"]
    );
}

#[test]
fn sources_are_read_with_all_their_keys() {
    let text = r#"
        [[sources]]
        name = "portal"
        scheme = "standard-webhooks"
        secrets = ["env:EXAMPLE_SECRET", "file:key.txt"]
        tenant = "clinic-1"
        allow_ips = ["192.0.2.0/24", "2001:db8::1"]
        tolerance_s = 60
        rate_limit_per_s = 10
        subject = "portal"

        [[sources]]
        name = "billing"
        scheme = "hmac"
        secret = "env:EXAMPLE_SECRET"
        header = "X-Billing-Signature"
        algorithm = "sha512"
        encoding = "base64"
        prefix = "v1="
        signed = "{id}.{timestamp}.{body}"
        timestamp_header = "X-Time"
        id_header = "X-Id"
        key_encoding = "hex"
        rate_limit_per_s = 10
        rate_burst = 20

        [[sources]]
        name = "gate"
        scheme = "token"
        secret = "env:EXAMPLE_SECRET"

        [[sources]]
        name = "open"
        scheme = "none"

        [[sources]]
        name = "later"
        scheme = "token"
        secret = "env:NOT_SET_YET"
        enabled = false
    "#;
    let file = Fixture::new(text);
    std::fs::write(file.0.path().join("key.txt"), "from-file\r\n").unwrap();
    let settings = file.load(&EXAMPLE_ENV, Overrides::default()).unwrap();
    assert_eq!(settings.warnings, []);
    let [portal, billing, gate, open, later] = settings.sources.as_slice() else { panic!("five sources") };

    let env: Env = EXAMPLE_ENV.into_iter().collect();
    let secrets = portal.resolve_secrets(&env).unwrap();
    assert_eq!(secrets.iter().map(Secret::expose).collect::<Vec<_>>(), ["example-value", "from-file"]);
    assert_eq!((portal.tenant.as_str(), portal.tolerance), ("clinic-1", Duration::from_mins(1)));
    assert_eq!(portal.allow_ips.len(), 2);
    assert_eq!(portal.subject.as_deref(), Some("portal"));
    assert_eq!(portal.rate_limit.map(|r| (r.per_second.get(), r.burst.get())), Some((10, 10)));

    let expect = HmacSettings {
        header: "x-billing-signature".to_owned(),
        algorithm: HmacAlgorithm::Sha512,
        encoding: SignatureEncoding::Base64,
        prefix: "v1=".to_owned(),
        signed: "{id}.{timestamp}.{body}".parse().unwrap(),
        timestamp_header: Some("x-time".to_owned()),
        id_header: Some("x-id".to_owned()),
        key_encoding: KeyEncoding::Hex,
    };
    assert_eq!(billing.scheme, SchemeSettings::Hmac(expect));
    assert_eq!(billing.rate_limit.map(|r| r.burst.get()), Some(20));
    assert_eq!(billing.tolerance, Duration::from_mins(5));

    assert_eq!(gate.scheme, SchemeSettings::Token(TokenSettings::default()));
    assert!(TokenSettings::default().strips_bearer());
    assert_eq!(open.scheme, SchemeSettings::None);
    assert!(!later.enabled && settings.source("later").is_none() && settings.source("gate").is_some());
    assert!(later.fault("secret", "p", "f").origin.to_string().contains("trunkline.toml:"));
}

#[test]
fn faulty_sources_are_reported_completely() {
    check_faults(
        "[[sources]]\nscheme = \"hmca\"\nname = \"A b\"\nheadr = \"x\"\n\
         [[sources]]\nname = \"a\"\nscheme = \"token\"\nalgorithm = \"sha256\"\ntolerance_s = 5\nsecrt = \"s3cret\"\n\
         [[sources]]\nname = \"a\"\nscheme = \"hmac\"\nsecret = \"env:GONE\"\nsigned = \"{timestamp}.{body}\"\n\
         tolerance_s = 0\nrate_burst = 5\n\
         [[sources]]\n",
        &[
            "2: sources[0].scheme: unknown value \"hmca\"",
            "3: sources[0].name: must be 1 to 64 characters of lower-case letters, digits, - and _, found \"A b\"",
            "4: sources[0].headr: unknown key",
            "5: sources[1].secret: is missing, and scheme \"token\" needs one",
            "8: sources[1].algorithm: does not belong to scheme \"token\" (but to hmac)",
            "9: sources[1].tolerance_s: does not belong to scheme \"token\" (but to standard-webhooks, svix, hmac, stripe, \
             slack, sns, open-dental, dentrix, eaglesoft, unleashed)",
            "10: sources[1].secrt: unknown key",
            "11: sources[2].name: \"a\" is already the name of sources[1]",
            "14: sources[2].secret: environment variable GONE is not set",
            "15: sources[2].signed: signs {timestamp}, but timestamp_header is not set",
            "16: sources[2].tolerance_s: must be between 1 and 86400, found 0",
            "17: sources[2].rate_burst: has no effect without rate_limit_per_s",
            "18: sources[3].name: is missing",
            "18: sources[3].scheme: is missing",
        ],
    );
}

#[test]
fn faulty_secrets_are_reported_without_their_values() {
    let check = |lines: &str, expect: &str| {
        let text = format!("[[sources]]\nname = \"a\"\nscheme = \"token\"\n{lines}\n");
        let errors = faults(&text, &[("EMPTY", "")]);
        assert_eq!(errors, [expect], "{lines}");
    };
    check("secret = \"env:EMPTY\"", "4: sources[0].secret: environment variable EMPTY is empty");
    check(
        "secret = \"env:n0t=a name\"",
        "4: sources[0].secret: `env:` must be followed by the name of an environment variable",
    );
    check("secret = \"vault:x\"", "4: sources[0].secret: no vault configured in this version");
    check("secret = \"file:\"", "4: sources[0].secret: `file:` must be followed by a path");
    check(
        "secret = \"file:/nonexistent/k\"",
        "4: sources[0].secret: secret file /nonexistent/k cannot be read",
    );
    check("secret = \"\"", "4: sources[0].secret: is empty");
    check("secret = 12345", "4: sources[0].secret: must be a string, found an integer");
    check("secrets = []", "4: sources[0].secrets: must hold 1 to 10 secrets");
    check("secret = \"v\"\nsecrets = [\"w\"]", "5: sources[0].secrets: stands beside `secret`");
}

#[test]
fn literal_secrets_work_with_a_warning_that_hides_them() {
    let settings =
        load("[[sources]]\nname = \"a\"\nscheme = \"token\"\nsecret = \"hunter2\"\n", &[]).unwrap();
    let [warning] = settings.warnings.as_slice() else { panic!("one warning") };
    assert!(warning.to_string().contains("trunkline.toml:4:1: sources[0].secret: "), "{warning}");
    assert!(!format!("{settings:?}{warning}").contains("hunter2"));
    assert_eq!(settings.sources[0].resolve_secrets(&Env::default()).unwrap()[0].expose(), "hunter2");
}

#[test]
fn unsigned_headers_are_warned_about() {
    let text = "[[sources]]\nname = \"a\"\nscheme = \"hmac\"\nsecret = \"env:EXAMPLE_SECRET\"\n\
                timestamp_header = \"x-time\"\n";
    let settings = load(text, &EXAMPLE_ENV).unwrap();
    assert!(settings.warnings[0].to_string().contains("does not sign {timestamp}"));
}

#[test]
fn scheme_none_needs_loopback_or_consent() {
    let source = "[[sources]]\nname = \"a\"\nscheme = \"none\"\n";
    let check = |listen: &str, server: &str, lines: &str, good: bool| {
        let text = format!("[server]\nlisten = \"{listen}\"\n{server}\n{source}{lines}");
        let result = load(&text, &[]);
        assert_eq!(result.is_ok(), good, "{text}: {result:?}");
        result.map_or(0, |settings| settings.warnings.len())
    };
    assert_eq!(check("127.0.0.1:0", "", "", true), 0);
    assert_eq!(check("[::1]:0", "", "", true), 0);
    check("[::ffff:127.0.0.1]:0", "", "", true);
    check("0.0.0.0:0", "", "", false);
    check("[::]:0", "", "", false);
    check("0.0.0.0:0", "allow_unauthenticated_sources = true", "", true);
    check("0.0.0.0:0", "", "allow_unauthenticated = true", true);
    check("0.0.0.0:0", "", "enabled = false", true);
    assert_eq!(check("127.0.0.1:0", "trusted_proxies = [\"127.0.0.1\"]", "", true), 1);
}

#[test]
fn secrets_of_workflows_belong_to_tenants() {
    let text = "[flow.secrets]\nerp = \"env:ERP\"\n\"clinic-2/erp\" = \"env:OTHER\"";
    let settings = load(text, &[("ERP", "canary-1"), ("OTHER", "canary-2")]).unwrap();
    let found: Vec<_> =
        settings.flow.secrets.iter().map(|it| (it.tenant.as_str(), it.name.as_str())).collect();
    assert_eq!(found, [("clinic-2", "erp"), ("default", "erp")]);
    assert!(!format!("{settings:?}").contains("canary"));
    let faults =
        faults("[flow.secrets]\na = 5\nb = \"env:B\"\nc = \"env:C\"\n\"d e\" = \"env:C\"", &[("C", "abc")]);
    assert_eq!(faults.len(), 4, "{faults:?}");
}

#[test]
fn the_default_file_loads_to_the_defaults() {
    let text = default_file("env:EXAMPLE_SECRET");
    let settings = load(&text, &EXAMPLE_ENV).unwrap();
    assert_eq!(settings.warnings, []);
    assert_eq!(settings.sources.len(), 1);
    assert_eq!(settings.server, ServerSettings::default());
    assert!(default_file("file:secrets/a\"b").contains(r#"secret = "file:secrets/a\"b""#));
}

#[test]
fn the_default_file_shows_every_default() {
    // Switched on, each commented key must still load, and say what is the default anyway.
    let switch_on = |line: &str| match line.strip_prefix('#') {
        Some(key) if key.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => key.to_owned(),
        _ => line.to_owned(),
    };
    let text = default_file("env:EXAMPLE_SECRET");
    let text = text.lines().map(switch_on).collect::<Vec<_>>().join("\n");
    let file = Fixture::new(&text);
    let settings = file.load(&EXAMPLE_ENV, Overrides::default()).unwrap();
    assert_eq!(settings.server, ServerSettings::default());
    assert_eq!(settings.store_path(), Some(file.0.path().join("data/trunkline.db").as_path()));
    assert_eq!(settings.journal.retention, JournalSettings::default().retention);
    assert_eq!(settings.journal.dedupe_window, JournalSettings::default().dedupe_window);
    assert_eq!(
        settings.dispatch,
        DispatchSettings { user_agent: Some("Example/1.0".to_owned()), ..DispatchSettings::default() }
    );
    assert_eq!(settings.egress, EgressSettings::default());
    assert_eq!(settings.sources[0].tolerance, Duration::from_mins(5));
    for key in known_keys().iter().filter(|key| !key.starts_with("sources.") && !key.starts_with("tenants."))
    {
        let (_, name) = key.rsplit_once('.').unwrap();
        let places = [format!("\n{name} = "), format!("\n[[{key}]]\n")];
        assert!(places.iter().any(|place| text.contains(place)), "{key} is missing from the default file");
    }
}

/// Every key the readers ask for, as `section.key`.
fn known_keys() -> std::collections::BTreeSet<String> {
    let mut scope = Scope::default();
    Settings::read(tree::Table::default(), None, &mut scope);
    let value = tree::parse_document("name = \"a\"", &Path::new("x").into()).unwrap();
    let tenant = Located { value, origin: Origin::Default };
    crate::settings::read_tenants(vec![tenant], &JournalSettings::default(), &mut scope);
    let empty = || Located { value: tree::Table::default(), origin: Origin::Default };
    crate::settings::live::read_rule("live.rules[0]", empty(), &mut scope);
    crate::settings::live::read_publish("live.publish[0]", empty(), &mut scope);
    for scheme in SCHEMES.iter().map(|row| row.name) {
        let text = format!("name = \"a\"\nscheme = \"{scheme}\"");
        let value = tree::parse_document(&text, &Path::new("x").into()).unwrap();
        read_all(vec![Located { value, origin: Origin::Default }], &mut scope);
    }
    scope.known
}

#[test]
fn the_reference_page_lists_every_key() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/config.md");
    let page = std::fs::read_to_string(page).unwrap();
    let known = known_keys();
    assert!(known.len() > 40, "{known:?}");
    for key in known {
        let (section, name) = key.rsplit_once('.').unwrap();
        let row = match section {
            // A table has no variable.
            "flow" if name == "secrets" => format!("| `{name}` | none |"),
            "sources" | "tenants" | "live.rules" | "live.publish" => format!("| `{name}` |"),
            "live" if matches!(name, "rules" | "publish") => format!("## [[live.{name}]]"),
            _ => format!("| `{name}` | `TRUNKLINE_{}__{}` |", section.to_uppercase(), name.to_uppercase()),
        };
        assert!(page.contains(&row), "docs/config.md has no row {row}");
    }
}

#[test]
fn tenants_keep_what_their_tables_say() {
    let text = "[journal]\nretention_days = 7\nretention_bytes = 1048576\n\
                [[tenants]]\nname = \"a\"\nretention_days = 90\n\
                [[tenants]]\nname = \"b\"\nretention_bytes = 2097152\negress_allow = [\"10.1.0.0/16\", \"fd00::7\"]\n";
    let settings = load(text, &[]).unwrap();
    assert_eq!(settings.tenants[0].egress_allow, nets(&[]));
    assert_eq!(settings.tenants[1].egress_allow, nets(&["10.1.0.0/16", "fd00::7/128"]));
    assert_eq!(settings.egress.allow, nets(&[]), "a tenant's networks are its own");
    let kept = |index: usize| {
        let tenant = &settings.tenants[index];
        (tenant.name.as_str(), tenant.retention.as_secs() / 86_400, tenant.retention_bytes)
    };
    assert_eq!([kept(0), kept(1)], [("a", 90, Some(1_048_576)), ("b", 7, Some(2_097_152))]);
    let text = "[[tenants]]\nname = \"a\"\nretention_days = 0\n[[tenants]]\nname = \"a\"\n[[tenants]]\nnames = \"b\"\n\
                [[tenants]]\nname = \"c\"\negress_allow = [\"10.1.0.1/16\"]\n";
    check_faults(
        text,
        &[
            "3: tenants[0].retention_days: must be between 1 and 3650, found 0",
            "5: tenants[1].name: is already the name of tenants[0]",
            "6: tenants[2].name: is missing",
            "7: tenants[2].names: unknown key",
            "10: tenants[3].egress_allow[0]: 10.1.0.1/16 has address bits beyond its prefix",
        ],
    );
}

#[test]
fn deep_nesting_is_refused_not_overflowed() {
    for text in ["[".repeat(100_000), "a = ".to_owned() + &"[".repeat(100_000), "a = {".repeat(50_000)] {
        assert!(load(&text, &[]).is_err());
    }
    for text in ["a.".repeat(100_000) + "b = 1", format!("[{}b]", "a.".repeat(100_000))] {
        assert!(load(&text, &[]).is_err());
    }
}

/// Text built of pieces that mean something here, so that most of it gets past the TOML parser.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "[server]\n",
        "[store]\n",
        "[dispatch]\n",
        "[egress]\n",
        "[[sources]]\n",
        "[",
        "]",
        "=",
        ".",
        "\n",
        " = ",
        "listen",
        "url",
        "secret",
        "secrets",
        "scheme",
        "name",
        "signed",
        "allow",
        "jitter",
        "backoff_ms",
        "\"hmac\"",
        "\"none\"",
        "\"{body}\"",
        "\"env:X\"",
        "\"file:x\"",
        "-1",
        "nan",
        "1e9",
        "[1, \"a\"]",
        "{ a = 1 }",
        "true",
        "1979-05-27",
        "\"\"\"",
        "'",
        "é\u{0}",
        "0xffffffffffffffffffff",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_text_makes_a_load_panic(text in prop_oneof![any::<String>(), pieces()], value in any::<String>()) {
        let env = [("TRUNKLINE_EGRESS__ALLOW", value.as_str()), ("TRUNKLINE_STORE__URL", &value)];
        if let Err(errors) = load(&text, &env) {
            prop_assert!(!errors.0.is_empty());
            prop_assert!(!errors.to_string().is_empty());
        }
    }
}
