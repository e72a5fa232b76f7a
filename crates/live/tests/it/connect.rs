//! How connections begin and end.

use std::time::Duration;

use serde_json::json;
use trunkline_live::{Principal, Reach};
use trunkline_model::{Clock as _, SystemClock};
use trunkline_store::Commit;
use trunkline_store::tables::token::{TokenRow, token_insert, token_revoke};
use trunkline_testkit::for_each_store;

use crate::client::{Client, handshake};
use crate::harness::{Hub, somebody};

#[test]
fn a_token_comes_as_header_or_first_frame_and_never_in_the_url() {
    for_each_store(async |test| {
        let hub = Hub::start(&test.store).await;
        let status = async |target, headers: &[(&str, &str)]| handshake(hub.addr, target, headers).await.0;
        assert_eq!(status("/live", &[("authorization", "Bearer admin")]).await, 101);
        assert_eq!(status("/live", &[("authorization", "bearer  driver ")]).await, 101);
        for wrong in ["Bearer nobody", "Bearer", "Basic YWRtaW4=", "Bearer ticket-admin"] {
            assert_eq!(status("/live", &[("authorization", wrong)]).await, 401, "{wrong}");
        }
        assert_eq!(status("/live?token=admin", &[]).await, 400);
        assert_eq!(status("/live?x", &[("authorization", "Bearer admin")]).await, 400);
        let mut client = Client::stranger(hub.addr).await;
        client.send(json!({ "type": "auth", "token": "driver", "id": "a" })).await;
        assert_eq!(
            client.next().await,
            json!({
                "type": "authenticated", "id": "a", "tenant": "acme", "role": "member", "user": "dan", "heartbeat_s": 25,
            })
        );
        hub.stop().await;
    });
}

#[test]
fn a_ticket_opens_one_connection() {
    for_each_store(async |test| {
        let hub = Hub::start(&test.store).await;
        let auth = json!({ "type": "auth", "ticket": "ticket-driver" });
        let mut first = Client::stranger(hub.addr).await;
        first.send(auth.clone()).await;
        assert_eq!(first.next().await["user"], "dan");
        let mut second = Client::stranger(hub.addr).await;
        second.send(auth).await;
        assert_eq!(second.next().await["code"], "auth.invalid");
        assert_eq!(second.close_code().await, 4401);
        first.expect_nothing().await;
        hub.stop().await;
    });
}

#[test]
fn strangers_are_sent_away() {
    for_each_store(async |test| {
        let hub =
            Hub::start_with(&test.store, |limits| limits.auth_timeout = Duration::from_millis(50)).await;
        let mut silent = Client::stranger(hub.addr).await;
        assert_eq!(silent.close_code().await, 4408);
        for first in
            ["{\"type\":\"subscribe\",\"rooms\":[\"a:1\"]}", "{}", "{\"type\":\"auth\",\"token\":\"x\"}"]
        {
            let mut client = Client::stranger(hub.addr).await;
            client.send_text(first).await;
            assert_eq!(client.next().await["type"], "error");
            assert_eq!(client.close_code().await, 4401, "{first}");
        }
        hub.stop().await;
    });
}

#[test]
fn connections_are_counted() {
    for_each_store(async |test| {
        let hub = Hub::start_with(&test.store, |limits| {
            limits.connections = 40;
            limits.connections_per_tenant = 2;
        })
        .await;
        let (mut one, _two) =
            (Client::with_token(hub.addr, "admin").await, Client::with_token(hub.addr, "admin").await);
        let mut three = Client::stranger(hub.addr).await;
        three.send(json!({ "type": "auth", "token": "admin" })).await;
        assert_eq!(three.close_code().await, 4429);
        assert_eq!(handshake(hub.addr, "/live", &[("authorization", "Bearer admin")]).await.0, 429);
        let _stranger = Client::with_token(hub.addr, "other-admin").await;
        assert!(hub.figures().contains("trunkline_live_connections 3"), "{}", hub.figures());
        let mut strangers = vec![];
        let full = loop {
            match handshake(hub.addr, "/live", &[]).await {
                (101, stream) => strangers.push(stream),
                (status, _) => break status,
            }
        };
        // Those before may still be on their way out.
        assert!(full == 503 && (7..=10).contains(&strangers.len()), "{full} {}", strangers.len());
        drop(strangers);
        one.socket.close(None).await.unwrap();
        one.close_code().await;
        // The place is free as soon as the hub has noticed.
        while handshake(hub.addr, "/live", &[("authorization", "Bearer admin")]).await.0 != 101 {}
        hub.stop().await;
    });
}

#[test]
fn a_stopping_hub_says_so() {
    for_each_store(async |test| {
        let hub = Hub::start(&test.store).await;
        let (mut known, mut stranger) =
            (Client::with_token(hub.addr, "admin").await, Client::stranger(hub.addr).await);
        let live = hub.live.clone();
        let stopping = tokio::spawn(async move { live.stop(Duration::from_secs(20)).await });
        assert_eq!((known.close_code().await, stranger.close_code().await), (1001, 1001));
        stopping.await.unwrap();
        assert_eq!(handshake(hub.addr, "/live", &[]).await.0, 503);
        hub.stop().await;
    });
}

#[test]
fn a_token_that_ends_ends_its_connections() {
    for_each_store(async |test| {
        let hub = Hub::start(&test.store).await;
        let soon = SystemClock.now().plus(Duration::from_millis(300));
        let expires = Principal { expires_at: Some(soon), ..somebody("acme", "viewer", Reach::Reader) };
        hub.door.know("short", expires);
        assert_eq!(Client::with_token(hub.addr, "short").await.close_code().await, 4401);

        let principal = somebody("acme", "viewer", Reach::Reader);
        let row = TokenRow {
            id: principal.token_id.clone(),
            tenant: principal.tenant.clone(),
            name: "t".to_owned(),
            role: "viewer".to_owned(),
            person: None,
            groups: vec![],
            rooms: vec![],
            hash: "h".to_owned(),
            created_at: SystemClock.now(),
            expires_at: None,
            revoked_at: None,
        };
        hub.journal.commit(Commit::statements(vec![token_insert(&row)])).await.unwrap();
        hub.door.know("revoked", principal);
        let (mut revoked, mut kept) =
            (Client::with_token(hub.addr, "revoked").await, Client::with_token(hub.addr, "reader").await);
        let revoke = token_revoke(&row.tenant, row.id.as_str(), SystemClock.now());
        hub.journal.commit(Commit::statements(vec![revoke])).await.unwrap();
        assert_eq!(revoked.close_code().await, 4401);
        kept.expect_nothing().await;
        hub.stop().await;
    });
}

#[test]
fn a_token_is_replaced_over_the_open_connection() {
    for_each_store(async |test| {
        let hub = Hub::start(&test.store).await;
        let mut client = Client::with_token(hub.addr, "admin").await;
        client.subscribe(&["tenant:acme", "clinic:1"]).await;
        client.send(json!({ "type": "auth", "token": "other-admin" })).await;
        assert_eq!(client.next().await["code"], "auth.forbidden");
        client.send(json!({ "type": "auth", "token": "driver", "id": 2 })).await;
        let (a, b) = (client.next().await, client.next().await);
        let left = json!({ "type": "unsubscribed", "rooms": ["tenant:acme"] });
        assert!(a == left || b == left, "{a} {b}");
        assert!(a["role"] == "member" || b["role"] == "member", "{a} {b}");
        hub.emit("a.b", "s", &json!({})).await;
        hub.emit("a.b", "s", &json!({ "clinicId": 1 })).await;
        assert_eq!(client.next().await["room"], "clinic:1");
        hub.stop().await;
    });
}

#[test]
fn a_client_that_answers_no_heartbeat_is_let_go() {
    for_each_store(async |test| {
        let hub = Hub::start_with(&test.store, |limits| limits.heartbeat = Duration::from_millis(40)).await;
        let mut client = Client::with_token(hub.addr, "admin").await;
        // Reading answers pings; a while later the connection is still there.
        for _ in 0..3 {
            loop {
                use futures_util::StreamExt as _;
                let message = client.socket.next().await.unwrap().unwrap();
                if message.to_text().is_ok_and(|text| text.contains("\"heartbeat\"")) {
                    break;
                }
            }
        }
        client.expect_nothing().await;
        // Not reading does not; the close frame waits in the socket behind the pings.
        while !hub.figures().contains("closed_total{reason=\"silent\"} 1") {
            tokio::task::yield_now().await;
        }
        assert_eq!(client.close_code().await, 4408);
        hub.stop().await;
    });
}
