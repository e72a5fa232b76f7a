//! A stand-in for an S3 service: checks signatures, keeps objects, fails on demand.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use parking_lot::Mutex;
use ring::digest;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::rig::Peer;
use crate::sigv4::Request;

pub(crate) const SECRET: &str = "canary/secret+key";
pub(crate) const REGION: &str = "eu-test-1";

#[derive(Default)]
pub(crate) struct Objects {
    /// By path; with their media types.
    pub(crate) stored: BTreeMap<String, (String, Vec<u8>)>,
    /// What the next request is answered with instead: the answer's status line, its headers and its body.
    pub(crate) next_answer: Option<String>,
    /// `X-Amz-Date` of the latest request.
    pub(crate) signed_at: Option<String>,
}

pub(crate) struct ObjectStore {
    pub(crate) peer: Peer,
    pub(crate) objects: Arc<Mutex<Objects>>,
}

impl ObjectStore {
    pub(crate) async fn start() -> Self {
        let objects: Arc<Mutex<Objects>> = Arc::default();
        let shared = Arc::clone(&objects);
        let peer = Peer::start(move |stream| serve(stream, Arc::clone(&shared))).await;
        Self { peer, objects }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.peer.port)
    }
}

async fn serve(stream: TcpStream, objects: Arc<Mutex<Objects>>) {
    let mut stream = BufReader::new(stream);
    while let Some((request, body)) = read_request(&mut stream).await {
        let answer = answer(&request, body, &mut objects.lock());
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn read_request(stream: &mut BufReader<TcpStream>) -> Option<(Request, Vec<u8>)> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    let mut words = line.split(' ');
    let (method, uri) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (path, query) = uri.split_once('?').unwrap_or((&uri, ""));
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let mut body = vec![0; headers.get("content-length")?.parse().ok()?];
    stream.read_exact(&mut body).await.ok()?;
    Some((Request { method, path: path.to_owned(), query: query.to_owned(), headers }, body))
}

fn answer(request: &Request, body: Vec<u8>, objects: &mut Objects) -> String {
    if let Some(answer) = objects.next_answer.take() {
        return answer;
    }
    objects.signed_at = request.param("X-Amz-Date");
    if request.method != "PUT" || !request.is_signed_by(SECRET, REGION) {
        let echo = request.headers.values().cloned().collect::<Vec<_>>().join(" ");
        return error(
            "403 Forbidden",
            "SignatureDoesNotMatch",
            &format!("{} {echo} {SECRET}", request.query),
        );
    }
    let sum = request.headers.get("x-amz-checksum-sha256");
    if sum.is_some_and(|sum| *sum != BASE64.encode(digest::digest(&digest::SHA256, &body))) {
        return error("400 Bad Request", "BadDigest", "");
    }
    let only_new = request.headers.get("if-none-match").is_some_and(|value| value == "*");
    if only_new && objects.stored.contains_key(&request.path) {
        return error("412 Precondition Failed", "PreconditionFailed", "");
    }
    let content_type = request.headers.get("content-type").cloned().unwrap_or_default();
    objects.stored.insert(request.path.clone(), (content_type, body));
    "HTTP/1.1 200 OK\r\netag: \"e7a6\"\r\ncontent-length: 0\r\n\r\n".to_owned()
}

/// An error document as S3 writes it.
pub(crate) fn error(status: &str, code: &str, message: &str) -> String {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    );
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}
