//! Frames of people who mean no good.

use bytes::Bytes;
use futures_util::SinkExt as _;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_tungstenite::tungstenite::Message;
use trunkline_testkit::for_each_store;

use crate::client::{Client, handshake};
use crate::harness::Hub;

#[test]
fn nonsense_is_answered_for_a_while() {
    for_each_store(async |test| {
        let hub = Hub::start(&test.store).await;
        let mut client = Client::with_token(hub.addr, "admin").await;
        for nonsense in
            ["", "null", "[]", "{\"type\":\"x\"}", "{\"type\":\"subscribe\",\"rooms\":[7]}", "\u{0}", "😀"]
        {
            client.send_text(nonsense).await;
            assert_eq!(client.next().await["type"], "error", "{nonsense}");
        }
        client.expect_nothing().await;
        for _ in 0..14 {
            client.send_text("{").await;
        }
        assert_eq!(client.close_code().await, 4400);
        hub.stop().await;
    });
}

#[test]
fn bytes_and_large_frames_end_the_connection() {
    for_each_store(async |test| {
        let hub = Hub::start_with(&test.store, |limits| limits.frame_bytes = 1024).await;
        let mut client = Client::with_token(hub.addr, "admin").await;
        client.socket.send(Message::Binary(Bytes::from_static(b"{}"))).await.unwrap();
        assert_eq!(client.close_code().await, 1003);
        let mut client = Client::with_token(hub.addr, "admin").await;
        client.send(json!({ "type": "ping", "x": "x".repeat(2000) })).await;
        assert_eq!(client.close_code().await, 1009);
        let mut stranger = Client::stranger(hub.addr).await;
        stranger.send(json!({ "type": "auth", "token": "x".repeat(2000) })).await;
        assert_eq!(stranger.close_code().await, 1009);
        hub.stop().await;
    });
}

#[test]
fn broken_protocol_harms_nobody_else() {
    for_each_store(async |test| {
        let hub = Hub::start(&test.store).await;
        let mut good = Client::with_token(hub.addr, "admin").await;
        good.subscribe(&["tenant:acme"]).await;
        let attacks: [&[u8]; 7] = [
            // Not masked; a reserved opcode; a reserved bit; text that is not UTF-8; a fragmented ping; a length beyond all bounds; noise.
            b"\x81\x02{}",
            b"\x83\x80\x00\x00\x00\x00",
            b"\xc1\x80\x00\x00\x00\x00",
            b"\x81\x82\x00\x00\x00\x00\xff\xfe",
            b"\x09\x80\x00\x00\x00\x00",
            b"\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00",
            b"GET / HTTP/1.1\r\n\r\n",
        ];
        for attack in attacks {
            let (status, mut stream) =
                handshake(hub.addr, "/live", &[("authorization", "Bearer admin")]).await;
            assert_eq!(status, 101);
            stream.write_all(attack).await.unwrap();
            // The hub lets go of it.
            let mut rest = Vec::new();
            let _ = stream.shutdown().await;
            let _ = stream.read_to_end(&mut rest).await;
        }
        let place = hub.emit("a.b", "s", &json!({})).await;
        assert_eq!(good.next().await["seq"], place.seq);
        hub.stop().await;
    });
}

#[test]
fn a_flood_is_read_slowly_and_whole() {
    for_each_store(async |test| {
        let hub = Hub::start_with(&test.store, |limits| limits.frames_per_s = 200).await;
        let mut client = Client::with_token(hub.addr, "admin").await;
        let began = std::time::Instant::now();
        for id in 0..600 {
            client.send(json!({ "type": "ping", "id": id })).await;
        }
        for id in 0..600 {
            assert_eq!(client.next().await["id"], id);
        }
        // 400 at once, the other 200 within a second.
        assert!(began.elapsed().as_millis() > 900, "{:?}", began.elapsed());
        hub.stop().await;
    });
}
