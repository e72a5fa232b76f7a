//! HTTP/2 servers that misbehave, frame by frame (RFC 9113).

use http_body_util::BodyExt as _;
use tokio_rustls::server::TlsStream;

use super::*;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;
const INTERNAL_ERROR: u32 = 2;
/// `:status: 200` in HPACK.
const STATUS_200: &[u8] = &[0x88];

type Tls = TlsStream<TcpStream>;

async fn send(tls: &mut Tls, (kind, flags, stream): (u8, u8, u32), payload: &[u8]) -> io::Result<()> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    tls.write_all(&frame).await?;
    tls.flush().await
}

/// Reads frames until the head of a request; gives its stream.
async fn request_head(tls: &mut Tls) -> io::Result<u32> {
    loop {
        let mut head = [0; 9];
        tls.read_exact(&mut head).await?;
        let [a, b, c, kind, _, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        tls.read_exact(&mut payload).await?;
        if kind == HEADERS {
            return Ok(u32::from_be_bytes(stream));
        }
    }
}

/// Keeps reading until the client goes away.
async fn linger(tls: &mut Tls) {
    let mut block = [0; 4096];
    while tls.read(&mut block).await.is_ok_and(|n_bytes| n_bytes > 0) {}
}

/// What comes of a request to a server that runs `script` at its head.
async fn outcome<F>(script: fn(Tls, u32) -> F, timeout: Duration) -> Result<OutboundResponse, SendError>
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let acceptor = tls_acceptor(&["h2"]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut tls = acceptor.accept(stream).await?;
                tls.read_exact(&mut [0; 24]).await?;
                send(&mut tls, (SETTINGS, 0, 0), &[]).await?;
                let stream = request_head(&mut tls).await?;
                script(tls, stream).await
            });
        }
    });
    let client = tls_client(&[AUTHORITY], "127.0.0.1");
    client.send(within(timeout, post(&format!("https://hooks.test:{port}/")))).await
}

async fn check<F>(script: fn(Tls, u32) -> F, timeout: Duration, expect: FailureClass)
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let error = outcome(script, timeout).await.unwrap_err();
    assert_eq!(error.class(), expect, "{error:?}");
}

#[tokio::test]
async fn a_stream_that_is_reset_is_no_answer() {
    check(
        |mut tls, stream| async move {
            send(&mut tls, (RST_STREAM, 0, stream), &INTERNAL_ERROR.to_be_bytes()).await?;
            linger(&mut tls).await;
            Ok(())
        },
        LONG,
        FailureClass::Protocol,
    )
    .await;
    check(
        |mut tls, stream| async move {
            send(&mut tls, (HEADERS, END_HEADERS, stream), STATUS_200).await?;
            send(&mut tls, (DATA, 0, stream), b"abc").await?;
            send(&mut tls, (RST_STREAM, 0, stream), &INTERNAL_ERROR.to_be_bytes()).await?;
            linger(&mut tls).await;
            Ok(())
        },
        LONG,
        FailureClass::Protocol,
    )
    .await;
}

#[tokio::test]
async fn a_server_that_says_goodbye_is_a_reset() {
    check(
        |mut tls, stream| async move {
            // The request may have been processed: its stream is not beyond the last one.
            let mut payload = stream.to_be_bytes().to_vec();
            payload.extend(11_u32.to_be_bytes());
            send(&mut tls, (GOAWAY, 0, 0), &payload).await?;
            tls.shutdown().await
        },
        LONG,
        FailureClass::Reset,
    )
    .await;
}

#[tokio::test]
async fn heads_without_end_are_cut() {
    check(
        |mut tls, stream| async move {
            send(&mut tls, (HEADERS, 0, stream), STATUS_200).await?;
            // A literal header without indexing: `x: aaaa…`.
            let mut field = vec![0x00, 1, b'x', 100];
            field.extend([b'a'; 100]);
            loop {
                send(&mut tls, (CONTINUATION, 0, stream), &field).await?;
            }
        },
        LONG,
        FailureClass::Protocol,
    )
    .await;
}

#[tokio::test]
async fn bodies_without_end_are_cut_at_the_limit() {
    let response = outcome(
        |mut tls, stream| async move {
            send(&mut tls, (HEADERS, END_HEADERS, stream), STATUS_200).await?;
            loop {
                send(&mut tls, (DATA, 0, stream), &[b'a'; 512]).await?;
            }
        },
        LONG,
    )
    .await
    .unwrap();
    assert_eq!((response.body_head.len(), response.truncated), (1024, true));
}

#[tokio::test]
async fn silence_times_out_and_noise_is_no_answer() {
    check(
        |mut tls, _| async move {
            linger(&mut tls).await;
            Ok(())
        },
        SHORT,
        FailureClass::Timeout,
    )
    .await;
    check(
        |mut tls, stream| async move {
            send(&mut tls, (HEADERS, END_HEADERS, stream), STATUS_200).await?;
            linger(&mut tls).await;
            Ok(())
        },
        SHORT,
        FailureClass::BodyTimeout,
    )
    .await;
    check(
        |mut tls, _| async move {
            tls.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await?;
            tls.flush().await?;
            linger(&mut tls).await;
            Ok(())
        },
        LONG,
        FailureClass::Protocol,
    )
    .await;
}

#[tokio::test]
async fn interim_answers_over_http2_time_out_too() {
    check(
        |mut tls, stream| async move {
            // `:status: 103`, as a literal with the name of the static table.
            let early_hints = [0x08, 3, b'1', b'0', b'3'];
            let mut ticks = tokio::time::interval(Duration::from_millis(5));
            loop {
                send(&mut tls, (HEADERS, END_HEADERS, stream), &early_hints).await?;
                ticks.tick().await;
            }
        },
        SHORT,
        FailureClass::Timeout,
    )
    .await;
}

#[tokio::test]
async fn trailers_come_without_tls_from_the_first_byte_on() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let seen = Arc::new(parking_lot::Mutex::new(HeaderMap::new()));
        let kept = Arc::clone(&seen);
        let service =
            hyper::service::service_fn(move |request: Request<Incoming>| {
                *kept.lock() = request.headers().clone();
                let trailers = HeaderMap::from_iter([(
                    http::HeaderName::from_static("grpc-status"),
                    http::HeaderValue::from_static("5"),
                )]);
                let body = Full::new(Bytes::from_static(b"abc"))
                    .with_trailers(std::future::ready(Some(Ok::<_, std::convert::Infallible>(trailers))));
                std::future::ready(Ok::<_, std::convert::Infallible>(http::Response::new(body)))
            });
        let served = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service);
        drop(served.await);
        seen.lock().clone()
    });
    let client = client();
    let request = post(&format!("http://127.0.0.1:{port}/lab.Lab/Judge"));
    let request = OutboundRequest { target: request.target.with_trailers(), ..request };
    for _ in 0..2 {
        let answer = client.send(within(LONG, request.clone())).await.unwrap();
        assert_eq!((answer.version, &answer.body_head[..]), (Version::HTTP_2, &b"abc"[..]));
        assert_eq!(answer.trailers["grpc-status"], "5");
    }
    drop(client);
    assert_eq!(server.await.unwrap()["te"], "trailers");
}
