//! Commands that look after the store: `migrate`, `backup`, `restore`, `doctor`.

use std::process::Command;

use http::Method;
use serde_json::{Value, json};

use super::{Cli, text};
use crate::hub::{Hub, Site};
use crate::stores::on_each_store;

on_each_store![
    a_store_is_migrated_once,
    a_backup_is_made_while_the_hub_runs_and_comes_back,
    the_doctor_finds_what_is_wrong
];

async fn count(hub: &Hub, event_type: &str) -> usize {
    hub.get(&format!("/api/v1/events?type={event_type}&limit=100")).await["items"].as_array().unwrap().len()
}

async fn a_store_is_migrated_once(site: Site) {
    let cli = Cli::of(&site);
    if let Some(database) = site.database() {
        database.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public").await;
    }
    let told = cli.run(&["migrate", "--dry-run"]).await.expect(3);
    assert!(told.contains("would go from schema version 0 to"), "{told}");
    let told = cli.run(&["migrate", "--dry-run"]).await.expect(3);
    assert!(told.contains("would go from schema version 0 to"), "nothing was done: {told}");
    let done = cli.run(&["migrate"]).await.expect(0);
    assert!(done.contains("went from schema version 0 to"), "{done}");
    for arguments in [&["migrate", "--dry-run"][..], &["migrate"]] {
        let done = cli.run(arguments).await.expect(0);
        assert!(done.contains("the newest"), "{done}");
    }
    let hub = site.start();
    hub.emit("visit.begun", json!({})).await;
    assert_eq!(count(&hub, "visit.begun").await, 1);
}

async fn a_backup_is_made_while_the_hub_runs_and_comes_back(site: Site) {
    let cli = Cli::of(&site);
    let hub = site.start();
    for n in 0..20 {
        hub.emit("kept.event", json!({ "n": n })).await;
    }
    let file = site.folder().join("copy.backup");
    if site.database().is_some() && Command::new("pg_dump").arg("--version").output().is_err() {
        let said = cli.run(&["backup", text(&file)]).await.failure(3);
        assert!(said.contains("pg_dump") && said.contains("install"), "{said}");
        println!("SKIPPED the rest: pg_dump is not installed");
        return;
    }
    let made = cli.run(&["backup", text(&file)]).await.expect(0);
    assert!(made.contains(text(&file)), "{made}");
    let size = std::fs::metadata(&file).unwrap().len();
    let said = cli.run(&["backup", text(&file)]).await.failure(3);
    assert!(said.contains("name a new file"), "{said}");
    assert_eq!(std::fs::metadata(&file).unwrap().len(), size, "a backup is not overwritten");
    hub.emit("lost.event", json!({})).await;
    match site.database() {
        Some(_) => restore_by_hand(&site, &cli, hub, text(&file)).await,
        None => restore(&site, &cli, hub, text(&file)).await,
    }
}

async fn restore(site: &Site, cli: &Cli, hub: Hub, file: &str) {
    let said = cli.run(&["restore", file, "--force"]).await.failure(3);
    assert!(said.contains("stop the hub"), "{said}");
    assert_eq!(hub.terminate().0, Some(0));
    let said = cli.run(&["restore", file]).await.failure(3);
    assert!(said.contains("--force"), "{said}");
    let damaged = site.folder().join("damaged.backup");
    let mut bytes = std::fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes.truncate(middle);
    std::fs::write(&damaged, &bytes).unwrap();
    std::fs::write(site.folder().join("nonsense"), "no database").unwrap();
    for name in ["damaged.backup", "nonsense"] {
        let path = site.folder().join(name);
        let said = cli.run(&["restore", text(&path), "--force"]).await.failure(3);
        assert!(said.contains("the store is as it was"), "{said}");
    }
    cli.run(&["restore", text(&site.folder().join("nowhere")), "--force"]).await.failure(1);
    let hub = site.start();
    assert_eq!(
        (count(&hub, "kept.event").await, count(&hub, "lost.event").await),
        (20, 1),
        "nothing was touched"
    );
    assert_eq!(hub.terminate().0, Some(0));

    let done = cli.run(&["restore", file, "--force"]).await.expect(0);
    assert!(done.contains("20 events") && done.contains(".replaced"), "{done}");
    assert!(site.folder().join("trunkline.db.replaced").exists(), "what was there is kept");
    let hub = site.start();
    assert_eq!((count(&hub, "kept.event").await, count(&hub, "lost.event").await), (20, 0));
    hub.emit("new.event", json!({})).await;
    assert_eq!(count(&hub, "new.event").await, 1);
}

/// PostgreSQL has tools of its own; the command says which.
async fn restore_by_hand(site: &Site, cli: &Cli, hub: Hub, file: &str) {
    let said = cli.run(&["restore", file]).await.failure(3);
    assert!(said.contains("pg_restore --clean --if-exists --dbname"), "{said}");
    assert_eq!(hub.terminate().0, Some(0));
    let restored = Command::new("pg_restore")
        .args(["--clean", "--if-exists", "--no-owner", "--dbname", site.store_url(), file])
        .output()
        .unwrap();
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    let hub = site.start();
    assert_eq!((count(&hub, "kept.event").await, count(&hub, "lost.event").await), (20, 0));
    hub.emit("new.event", json!({})).await;
    assert_eq!(count(&hub, "new.event").await, 1);
}

async fn findings(cli: &Cli, code: i32) -> Vec<Value> {
    // A name that never resolves: a warning, and nothing outside is asked.
    let out = cli.run(&["doctor", "--json", "--dns-name", "trunkline.invalid"]).await.expect(code);
    serde_json::from_str(&out).unwrap()
}

fn verdict<'a>(findings: &'a [Value], check: &str) -> &'a Value {
    findings
        .iter()
        .find(|finding| finding["check"] == check)
        .map_or(&Value::Null, |finding| &finding["verdict"])
}

async fn the_doctor_finds_what_is_wrong(site: Site) {
    let cli = Cli::of(&site);
    if site.database().is_none() {
        assert_eq!(verdict(&findings(&cli, 0).await, "store"), "warn", "there is none yet");
    }
    let hub = site.start();
    hub.emit("visit.begun", json!({})).await;
    let well = findings(&cli, 0).await;
    for check in ["configuration", "store", "consumers", "deliveries", "dead letters", "clock"] {
        assert_eq!(verdict(&well, check), "ok", "{check}: {well:?}");
    }
    assert_eq!(verdict(&well, "names"), "warn");
    assert!(
        well.iter().all(|finding| finding["verdict"] == "ok" || !finding["fix"].as_str().unwrap().is_empty())
    );
    let for_people = cli.run(&["doctor", "--dns-name", "trunkline.invalid"]).await.expect(0);
    assert!(for_people.lines().any(|line| line.starts_with("ok") && line.contains("store")), "{for_people}");
    assert_eq!(hub.call(Method::GET, "/readyz", None).await.status, 200, "looking harms nothing");

    // The port is another program's.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    // It hangs up on whoever calls.
    std::thread::spawn(move || taken.incoming().for_each(drop));
    let ill = findings(&cli.clone().with("TRUNKLINE_SERVER__LISTEN", address), 3).await;
    assert_eq!(verdict(&ill, "listen"), "fail");
    assert_eq!(hub.terminate().0, Some(0));
    match site.database() {
        Some(database) => database.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public").await,
        None => std::fs::write(site.folder().join("trunkline.db"), "something ate it").unwrap(),
    }
    let (code, expect) = if site.database().is_some() { (0, "warn") } else { (3, "fail") };
    assert_eq!(verdict(&findings(&cli, code).await, "store"), expect);
}
