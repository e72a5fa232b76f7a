//! The stream: what is stored comes, a break loses nothing, and it ends when it should.

use axum::body::Body;
use futures_util::StreamExt as _;
use http::{Request, StatusCode};
use trunkline_store::tables::token::{token_find, token_revoke};
use trunkline_store::{Commit, Dialect};

use crate::harness::{Hub, tenant};

struct Stream(axum::body::BodyDataStream);

impl Stream {
    async fn open(hub: &Hub, query: &str, last_id: Option<&str>) -> (StatusCode, Self) {
        let request = Request::get(format!("/api/v1/events/stream?{query}"))
            .header("authorization", format!("Bearer {}", hub.token("viewer")));
        let request = match last_id {
            Some(id) => request.header("last-event-id", id),
            None => request,
        };
        let response = hub.answer(request.body(Body::empty()).unwrap()).await;
        (response.status(), Self(response.into_body().into_data_stream()))
    }

    async fn chunk(&mut self) -> Option<String> {
        let chunk = self.0.next().await?.unwrap();
        Some(String::from_utf8(chunk.to_vec()).unwrap())
    }

    /// The ids of events and of the stream in the next chunk.
    async fn events(&mut self) -> Vec<(String, String)> {
        let chunk = self.chunk().await.unwrap();
        let blocks = chunk.split_terminator("\n\n");
        blocks
            .map(|block| {
                let (id, data) = block.split_once('\n').unwrap();
                let data: serde_json::Value =
                    serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
                (data["id"].as_str().unwrap().to_owned(), id.strip_prefix("id: ").unwrap().to_owned())
            })
            .collect()
    }
}

#[tokio::test]
async fn a_stream_goes_on_behind_the_last_id() {
    let hub = Hub::start().await;
    hub.emit("old", "order.paid").await;
    let (status, mut stream) = Stream::open(&hub, "events=order.*,visit.**", None).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(stream.chunk().await.as_deref(), Some("retry: 2000\n\n"));
    hub.emit("one", "order.paid").await;
    let first = stream.events().await;
    assert_eq!(first[0].0, "one");
    hub.emit("none", "other.thing").await;
    hub.emit("two", "visit.booked").await;
    assert_eq!(stream.events().await[0].0, "two");
    drop(stream);
    hub.emit("three", "order.paid").await;
    let (_, mut again) = Stream::open(&hub, "events=**", Some(&first[0].1)).await;
    again.chunk().await;
    let ids: Vec<String> = again.events().await.into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, ["none", "two", "three"]);
    assert_eq!(Stream::open(&hub, "events=**", Some("x")).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(Stream::open(&hub, "events=a..b", None).await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_quiet_stream_beats_and_ends_with_its_token() {
    let hub = Hub::start().await;
    if hub.store.dialect() == Dialect::Postgres {
        // Paused time flies while a server's answer is awaited, past the store's own time limits.
        println!("skipped on PostgreSQL: paused time and a real server do not mix");
        return;
    }
    let (_, mut stream) = Stream::open(&hub, "events=**", None).await;
    stream.chunk().await;
    let row = token_find(&hub.store, &trunkline_api::auth::token::hash(hub.token("viewer"))).await.unwrap();
    let revoke = token_revoke(&tenant(), row.unwrap().id.as_str(), trunkline_model::Clock::now(&*hub.clock));
    hub.store.commit(Commit::statements(vec![revoke])).await.unwrap();
    // From here on time passes when everybody waits.
    tokio::time::pause();
    let mut n_beats = 0;
    let last = loop {
        let chunk = stream.chunk().await.unwrap();
        if chunk != ":\n\n" {
            break chunk;
        }
        n_beats += 1;
    };
    assert_eq!(n_beats, 3);
    assert_eq!(last, ": the token has stopped working\n\n");
    assert_eq!(stream.chunk().await, None);
}

#[tokio::test]
async fn streams_are_counted_and_end_with_the_hub() {
    let hub = Hub::start().await;
    let mut open = Vec::new();
    for _ in 0..20 {
        open.push(Stream::open(&hub, "events=**", None).await.1);
    }
    assert_eq!(Stream::open(&hub, "events=**", None).await.0, StatusCode::TOO_MANY_REQUESTS);
    open.pop();
    let (status, mut stream) = Stream::open(&hub, "events=**", None).await;
    assert_eq!(status, StatusCode::OK);
    stream.chunk().await;
    hub.draining.cancel();
    assert_eq!(stream.chunk().await.as_deref(), Some(": the hub is stopping\n\n"));
    assert_eq!(stream.chunk().await, None);
}
