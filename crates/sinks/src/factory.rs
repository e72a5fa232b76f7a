//! Opens sinks, and wraps each with what all kinds share: the check of the id and the total timeout.
//!
//! Settings that are equal, secrets included, share one sink and with it one connection, as long as somebody holds it: a
//! directory that is rebuilt keeps its connections when it opens the new set before it drops the old one.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use rustls::pki_types::CertificateDer;
use tokio::time::{Instant, timeout_at};
use trunkline_connect::{
    BoxFuture, ClientError, EgressPolicy, Resolver, SendError, SystemResolver, Transport, client_tls,
};
use trunkline_model::{Clock, SystemClock};

use crate::SinkError;
use crate::kept::KeepLimits;
use crate::message::{Sink, SinkMessage, SinkReceipt};
use crate::network::Dialer;
use crate::settings::{Deliver, Fingerprint, SinkSettings};

/// The longest id that is sent.
const MAX_ID_BYTES: usize = 256;

/// Where the kind `stdout` writes.
pub type Output = Arc<Mutex<dyn std::io::Write + Send>>;

/// What surrounds the sinks.
pub struct SinkContext {
    /// Decides which addresses connections may reach.
    pub egress: EgressPolicy,
    /// Looks up host names.
    pub resolver: Arc<dyn Resolver>,
    /// Sends HTTP requests; it must keep the same egress policy.
    pub transport: Arc<dyn Transport>,
    /// Tells the time that requests are signed with.
    pub clock: Arc<dyn Clock>,
    /// Where the kind `stdout` writes.
    pub output: Output,
    /// Certificates of authorities trusted besides the public ones, in DER.
    pub extra_roots: Vec<CertificateDer<'static>>,
    /// How long things may take.
    pub limits: SinkLimits,
}

impl SinkContext {
    /// The machine's resolver, clock and standard output, the public authorities and default limits.
    pub fn new(egress: EgressPolicy, transport: Arc<dyn Transport>) -> Self {
        Self {
            egress,
            resolver: Arc::new(SystemResolver::new()),
            transport,
            clock: Arc::new(SystemClock),
            output: Arc::new(Mutex::new(std::io::stdout())),
            extra_roots: Vec::new(),
            limits: SinkLimits::default(),
        }
    }
}

/// How long things may take, besides the timeout of each send.
#[derive(Debug, Clone, Copy)]
pub struct SinkLimits {
    /// For the lookup of a name. Default 5 s.
    pub resolve_timeout: Duration,
    /// For TCP and TLS together, over all addresses of a host. Default 5 s.
    pub connect_timeout: Duration,
    /// For the greeting and login of a protocol. Default 5 s.
    pub handshake_timeout: Duration,
    /// How long an unused connection is kept. Default 5 minutes.
    pub idle_timeout: Duration,
}

impl Default for SinkLimits {
    fn default() -> Self {
        Self {
            resolve_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(5),
            handshake_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_mins(5),
        }
    }
}

/// What kinds make their sinks with.
#[derive(Clone)]
pub(crate) struct Tools {
    pub(crate) dialer: Arc<Dialer>,
    pub(crate) keep: KeepLimits,
    pub(crate) egress: EgressPolicy,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) output: Output,
}

/// Opens sinks.
pub struct SinkFactory {
    tools: Tools,
    opened: Mutex<HashMap<Fingerprint, Weak<Guarded>>>,
}

impl fmt::Debug for SinkFactory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SinkFactory").field("n_opened", &self.opened.lock().len()).finish_non_exhaustive()
    }
}

impl SinkFactory {
    /// A factory.
    ///
    /// # Errors
    /// When an extra root certificate is not usable.
    pub fn new(context: SinkContext) -> Result<Self, ClientError> {
        let limits = context.limits;
        let guarded = trunkline_connect::Dialer::new(
            context.egress.clone(),
            context.resolver,
            limits.resolve_timeout,
            limits.connect_timeout,
        );
        let dialer = Dialer::new(guarded, client_tls(&context.extra_roots, None)?);
        let keep = KeepLimits {
            open: limits.resolve_timeout + limits.connect_timeout + limits.handshake_timeout,
            idle: limits.idle_timeout,
        };
        let tools = Tools {
            dialer: Arc::new(dialer),
            keep,
            egress: context.egress,
            transport: context.transport,
            clock: context.clock,
            output: context.output,
        };
        Ok(Self { tools, opened: Mutex::default() })
    }

    /// The sink for some settings. Does no I/O; the first send connects.
    pub fn open(&self, settings: &SinkSettings) -> Arc<dyn Sink> {
        let mut opened = self.opened.lock();
        if let Some(sink) = opened.get(&settings.fingerprint()).and_then(Weak::upgrade) {
            return sink;
        }
        opened.retain(|_, sink| sink.strong_count() > 0);
        let sink = Arc::new(Guarded { inner: settings.inner().open(&self.tools) });
        opened.insert(settings.fingerprint(), Arc::downgrade(&sink));
        sink
    }

    /// Resolves where the settings lead and judges the addresses without connecting: what a save can find out early.
    ///
    /// # Errors
    /// The failure a send would meet.
    pub async fn vet(&self, settings: &SinkSettings) -> Result<(), SinkError> {
        match settings.inner().place() {
            Some(place) => self.tools.dialer.vetted(&place).await.map(drop),
            None => Ok(()),
        }
    }
}

/// A sink with the checks that all kinds share.
struct Guarded {
    inner: Arc<dyn Deliver>,
}

impl Sink for Guarded {
    fn send(&self, message: SinkMessage) -> BoxFuture<'_, Result<SinkReceipt, SinkError>> {
        Box::pin(async move {
            check_id(&message.id)?;
            let deadline = Instant::now() + message.timeout;
            match timeout_at(deadline, self.inner.deliver(&message, deadline)).await {
                Ok(result) => result,
                Err(_) => Err(SendError::Timeout.into()),
            }
        })
    }
}

/// The id ends up in headers, fields and object keys of many systems.
fn check_id(id: &str) -> Result<(), SinkError> {
    if (1..=MAX_ID_BYTES).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(());
    }
    Err(SinkError::never(format!("the event's id is not 1 to {MAX_ID_BYTES} visible ASCII characters")))
}
