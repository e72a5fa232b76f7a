//! Start and stop of a hub in this process: order, drain, conflicts, protocols.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use http::Method;
use trunkline_config::{LoadOptions, Overrides};
use trunkline_store::StoreOptions;

use super::*;
use crate::cli::RemoteArgs;
use crate::client::{Api, Content, open_client};

fn settings(dir: &Path, listen: &str) -> Settings {
    let overrides = Overrides { listen: Some(listen.to_owned()), data_dir: Some(dir.to_owned()) };
    // A file of its own, so that none in the working directory is read.
    let path = dir.join("empty.toml");
    std::fs::write(&path, "").unwrap();
    Settings::load(LoadOptions { path: Some(path), env: Env::default(), overrides }).unwrap()
}

async fn hub(dir: &Path) -> RunningHub {
    start(settings(dir, "127.0.0.1:0"), &Env::default()).await.unwrap()
}

fn api(hub: &RunningHub, token: Option<&str>) -> Api {
    Api::new(&RemoteArgs { url: hub.url(), token: token.map(str::to_owned), json: false }).unwrap()
}

#[allow(clippy::disallowed_methods, reason = "a raw client of the hub under test, on loopback")]
fn connect(hub: &RunningHub) -> std::net::TcpStream {
    let stream = std::net::TcpStream::connect(hub.addr()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn starts_serves_and_stops_in_time() {
    let dir = tempfile::tempdir().unwrap();
    let hub = hub(dir.path()).await;
    let token = hub.first_token().unwrap().expose().to_owned();
    api(&hub, None).get("healthz", &[]).await.unwrap();
    api(&hub, None).get("readyz", &[]).await.unwrap();
    let admin = api(&hub, Some(&token));
    assert_eq!(admin.get("api/v1/events", &[]).await.unwrap()["items"], serde_json::json!([]));
    let (status, _) =
        api(&hub, None).exchange(Method::GET, "api/v1/events", &[], Content::default()).await.unwrap();
    assert_eq!(status, 401);
    let (status, _) = admin.exchange(Method::POST, "in/nobody", &[], Content::default()).await.unwrap();
    assert_eq!(status, 404);

    // An idle connection must not hold up the end.
    let mut idle = connect(&hub);
    let url = hub.url();
    let stopping = Instant::now();
    hub.shutdown().await;
    assert!(stopping.elapsed() < Duration::from_secs(5), "{:?}", stopping.elapsed());
    assert_eq!(idle.read(&mut [0; 1]).unwrap_or(0), 0);
    let late = Api::new(&RemoteArgs { url, token: None, json: false }).unwrap();
    let error = late.get("healthz", &[]).await.unwrap_err();
    assert_eq!(Fault::of(&error).0, Exit::Unreachable);
    // Everything was let go: the store opens again, and the token is not shown a second time.
    let again = self::hub(dir.path()).await;
    assert!(again.first_token().is_none());
    again.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_under_way_is_finished() {
    let dir = tempfile::tempdir().unwrap();
    let hub = hub(dir.path()).await;
    let mut stream = connect(&hub);
    // The head is read and the body awaited; its end comes after the drain has begun.
    stream.write_all(b"POST /in/none HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\n{").unwrap();
    api(&hub, None).get("healthz", &[]).await.unwrap();
    let stopping = tokio::spawn(hub.shutdown());
    stream.write_all(b"}").unwrap();
    let mut answer = String::new();
    let answer = tokio::task::spawn_blocking(move || stream.read_to_string(&mut answer).map(|_| answer));
    assert!(answer.await.unwrap().unwrap().starts_with("HTTP/1.1 "));
    stopping.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_hub_is_refused_and_changes_nothing() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let hub = hub(dir.path()).await;
    let same_port =
        start(settings(other.path(), &hub.addr().to_string()), &Env::default()).await.unwrap_err();
    assert!(same_port.to_string().contains("cannot listen"), "{same_port:#}");
    assert!(!other.path().join("trunkline.db").exists());
    let same_store = start(settings(dir.path(), "127.0.0.1:0"), &Env::default()).await.unwrap_err();
    assert_eq!(Fault::of(&same_store).0, Exit::Refused);
    api(&hub, None).get("readyz", &[]).await.unwrap();
    hub.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_weak_admin_token_stops_the_start_and_leaves_nothing_running() {
    let dir = tempfile::tempdir().unwrap();
    let env: Env = [("TRUNKLINE_ADMIN_TOKEN", "weak")].into_iter().collect();
    let error = start(settings(dir.path(), "127.0.0.1:0"), &env).await.unwrap_err();
    assert!(format!("{error:#}").contains("admin token"), "{error:#}");
    let options = StoreOptions::new(format!("sqlite://{}/trunkline.db", dir.path().display()));
    Store::open(options).await.unwrap().close().await;
    let env: Env = [("TRUNKLINE_ADMIN_TOKEN", "tlk_strong_enough_for_a_test")].into_iter().collect();
    let hub = start(settings(dir.path(), "127.0.0.1:0"), &env).await.unwrap();
    assert!(hub.first_token().is_none());
    api(&hub, Some("tlk_strong_enough_for_a_test")).get("api/v1/tokens", &[]).await.unwrap();
    hub.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_protocols_are_spoken() {
    use http_body_util::Empty;
    use hyper_util::rt::{TokioExecutor, TokioIo};

    let dir = tempfile::tempdir().unwrap();
    let hub = hub(dir.path()).await;
    let stream = connect(&hub);
    stream.set_nonblocking(true).unwrap();
    let stream = TokioIo::new(tokio::net::TcpStream::from_std(stream).unwrap());
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let request =
        http::Request::get(format!("{}/healthz", hub.url())).body(Empty::<bytes::Bytes>::new()).unwrap();
    let answer = client.send_request(request).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.version()), (200, http::Version::HTTP_2));
    drop((client, answer));
    open_client().unwrap();
    hub.shutdown().await;
    drop(connection.await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_connections_than_allowed_wait() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = settings(dir.path(), "127.0.0.1:0");
    settings.server.max_connections = 1;
    let hub = start(settings, &Env::default()).await.unwrap();
    let ask = b"GET /healthz HTTP/1.1\r\nhost: h\r\n\r\n";
    let first = connect(&hub);
    let mut second = connect(&hub);
    let (mut head, mut answered) = ([0; 12], [0; 12]);
    let answers = tokio::task::spawn_blocking(move || {
        (&first).write_all(ask).unwrap();
        (&first).read_exact(&mut head).unwrap();
        second.write_all(ask).unwrap();
        // Open, but nobody speaks to it until there is room.
        second.set_nonblocking(true).unwrap();
        let early = second.read(&mut answered).map_err(|error| error.kind());
        second.set_nonblocking(false).unwrap();
        drop(first);
        second.read_exact(&mut answered).unwrap();
        (head, early, answered)
    });
    let (head, early, answered) = answers.await.unwrap();
    assert_eq!((&head, &answered), (b"HTTP/1.1 200", b"HTTP/1.1 200"));
    assert_eq!(early, Err(std::io::ErrorKind::WouldBlock));
    hub.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_corrupt_database_is_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("trunkline.db");
    std::fs::write(&path, "no database at all, but longer than a header of SQLite would be: ".repeat(200))
        .unwrap();
    let error = start(settings(dir.path(), "127.0.0.1:0"), &Env::default()).await.unwrap_err();
    let (exit, fix) = Fault::of(&error);
    assert_eq!(exit, Exit::Failed, "{error:#}");
    assert!(fix.unwrap_or_default().contains("trunkline restore"), "{error:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_show_what_ingest_counts() {
    let dir = tempfile::tempdir().unwrap();
    let hub = hub(dir.path()).await;
    let (status, _) = api(&hub, None).exchange(Method::POST, "in/x", &[], Content::default()).await.unwrap();
    assert_eq!(status, 404);
    let mut stream = connect(&hub);
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    let text = tokio::task::spawn_blocking(move || stream.read_to_string(&mut text).map(|_| text))
        .await
        .unwrap()
        .unwrap();
    assert!(text.contains("trunkline_ingest_unknown_source_total 1"), "{text}");
    hub.shutdown().await;
}

/// One frame of a server: its opcode and what it holds, at most 64 KiB of it.
fn read_frame(stream: &mut std::net::TcpStream) -> (u8, Vec<u8>) {
    let mut head = [0; 2];
    stream.read_exact(&mut head).unwrap();
    let mut length = usize::from(head[1]);
    if length == 126 {
        let mut long = [0; 2];
        stream.read_exact(&mut long).unwrap();
        length = usize::from(u16::from_be_bytes(long));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    (head[0] & 0x0f, body)
}

/// A frame of a client, masked with zeros.
fn write_frame(stream: &mut std::net::TcpStream, frame: &serde_json::Value) {
    let text = frame.to_string();
    assert!(text.len() < 126, "{text}");
    stream.write_all(&[0x81, 0x80 | text.len() as u8, 0, 0, 0, 0]).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_updates_come_by_ticket_and_end_with_the_hub() {
    use serde_json::{Value, json};

    let dir = tempfile::tempdir().unwrap();
    let mut settings = settings(dir.path(), "127.0.0.1:0");
    settings.server.max_connections = 3;
    let hub = start(settings, &Env::default()).await.unwrap();
    let token = hub.first_token().unwrap().expose().to_owned();
    let admin = api(&hub, Some(&token));
    let ticket = admin.post("api/v1/live/tickets", Content::default()).await.unwrap()["ticket"].clone();
    let open = |hub: &RunningHub| {
        let mut stream = connect(hub);
        let head = "GET /live HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                    sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            answer.extend(byte);
        }
        assert!(answer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer));
        stream
    };
    // Live connections do not count as connections of the listener.
    let others = [open(&hub), open(&hub)];
    let mut live = open(&hub);
    let frame = |body: (u8, Vec<u8>)| serde_json::from_slice::<Value>(&body.1).unwrap();
    write_frame(&mut live, &json!({ "type": "auth", "ticket": ticket }));
    assert_eq!(frame(read_frame(&mut live))["role"], "admin");
    write_frame(&mut live, &json!({ "type": "subscribe", "rooms": ["clinic:1"] }));
    assert_eq!(frame(read_frame(&mut live))["type"], "subscribed");
    let event =
        json!({ "specversion": "1.0", "id": "e", "source": "/t", "type": "a.b", "data": { "clinicId": 1 } });
    admin.post("api/v1/events", Content::json(&event)).await.unwrap();
    assert_eq!(frame(read_frame(&mut live))["event"]["id"], "e");
    write_frame(&mut live, &json!({ "type": "publish", "event": { "type": "a.b", "source": "no\u{1}" } }));
    assert_eq!(frame(read_frame(&mut live))["code"], "request.invalid");

    let stopping = tokio::spawn(hub.shutdown());
    let (opcode, body) = read_frame(&mut live);
    assert_eq!((opcode, u16::from_be_bytes([body[0], body[1]])), (8, 1001));
    drop((live, others));
    stopping.await.unwrap();
}
