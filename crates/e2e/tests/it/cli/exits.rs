//! Exit codes as `docs/cli.md` lists them, and completions.

use std::process::Command;
use std::time::Duration;

use http::Method;
use serde_json::json;
use trunkline_testkit::{HostileReceiver, Misconduct};

use super::{Cli, text};
use crate::hub::{Site, client};
use crate::load::{Ledger, send};
use crate::receiver::Receiver;
use crate::stores::on_each_store;

on_each_store![codes_of_talking_to_a_hub, a_second_signal_ends_at_once_and_loses_nothing];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_usage_is_2_and_help_is_0() {
    let wrong: [&[&str]; 8] = [
        &[],
        &["frobnicate"],
        &["event"],
        &["event", "show"],
        &["event", "emit"],
        &["serve", "--colour"],
        &["token", "create", "--name", "x", "--role", "king"],
        &["completions", "tcsh"],
    ];
    for arguments in wrong {
        let ran = Cli::bare().run(arguments).await;
        assert!(
            ran.err.contains("Usage") || ran.err.contains("possible values"),
            "{arguments:?}: {}",
            ran.err
        );
        ran.failure(2);
    }
    let said = Cli::bare().run(&["event", "tail", "--url", "ftp://hub"]).await.failure(2);
    assert!(said.contains("http or https"), "{said}");
    for arguments in [&["--help"][..], &["help", "event"], &["event", "emit", "--help"], &["--version"]] {
        assert!(!Cli::bare().run(arguments).await.expect(0).is_empty(), "{arguments:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_there_is_4() {
    // A port that the system gives to nobody who asks for any.
    let cli = Cli::bare().with("TRUNKLINE_URL", "http://127.0.0.1:9").with("TRUNKLINE_TOKEN", "tlk_x");
    let calls: [&[&str]; 7] = [
        &["event", "emit", "a.b"],
        &["event", "tail"],
        &["event", "show", "evt_1"],
        &["event", "journey", "evt_1"],
        &["event", "replay", "evt_1"],
        &["webhook", "listen", "--forward", "http://127.0.0.1:9/"],
        &["token", "list"],
    ];
    for arguments in calls {
        let said = cli.run(arguments).await.failure(4);
        assert!(
            said.contains("cannot be reached") && said.contains("trunkline serve"),
            "{arguments:?}: {said}"
        );
    }
}

async fn codes_of_talking_to_a_hub(site: Site) {
    let hub = site.start();
    let at = |token: &str| Cli::bare().with("TRUNKLINE_URL", hub.url()).with("TRUNKLINE_TOKEN", token);
    for (token, code) in [("", "auth.missing"), ("tlk_wrong", "auth.invalid")] {
        let said = at(token).run(&["event", "tail"]).await.failure(4);
        assert!(said.contains(code) && said.contains("trunkline token create"), "{said}");
    }
    let viewer =
        Cli::at(&hub).run(&["token", "create", "--name", "screen", "--role", "viewer"]).await.expect(0);
    let said = at(viewer.trim()).run(&["event", "emit", "a.b"]).await.failure(4);
    assert!(said.contains("auth.forbidden") && said.contains("role"), "{said}");
    at(viewer.trim()).run(&["event", "tail"]).await.expect(0);
    for command in ["show", "journey", "replay"] {
        let said = Cli::at(&hub).run(&["event", command, "evt_nowhere"]).await.failure(1);
        assert!(said.contains("event.not_found"), "{command}: {said}");
    }
    let said = Cli::at(&hub).run(&["event", "emit", "no type"]).await.failure(1);
    assert!(said.contains("/type"), "the bad field is named: {said}");
    let said = Cli::at(&hub).run(&["event", "emit", "a.b", "--data", "{"]).await.failure(2);
    assert!(said.contains("no JSON"), "{said}");
}

async fn a_second_signal_ends_at_once_and_loses_nothing(site: Site) {
    // An attempt is under way for a minute, and the drain would wait for it.
    let site = site.with("[dispatch]\ntimeout_ms = 60000\n");
    let (silent, well) = (HostileReceiver::start(Misconduct::Silence).await, Receiver::start().await);
    let hub = site.start_with(&[("TRUNKLINE_SERVER__DRAIN_TIMEOUT_S", "60")]);
    let body = json!({ "url": silent.url("http"), "events": ["load.*"] });
    let endpoint = hub.post("/api/v1/webhooks", body, 201).await;
    let (client, ledger) = (client(), Ledger::default());
    let (status, request) = send(&client, hub.url(), "before").await.unwrap();
    assert_eq!(status, 202);
    let until = tokio::time::Instant::now() + Duration::from_mins(1);
    while silent.n_requests() == 0 {
        assert!(tokio::time::Instant::now() < until, "the attempt begins");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    hub.signal("TERM");
    // When calls are refused, the first signal was heard.
    while let Some((202, id)) = send(&client, hub.url(), "meanwhile").await {
        ledger.acknowledged.lock().unwrap().insert("meanwhile".to_owned(), id);
        assert!(tokio::time::Instant::now() < until, "the drain begins");
    }
    hub.signal("TERM");
    let (code, took) = hub.wait();
    assert_eq!(code, Some(130));
    assert!(took < Duration::from_secs(10), "ending at once took {took:?}");

    let quick = [("TRUNKLINE_DISPATCH__TIMEOUT_MS", "500"), ("TRUNKLINE_DISPATCH__BACKOFF_MS", "100")];
    let hub = site.start_with(&quick);
    let path = format!("/api/v1/webhooks/{}", endpoint["id"].as_str().unwrap());
    hub.call(Method::PUT, &path, Some(json!({ "url": well.url, "events": ["load.*"] }))).await.expect(200);
    well.expect_secret(endpoint["secret"].as_str().unwrap());
    well.wait_for(1 + ledger.n_acknowledged()).await;
    assert!(well.received().contains_key(&request.replace("inb_", "evt_")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn completions_are_scripts_that_complete() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = Cli::bare().run(&["completions", shell]).await.expect(0);
        for name in ["trunkline", "journey", "regenerate", "forward"] {
            assert_eq!(script.contains(name), name != "regenerate", "{shell}: {name}");
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("trunkline.bash");
    std::fs::write(&file, Cli::bare().run(&["completions", "bash"]).await.expect(0)).unwrap();
    let complete = |words: &str, word: &str, before: &str| {
        let script = format!(
            "source {}; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             COMP_LINE=\"{words}\"; _trunkline trunkline \"{word}\" \"{before}\"; echo \"${{COMPREPLY[@]}}\"",
            text(&file)
        );
        let done = Command::new("bash").args(["-c", &script]).output().unwrap();
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(complete("trunkline ev", "ev", "trunkline"), "event");
    assert_eq!(complete("trunkline event jo", "jo", "event"), "journey");
    assert_eq!(complete("trunkline webhook listen --for", "--for", "listen"), "--forward");
}
