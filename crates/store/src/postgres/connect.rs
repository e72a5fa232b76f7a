//! Connections to the server: URL, TLS, session settings, prepared statements, and restraint while it is away.
//!
//! One [`Connector`] serves the pool, the appenders and the listener. While the server cannot be reached, attempts are
//! spaced by a growing pause and everybody else is told so at once; one line is logged when the trouble begins, one
//! every ten seconds while it lasts, one when it is over. A connection that is open and silent is given up after a while:
//! whatever lies between may have forgotten it, and nobody else would ever notice.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres::{Client, Config, Connection, Socket, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::fault::Fault;
use crate::error::{Cause, OpenError};

/// The pause after the first failed attempt; doubles with each.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause between attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How often a lasting trouble is logged.
const LOG_SPACING: Duration = Duration::from_secs(10);
/// How long a connection may take to be made, or an append to be answered.
///
/// Above the 15 s after which the server ends a transaction whose hub has vanished, below the 30 s of an API request.
pub(super) const SILENCE: Duration = Duration::from_secs(20);
/// The same for any other commit or query: some delete or count a great many rows.
pub(super) const LONG_SILENCE: Duration = Duration::from_mins(1);
/// How many prepared statements one connection keeps.
const CACHE_LIMIT: usize = 512;

/// What every connection is set to.
///
/// Acknowledged means durable, whatever the server's default is. A hub that vanished inside a transaction must not hold
/// its locks for long. Plans are kept on indexes: they are cached while tables grow from nothing.
const SESSION: &str = "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED; \
     SET idle_in_transaction_session_timeout = '15s'; SET jit = off; SET enable_seqscan = off; \
     SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";

type Driver = Connection<Socket, <MakeRustlsConnect as tokio_postgres::tls::MakeTlsConnect<Socket>>::Stream>;

/// Makes connections to one server, or to whichever of several takes writes.
pub(super) struct Connector {
    config: Config,
    tls: MakeRustlsConnect,
    trouble: Mutex<Trouble>,
}

#[derive(Default)]
struct Trouble {
    n_failures: u32,
    retry_at: Option<Instant>,
    logged_at: Option<Instant>,
}

impl Connector {
    /// Reads the URL. No connection is made yet.
    pub(super) fn new(url: &str) -> Result<Self, OpenError> {
        let refused = |source: Cause| OpenError::Connect(source);
        let Url { text, verify, root_file } = Url::read(url);
        let mut config: Config =
            text.parse().map_err(|source: tokio_postgres::Error| refused(source.into()))?;
        if config.get_application_name().is_none() {
            config.application_name("trunkline");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(Duration::from_secs(5));
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(Duration::from_secs(10));
        }
        if config.get_hosts().len() > 1 && config.get_target_session_attrs() == TargetSessionAttrs::Any {
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        if verify.is_none() && config.get_hosts().iter().all(is_this_machine) {
            config.ssl_mode(SslMode::Disable);
        }
        let tls = tls(verify.unwrap_or(Verify::No), root_file.as_deref()).map_err(refused)?;
        Ok(Self { config, tls, trouble: Mutex::default() })
    }

    /// Makes a connection whose traffic a task of the runtime drives.
    pub(super) async fn session(&self) -> Result<Session, Cause> {
        let (client, driver) = self.raw().await?;
        let driver = tokio::spawn(async move {
            // The error reaches whoever waits for an answer on this connection.
            if let Err(error) = driver.await {
                tracing::debug!(error = %error, "connection to PostgreSQL ended");
            }
        });
        let session = Session { client, driver: driver.abort_handle(), statements: Mutex::default() };
        let set = async { Ok(session.client.batch_execute(SESSION).await?) };
        match session.within(SILENCE, set).await {
            Ok(()) => Ok(session),
            Err(fault) => Err(fault.into_commit_error().into()),
        }
    }

    /// Makes a connection that the caller drives.
    pub(super) async fn raw(&self) -> Result<(Client, Driver), Cause> {
        if self.trouble.lock().retry_at.is_some_and(|retry_at| Instant::now() < retry_at) {
            return Err("the server could not be reached a moment ago".into());
        }
        let connecting = tokio::time::timeout(SILENCE, self.config.connect(self.tls.clone()));
        let connected: Result<_, Cause> = match connecting.await {
            Ok(connected) => connected.map_err(Cause::from),
            Err(_) => Err("the server did not answer in time".into()),
        };
        match connected {
            Ok(connected) => {
                let trouble = std::mem::take(&mut *self.trouble.lock());
                if trouble.n_failures > 0 {
                    tracing::info!(n_failures = trouble.n_failures, "connected to PostgreSQL again");
                }
                Ok(connected)
            }
            Err(error) => {
                self.note_failure(&*error);
                Err(error)
            }
        }
    }

    fn note_failure(&self, error: &(dyn std::error::Error + 'static)) {
        let now = Instant::now();
        let mut trouble = self.trouble.lock();
        let pause = FIRST_PAUSE.saturating_mul(1 << trouble.n_failures.min(10)).min(LONGEST_PAUSE);
        trouble.n_failures += 1;
        trouble.retry_at = Some(now + pause);
        if trouble.logged_at.is_none_or(|logged_at| now >= logged_at + LOG_SPACING) {
            trouble.logged_at = Some(now);
            let cause = error.source().map(ToString::to_string);
            tracing::warn!(error = %error, cause, n_failures = trouble.n_failures, "cannot connect to PostgreSQL");
        }
    }
}

/// One connection with the statements prepared on it.
pub(super) struct Session {
    pub(super) client: Client,
    driver: AbortHandle,
    statements: Mutex<HashMap<String, Statement>>,
}

impl Session {
    /// Gives the prepared form of a statement.
    pub(super) async fn prepare(&self, sql: &str) -> Result<Statement, tokio_postgres::Error> {
        if let Some(statement) = self.statements.lock().get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(sql).await?;
        let mut statements = self.statements.lock();
        if statements.len() >= CACHE_LIMIT {
            statements.clear();
        }
        statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    /// Waits for an exchange with the server, and closes the connection when that takes too long.
    pub(super) async fn within<T>(
        &self,
        limit: Duration,
        exchange: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        let Ok(done) = tokio::time::timeout(limit, exchange).await else {
            tracing::warn!("a connection to PostgreSQL fell silent and was given up");
            self.driver.abort();
            return Err(Fault::Silent);
        };
        done
    }

    /// Ends whatever transaction is open after a failure; tells whether the connection can be used again.
    pub(super) async fn reset(&self, fault: &Fault) -> bool {
        if fault.is_stale_plan() {
            self.statements.lock().clear();
        }
        // The connection of a fault like this is on its way out.
        !matches!(fault, Fault::Silent)
            && !self.client.is_closed()
            && self.client.batch_execute("ROLLBACK").await.is_ok()
    }
}

/// How far the server's certificate is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verify {
    /// Encrypts without knowing with whom, as `prefer` means.
    No,
    /// The chain and the name.
    Full,
}

/// A URL with the parts that tokio-postgres does not know taken out.
struct Url {
    text: String,
    verify: Option<Verify>,
    root_file: Option<String>,
}

impl Url {
    fn read(url: &str) -> Self {
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let (mut verify, mut root_file, mut kept) = (None, None, Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("sslmode", "require" | "verify-ca" | "verify-full")) => {
                    verify = Some(Verify::Full);
                    kept.push("sslmode=require");
                }
                Some(("sslmode", _)) => {
                    verify = Some(Verify::No);
                    kept.push(pair);
                }
                Some(("sslrootcert", path)) => root_file = Some(path.replace("%2F", "/").replace("%2f", "/")),
                _ => kept.push(pair),
            }
        }
        let text = if kept.is_empty() { base.to_owned() } else { format!("{base}?{}", kept.join("&")) };
        Self { text, verify, root_file }
    }
}

fn is_this_machine(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    }
}

fn tls(verify: Verify, root_file: Option<&str>) -> Result<MakeRustlsConnect, Cause> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let config = match verify {
        Verify::No => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
            .with_no_client_auth(),
        Verify::Full => {
            let mut roots = RootCertStore::empty();
            match root_file {
                None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
                Some(path) => {
                    for certificate in CertificateDer::pem_file_iter(path)? {
                        roots.add(certificate?)?;
                    }
                }
            }
            builder.with_root_certificates(roots).with_no_client_auth()
        }
    };
    Ok(MakeRustlsConnect::new(config))
}

/// Takes any certificate: what `sslmode=prefer` promises is a cipher, not an identity.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_choose_hosts_and_encryption() {
        let several = Connector::new("postgres://u:p@db1:5432,db2:5433/hub").unwrap();
        assert_eq!(several.config.get_hosts().len(), 2);
        assert_eq!(several.config.get_target_session_attrs(), TargetSessionAttrs::ReadWrite);
        assert_eq!(several.config.get_ssl_mode(), SslMode::Prefer);
        let strict = Connector::new("postgres://db/hub?sslmode=verify-full").unwrap();
        assert_eq!(strict.config.get_ssl_mode(), SslMode::Require);
        let local = Connector::new("postgres://127.0.0.1/hub").unwrap();
        assert_eq!(local.config.get_ssl_mode(), SslMode::Disable);
        let asked = Connector::new("postgres://localhost/hub?sslmode=require").unwrap();
        assert_eq!(asked.config.get_ssl_mode(), SslMode::Require);
        assert!(Connector::new("postgres://db/hub?sslmode=require&sslrootcert=/no/such/file").is_err());
        assert!(Connector::new("postgres://db:port/hub").is_err());
    }
}
