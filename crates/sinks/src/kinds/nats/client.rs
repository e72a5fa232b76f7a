//! One connection to a NATS server after its handshake: a writer and a reader task that end together.
//!
//! ```text
//! request ─┐                      ┌─ acknowledgement by its subject (JetStream)
//! publish ─┴► queue ► writer ► server ► reader ─┤
//!                                 └─ PONG, in the order of our PINGs (core)
//! ```
//!
//! A frame is queued whole, so an abandoned send never leaves half of one behind. In core mode a PING follows each message:
//! its PONG says that the server has processed what came before. Errors of the server come as texts; one about permission
//! names the subject and fails the sends to it, every other one ends the connection, as it does at the server.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufWriter, ReadHalf, WriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use trunkline_connect::SendError;
use trunkline_model::Secret;

use super::handshake::{Handshake, Session, closed, not_nats, server_error};
use super::protocol::{self, Info, Message, ServerOp, next_op};
use crate::SinkError;
use crate::kept::Link;
use crate::network::{Allowance, Wire};

/// Frames that wait for the socket; senders wait beyond that.
const QUEUE_LEN: usize = 64;
const NO_RESPONDERS: u16 = 503;

/// What came back for a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    /// The server has processed it.
    Taken,
    /// Somebody answered.
    Payload(Bytes),
    /// Nobody listens on the subject.
    NoResponders,
}

/// An open connection.
pub(super) struct Client {
    queue: mpsc::Sender<Frame>,
    state: Arc<State>,
    allowance: Arc<Allowance>,
    inbox: String,
    n_requests: AtomicU64,
    tasks: [AbortHandle; 2],
}

struct Frame {
    head: Vec<u8>,
    body: Bytes,
    tail: &'static [u8],
}

/// What reader, writer and senders share.
struct State {
    waiting: Mutex<Waiting>,
    is_over: AtomicBool,
    max_payload: AtomicUsize,
    secrets: Vec<Secret>,
}

#[derive(Default)]
struct Waiting {
    /// Requests by the last token of their reply subject.
    requests: HashMap<u64, Waiter>,
    /// Messages with a PING behind them.
    pings: VecDeque<Waiter>,
    /// Why the connection ended.
    end: Option<SinkError>,
}

struct Waiter {
    subject: String,
    answer: oneshot::Sender<Result<Reply, SinkError>>,
}

impl Client {
    /// Connects, encrypts, logs in.
    pub(super) async fn open(handshake: Handshake<'_>) -> Result<Self, SinkError> {
        let mut session = Session::start(&handshake).await?;
        let inbox = inbox()?;
        session.log_in(&handshake, &inbox).await?;
        let Session { wire, received, info, .. } = session;
        let allowance = wire.allowance();
        let state = Arc::new(State {
            waiting: Mutex::default(),
            is_over: AtomicBool::new(info.ldm),
            max_payload: AtomicUsize::new(info.max_payload),
            secrets: handshake.login.secrets().into_iter().cloned().collect(),
        });
        let (queue, frames) = mpsc::channel(QUEUE_LEN);
        let (read, write) = tokio::io::split(wire);
        let writer = tokio::spawn(write_frames(write, frames, Arc::clone(&state)));
        let reader = tokio::spawn(read_ops(read, received, queue.clone(), Arc::clone(&state)));
        let tasks = [writer.abort_handle(), reader.abort_handle()];
        Ok(Self { queue, state, allowance, inbox, n_requests: AtomicU64::new(0), tasks })
    }

    /// Publishes and waits for an answer to the reply subject.
    pub(super) async fn request(
        &self,
        subject: &str,
        headers: &[u8],
        body: Bytes,
    ) -> Result<Reply, SinkError> {
        self.check_size(headers.len() + body.len())?;
        let number = self.n_requests.fetch_add(1, Ordering::Relaxed);
        let reply_to = format!("{}.{number}", self.inbox);
        let head = protocol::publish_head(subject, &reply_to, headers, body.len());
        let frame = Frame { head, body, tail: b"\r\n" };
        let forget = Forget { state: &self.state, number };
        let answer =
            self.send(frame, subject, |waiting, waiter| drop(waiting.requests.insert(number, waiter)));
        let answer = answer.await?;
        let replied = answer.await.unwrap_or(Err(SendError::Timeout.into()));
        drop(forget);
        replied
    }

    /// Publishes and waits until the server has processed it.
    pub(super) async fn publish(
        &self,
        subject: &str,
        headers: &[u8],
        body: Bytes,
    ) -> Result<Reply, SinkError> {
        self.check_size(headers.len() + body.len())?;
        let head = protocol::publish_head(subject, "", headers, body.len());
        let frame = Frame { head, body, tail: b"\r\nPING\r\n" };
        let answer = self.send(frame, subject, |waiting, waiter| waiting.pings.push_back(waiter)).await?;
        answer.await.unwrap_or(Err(SendError::Timeout.into()))
    }

    fn check_size(&self, size_bytes: usize) -> Result<(), SinkError> {
        let limit = self.state.max_payload.load(Ordering::Relaxed);
        if limit > 0 && size_bytes > limit {
            return Err(SinkError::TooLarge { size_bytes, limit_bytes: Some(limit) });
        }
        Ok(())
    }

    /// Queues a frame and notes who waits for its answer, in one step, so that both are in the same order.
    async fn send(
        &self,
        frame: Frame,
        subject: &str,
        note: impl FnOnce(&mut Waiting, Waiter),
    ) -> Result<oneshot::Receiver<Result<Reply, SinkError>>, SinkError> {
        let place = self.queue.reserve().await.map_err(|_| self.state.end())?;
        let (answer, answered) = oneshot::channel();
        let mut waiting = self.state.waiting.lock();
        if let Some(end) = &waiting.end {
            return Err(end.clone());
        }
        self.allowance.add(0);
        note(&mut waiting, Waiter { subject: subject.to_owned(), answer });
        place.send(frame);
        Ok(answered)
    }
}

impl Link for Client {
    fn is_usable(&self) -> bool {
        !self.state.is_over.load(Ordering::Acquire)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Forgets an abandoned request.
struct Forget<'a> {
    state: &'a State,
    number: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.state.waiting.lock().requests.remove(&self.number);
    }
}

impl State {
    /// Ends the connection: nobody gets an answer any more.
    fn fail(&self, error: &SinkError) {
        self.is_over.store(true, Ordering::Release);
        let mut waiting = self.waiting.lock();
        waiting.end.get_or_insert_with(|| error.clone());
        let requests = std::mem::take(&mut waiting.requests).into_values();
        let pings = std::mem::take(&mut waiting.pings);
        drop(waiting);
        for waiter in requests.chain(pings) {
            drop(waiter.answer.send(Err(error.clone())));
        }
    }

    fn end(&self) -> SinkError {
        self.waiting.lock().end.clone().unwrap_or(SinkError::Internal)
    }

    /// Takes one operation in; the error ends the connection.
    fn take(&self, op: ServerOp) -> Result<(), SinkError> {
        match op {
            ServerOp::Message(message) => self.answer_request(message),
            ServerOp::Pong => self.answer_ping(),
            ServerOp::Info(info) => self.update(&info),
            ServerOp::Err(text) => return self.take_error(&text),
            ServerOp::Ping | ServerOp::Ok => {}
        }
        Ok(())
    }

    fn answer_request(&self, message: Message) {
        let number = message.subject.rsplit('.').next().and_then(|token| token.parse().ok());
        let waiter = number.and_then(|number: u64| self.waiting.lock().requests.remove(&number));
        let reply = match message.status {
            Some(NO_RESPONDERS) => Reply::NoResponders,
            _ => Reply::Payload(message.payload),
        };
        if let Some(waiter) = waiter {
            drop(waiter.answer.send(Ok(reply)));
        }
    }

    fn answer_ping(&self) {
        let waiter = self.waiting.lock().pings.pop_front();
        if let Some(waiter) = waiter {
            drop(waiter.answer.send(Ok(Reply::Taken)));
        }
    }

    fn update(&self, info: &Info) {
        if info.max_payload > 0 {
            self.max_payload.store(info.max_payload, Ordering::Relaxed);
        }
        if info.ldm {
            self.is_over.store(true, Ordering::Release);
        }
    }

    fn take_error(&self, text: &str) -> Result<(), SinkError> {
        let secrets: Vec<&Secret> = self.secrets.iter().collect();
        let error = server_error(text, &secrets);
        let Some(subject) = refused_subject(text) else { return Err(error) };
        let mut waiting = self.waiting.lock();
        let is_hit = |waiter: &Waiter| waiter.subject == subject;
        let hit: Vec<Waiter> =
            waiting.requests.extract_if(|_, waiter| is_hit(waiter)).map(|(_, waiter)| waiter).collect();
        for waiter in waiting.pings.iter_mut().filter(|waiter| is_hit(waiter)) {
            // Its PONG is still to come and must find a waiter in this place.
            let (deaf, _) = oneshot::channel();
            drop(std::mem::replace(&mut waiter.answer, deaf).send(Err(error.clone())));
        }
        drop(waiting);
        for waiter in hit {
            drop(waiter.answer.send(Err(error.clone())));
        }
        Ok(())
    }
}

/// The subject in `Permissions Violation for Publish to "subject"`.
fn refused_subject(text: &str) -> Option<&str> {
    let (head, rest) = text.split_once('"')?;
    let is_publish = head.to_ascii_lowercase().starts_with("permissions violation for publish");
    rest.split_once('"').map(|(subject, _)| subject).filter(|_| is_publish)
}

async fn write_frames(write: WriteHalf<Wire>, mut frames: mpsc::Receiver<Frame>, state: Arc<State>) {
    let mut write = BufWriter::with_capacity(32 * 1024, write);
    while let Some(frame) = frames.recv().await {
        if let Err(error) = write_frame(&mut write, &frame, frames.is_empty()).await {
            state.fail(&SinkError::of_io(error));
            return;
        }
    }
}

async fn write_frame(
    write: &mut BufWriter<WriteHalf<Wire>>,
    frame: &Frame,
    is_last: bool,
) -> std::io::Result<()> {
    write.write_all(&frame.head).await?;
    write.write_all(&frame.body).await?;
    write.write_all(frame.tail).await?;
    if is_last { write.flush().await } else { Ok(()) }
}

async fn read_ops(
    mut read: ReadHalf<Wire>,
    mut received: BytesMut,
    queue: mpsc::Sender<Frame>,
    state: Arc<State>,
) {
    let error = loop {
        match next_op(&mut received) {
            Ok(Some(op)) => {
                let is_ping = op == ServerOp::Ping;
                if let Err(error) = state.take(op) {
                    break error;
                }
                let pong = Frame { head: protocol::PONG.to_vec(), body: Bytes::new(), tail: b"" };
                if is_ping && queue.send(pong).await.is_err() {
                    return;
                }
            }
            Ok(None) => match read.read_buf(&mut received).await {
                Ok(0) => break closed(),
                Ok(_) => {}
                Err(error) => break SinkError::of_io(error),
            },
            Err(fault) => break not_nats(fault),
        }
    };
    state.fail(&error);
}

/// A subject that nobody else can guess.
fn inbox() -> Result<String, SinkError> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| SinkError::Internal)?;
    Ok(format!("_INBOX.{}", hex::encode(bytes)))
}
