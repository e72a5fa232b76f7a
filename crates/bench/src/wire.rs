//! A keep-alive connection that sends requests built by hand and reads of an answer no more than it has to.
//!
//! For the load generator and for questions to the sink, which must cost less than what they measure. It knows
//! answers with a `content-length` only: all that our own servers give.

use std::net::SocketAddr;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::process;

/// The longest answer.
const MAX_ANSWER: usize = 4 << 20;

/// One connection with the buffer for its answers.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// One answer.
#[derive(Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
}

impl Connection {
    pub(crate) async fn open(addr: SocketAddr) -> std::io::Result<Self> {
        Ok(Self { stream: process::connect(addr).await?, buffer: vec![0; 4096] })
    }

    /// Sends a request and reads its answer.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<Answer<'_>> {
        self.stream.write_all(request).await?;
        let mut n_read = 0;
        loop {
            if n_read == self.buffer.len() {
                anyhow::ensure!(n_read < MAX_ANSWER, "the answer is too long");
                self.buffer.resize(n_read * 2, 0);
            }
            let n = self.stream.read(&mut self.buffer[n_read..]).await?;
            anyhow::ensure!(n > 0, "the server closed the connection");
            n_read += n;
            if let Some((status, start, end)) = measure(&self.buffer[..n_read])?
                && end <= n_read
            {
                return Ok(Answer { status, body: &self.buffer[start..end] });
            }
        }
    }
}

/// Status, begin and end of the body of an answer whose head is complete.
fn measure(answer: &[u8]) -> anyhow::Result<Option<(u16, usize, usize)>> {
    let Some(end_of_head) = find(answer, b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&answer[..end_of_head])?;
    let length = head.split("\r\n").find_map(content_length).map_or(Ok(0), str::parse::<usize>)?;
    let status = head.get(9..12).context("the answer has no status")?.parse()?;
    let start = end_of_head + 4;
    Ok(Some((status, start, start.saturating_add(length))))
}

fn content_length(line: &str) -> Option<&str> {
    const NAME: &str = "content-length:";
    line.get(..NAME.len()).filter(|name| name.eq_ignore_ascii_case(NAME)).map(|_| line[NAME.len()..].trim())
}

/// Where `what` begins in `text`.
pub(crate) fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_measured_by_their_head() {
        let check = |answer: &str, expect| assert_eq!(measure(answer.as_bytes()).ok(), expect, "{answer:?}");
        check("HTTP/1.1 202 Accepted\r\nContent-Len", Some(None));
        check("HTTP/1.1 202 Accepted\r\nContent-Length: 5\r\n\r\nab", Some(Some((202, 44, 49))));
        check("HTTP/1.1 200 OK\r\ncontent-length:0\r\nx: y\r\n\r\n", Some(Some((200, 43, 43))));
        check("HTTP/1.1 204 No Content\r\n\r\n", Some(Some((204, 27, 27))));
        check("HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n", None);
        check("HTTP/1.1\r\n\r\n", None);
    }
}
