//! A faulty configuration is refused whole: every fault with file, line, key and what to do, and nothing is touched.

use std::path::Path;

use super::{Cli, Ran, text};

const BAD: &str = r#"[server]
listen = "nowhere"
log_levle = "info"
[store]
url = "mysql://db/hub"
pool_size = 0
[dispatch]
backoff_ms = [100, -1]
[egress]
allow = ["10.0.0.1/8"]
[[tenants]]
name = "Clinic"
retention_days = 0
egress_allow = "10.0.0.0/8"
[[sources]]
name = "portal"
scheme = "standard-webhooks"
secret = "env:PORTAL_SECRET_THAT_IS_NOT_SET"
[[sources]]
name = "portal"
scheme = "hmca"
[colours]
"#;

const FAULTS: [(u32, &str); 12] = [
    (2, "server.listen"),
    (3, "server.log_levle"),
    (5, "store.url"),
    (6, "store.pool_size"),
    (8, "dispatch.backoff_ms[1]"),
    (10, "egress.allow[0]"),
    (12, "tenants[0].name"),
    (13, "tenants[0].retention_days"),
    (14, "tenants[0].egress_allow"),
    (18, "sources[0].secret"),
    (21, "sources[1].scheme"),
    (22, "colours"),
];

/// Writes a configuration into a folder of its own.
fn config(text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trunkline.toml");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

async fn check(path: &Path) -> Ran {
    Cli::bare().run(&["check", "--config", text(path)]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_is_named_with_its_place_and_its_remedy() {
    let (folder, path) = config(BAD);
    let said = check(&path).await.failure(2);
    for (line, key) in FAULTS {
        let place = format!("{}:{line}:", path.display());
        let found = said
            .lines()
            .find(|said| said.trim_start().starts_with(&place) && said.contains(&format!(": {key}: ")));
        let found = found.unwrap_or_else(|| panic!("line {line}, {key}: {said}"));
        let (_, fix) = found.split_once(" Fix: ").unwrap_or_else(|| panic!("no remedy: {found}"));
        assert!(fix.len() > 5 && fix.ends_with('.'), "{found}");
    }
    assert!(said.contains("log_level"), "a slip of the pen is recognised: {said}");
    let served = Cli::bare().run(&["serve", "--config", text(&path)]).await.failure(2);
    assert_eq!(served, said, "serve says the same");
    let looked = Cli::bare().run(&["doctor", "--config", text(&path)]).await;
    assert!(looked.expect(3).contains("server.listen"));
    let left: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["trunkline.toml"], "nothing was made");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_beside_the_file_are_named_too() {
    let (_folder, path) = config("[server]\nlisten = \"127.0.0.1:0\"\n");
    let cli = Cli::bare()
        .with("TRUNKLINE_CONFIG", &path)
        .with("TRUNKLINE_STORE__POOL_SIZE", "many")
        .with("TRUNKLINE_SERVER__LISTN", "127.0.0.1:0");
    let said = cli.run(&["check"]).await.failure(2);
    assert!(said.contains("environment variable TRUNKLINE_STORE__POOL_SIZE: store.pool_size: "), "{said}");
    assert!(said.contains("TRUNKLINE_SERVER__LISTN"), "{said}");
    let cli = Cli::bare().with("TRUNKLINE_CONFIG", &path);
    let said = cli.run(&["serve", "--listen", "nowhere"]).await.failure(2);
    assert!(said.contains("--listen: server.listen: "), "{said}");

    let (_folder, path) = config("[server\nlisten = 5\n");
    let said = check(&path).await.failure(2);
    assert!(said.contains(&format!("{}:1:", path.display())), "no TOML at all: {said}");
    let said = check(Path::new("/nonexistent/trunkline.toml")).await.failure(2);
    assert!(said.contains("/nonexistent/trunkline.toml"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_are_checked_and_never_shown() {
    const SHORT: &str = "whsec_c2hvcnQ=";
    let source = "[[sources]]\nname = \"portal\"\nscheme = \"standard-webhooks\"\nsecret = ";
    let (_folder, path) = config(&format!("{source}\"env:PORTAL\"\n"));
    let ran = Cli::bare().with("PORTAL", SHORT).run(&["check", "--config", text(&path)]).await.failure(2);
    assert!(ran.contains("sources[0].secret") && !ran.contains("c2hvcnQ"), "{ran}");
    // One that is written into the file works, with a warning that names the line.
    let written = "whsec_ZTJlLXRlc3RzLW9mLXRydW5rbGluZS0zMi1ieXRlcyE=";
    let (_folder, path) = config(&format!("{source}\"{written}\"\n"));
    let ran = check(&path).await;
    assert!(
        ran.err.contains("warning") && ran.err.contains(":4:") && !ran.err.contains(written),
        "{}",
        ran.err
    );
    assert!(ran.expect(0).contains("1 warning"));
}
