//! `token create|revoke|list`: through the hub, and on the store itself.

use http::Method;
use serde_json::json;

use super::{Cli, word};
use crate::hub::{Hub, Site};
use crate::stores::on_each_store;

on_each_store![tokens_through_the_hub, tokens_without_a_hub];

/// What the hub says to a token that asks for events and for one of its own making.
async fn rights(hub: &Hub, token: &str) -> (u16, u16) {
    let bearer = format!("Bearer {token}");
    let call = async |method, path, body| {
        hub.call_with(method, path, body, &[("authorization", &bearer)]).await.status
    };
    let event = json!({ "specversion": "1.0", "id": token, "source": "/t", "type": "a.b" });
    (call(Method::GET, "/api/v1/events", None).await, call(Method::POST, "/api/v1/events", Some(event)).await)
}

async fn tokens_through_the_hub(site: Site) {
    let hub = site.start();
    let cli = Cli::at(&hub);
    for (role, expect) in
        [("admin", (200, 202)), ("operator", (200, 202)), ("emitter", (200, 202)), ("viewer", (200, 403))]
    {
        let made = cli.run(&["token", "create", "--name", role, "--role", role]).await;
        assert!(made.err.contains("tok_") && made.err.contains("not shown again"), "{}", made.err);
        let id = word(&made.err, "tok_").to_owned();
        let token = made.expect(0);
        assert_eq!(rights(&hub, token.trim()).await, expect, "{role}");
        let list = cli.run(&["token", "list"]).await.expect(0);
        assert!(list.lines().any(|line| line.starts_with(&id) && line.contains("live")), "{list}");
        assert!(!list.contains(token.trim()));
        cli.run(&["token", "revoke", &id]).await.expect(0);
        assert_eq!(rights(&hub, token.trim()).await, (401, 401), "{role}");
        let list = cli.run(&["token", "list"]).await.expect(0);
        assert!(list.lines().any(|line| line.starts_with(&id) && line.contains("revoked")), "{list}");
        assert!(cli.run(&["token", "revoke", &id]).await.failure(1).contains("not_found"));
    }
    let person = ["--user", "ana", "--group", "nurses", "--group", "ward-3", "--expires", "12h", "--json"];
    let arguments = [&["token", "create", "--name", "ana", "--role", "viewer"][..], &person].concat();
    let made = cli.run(&arguments).await.json();
    assert_eq!((&made["user"], &made["groups"]), (&json!("ana"), &json!(["nurses", "ward-3"])));
    assert!(made["expires_at"].is_string() && made["token"].as_str().unwrap().starts_with("tlk_"));

    let create = ["token", "create", "--name", "x", "--role", "viewer"];
    let said = cli.run(&[&create[..], &["--tenant", "other"]].concat()).await.failure(2);
    assert!(said.contains("tenant of your own token"), "{said}");
    for when in ["never", "0d", "2001-01-01T00:00:00Z"] {
        cli.run(&[&create[..], &["--expires", when]].concat()).await.failure(2);
    }
}

async fn tokens_without_a_hub(site: Site) {
    let cli = Cli::of(&site);
    let create = ["token", "create", "--name", "ward", "--role", "operator", "--tenant", "clinic-5"];
    let made = cli.run(&create).await;
    let (id, token) = (word(&made.err, "tok_").to_owned(), made.expect(0).trim().to_owned());
    let hub = site.start();
    assert_eq!(rights(&hub, &token).await, (200, 202));
    let bearer = format!("Bearer {token}");
    let own =
        hub.call_with(Method::GET, "/api/v1/events", None, &[("authorization", &bearer)]).await.expect(200);
    assert_eq!(own["items"][0]["tenant"], "clinic-5");
    assert_eq!(hub.get("/api/v1/events").await["items"], json!([]), "it is another tenant's");
    let beside = cli.run(&["token", "list", "--tenant", "clinic-5"]).await;
    if site.database().is_some() {
        // PostgreSQL is for several: the command works beside the hub, which hears of it before long.
        assert!(beside.expect(0).contains(&id));
        cli.run(&["token", "revoke", &id, "--tenant", "clinic-5"]).await.expect(0);
        let until = tokio::time::Instant::now() + std::time::Duration::from_mins(1);
        while rights(&hub, &token).await != (401, 401) {
            assert!(tokio::time::Instant::now() < until, "the token still works");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        return;
    }
    let said = beside.failure(3);
    assert!(said.contains("a hub runs on this store") && said.contains("TRUNKLINE_TOKEN"), "{said}");
    assert_eq!(hub.terminate().0, Some(0));
    assert!(
        cli.run(&["token", "revoke", &id]).await.failure(1).contains("--tenant"),
        "it is another tenant's"
    );
    cli.run(&["token", "revoke", &id, "--tenant", "clinic-5"]).await.expect(0);
    let hub = site.start();
    assert_eq!(rights(&hub, &token).await, (401, 401));
}
