//! Dialling: what is vetted, what each failure is called, and whose name TLS verifies.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use futures_util::FutureExt as _;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use trunkline_connect::{BoxFuture, EgressPolicy, Resolver, client_tls};

use super::*;

const AUTHORITY: &[u8] = include_bytes!("../../../connect/src/client/fixtures/authority.der");
const LEAF: &[u8] = include_bytes!("../../../connect/src/client/fixtures/hooks.test.der");
const LEAF_KEY: &[u8] = include_bytes!("../../../connect/src/client/fixtures/hooks.test.key.der");

struct Names(HashMap<&'static str, Vec<&'static str>>);

impl Resolver for Names {
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        let answers = self.0.get(host).map(|texts| texts.iter().map(|text| text.parse().unwrap()).collect());
        Box::pin(async move { answers.ok_or_else(|| io::Error::other("no such name")) })
    }
}

fn dialer(
    names: &[(&'static str, &[&'static str])],
    egress: EgressPolicy,
    roots: &[&'static [u8]],
) -> Dialer {
    let roots: Vec<_> = roots.iter().map(|der| CertificateDer::from(*der)).collect();
    let names = Names(names.iter().map(|(name, texts)| (*name, texts.to_vec())).collect());
    let limit = Duration::from_secs(5);
    let guarded = trunkline_connect::Dialer::new(egress, Arc::new(names), limit, limit);
    Dialer::new(guarded, client_tls(&roots, None).unwrap())
}

fn loopback() -> EgressPolicy {
    EgressPolicy::new(vec!["127.0.0.0/8".parse().unwrap()])
}

fn place(host: &str, port: u16) -> Place {
    Place { host: host.to_owned(), port }
}

async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

async fn fail(dialer: &Dialer, host: &str, port: u16, security: Security) -> SinkError {
    dialer.dial(&place(host, port), security).await.map(drop).unwrap_err()
}

#[tokio::test]
async fn only_vetted_addresses_are_connected_to() {
    let (listener, port) = listen().await;
    let names: &[(&'static str, &[&'static str])] = &[
        ("mixed.test", &["10.0.0.1", "169.254.169.254", "::ffff:127.0.0.1"]),
        ("inner.test", &["10.0.0.1", "127.0.0.1"]),
        ("empty.test", &[]),
    ];
    let open = dialer(names, loopback(), &[]);
    drop(open.dial(&place("mixed.test", port), Security::Plain).await.unwrap());
    listener.accept().await.unwrap();
    let shut = dialer(names, EgressPolicy::default(), &[]);
    for host in ["inner.test", "127.0.0.1", "::1", "::ffff:127.0.0.1", "169.254.169.254"] {
        let error = fail(&shut, host, port, Security::Plain).await;
        assert_eq!(error.class(), "blocked", "{host}");
        assert!(error.to_string().contains("egress rule"), "{error}");
    }
    assert_eq!(fail(&shut, "empty.test", port, Security::Plain).await.class(), "dns");
    assert_eq!(fail(&shut, "gone.test", port, Security::Plain).await.class(), "dns");
    assert!(listener.accept().now_or_never().is_none(), "a blocked address was connected to");
}

#[tokio::test]
async fn failures_to_connect_have_classes() {
    let (listener, port) = listen().await;
    drop(listener);
    let dialer = dialer(&[], loopback(), &[]);
    assert_eq!(fail(&dialer, "127.0.0.1", port, Security::Plain).await.class(), "connect_refused");
}

#[tokio::test]
async fn plaintext_is_refused_where_the_policy_asks_for_tls() {
    let (listener, port) = listen().await;
    let dialer = dialer(&[], loopback().with_https_only(), &[]);
    let error = fail(&dialer, "127.0.0.1", port, Security::Plain).await;
    assert_eq!((error.class(), matches!(error, SinkError::PlaintextRefused)), ("blocked", true));
    drop(dialer.dial(&place("127.0.0.1", port), Security::TlsAfterGreeting).await.unwrap());
    listener.accept().await.unwrap();
}

/// Accepts one TLS connection, tells the name the client asked for, echoes a byte.
async fn tls_server(listener: TcpListener) -> Option<String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(LEAF)], PrivatePkcs8KeyDer::from(LEAF_KEY).into())
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let mut tls = acceptor.accept(listener.accept().await.unwrap().0).await.ok()?;
    let name = tls.get_ref().1.server_name().map(str::to_owned);
    let byte = tls.read_u8().await.ok()?;
    tls.write_u8(byte).await.ok()?;
    tls.flush().await.ok()?;
    name
}

#[tokio::test]
async fn tls_verifies_and_sends_the_name_not_the_address() {
    let names: &[(&'static str, &[&'static str])] =
        &[("hooks.test", &["127.0.0.1"]), ("other.test", &["127.0.0.1"])];
    let dialer_with = |roots: &[&'static [u8]]| dialer(names, loopback(), roots);

    let (listener, port) = listen().await;
    let server = tokio::spawn(tls_server(listener));
    let mut wire = dialer_with(&[AUTHORITY]).dial(&place("hooks.test", port), Security::Tls).await.unwrap();
    wire.write_u8(7).await.unwrap();
    wire.flush().await.unwrap();
    assert_eq!(wire.read_u8().await.unwrap(), 7);
    assert_eq!(server.await.unwrap().as_deref(), Some("hooks.test"));

    for (host, roots) in [("other.test", &[AUTHORITY][..]), ("127.0.0.1", &[AUTHORITY]), ("hooks.test", &[])]
    {
        let (listener, port) = listen().await;
        let server = tokio::spawn(tls_server(listener));
        assert_eq!(fail(&dialer_with(roots), host, port, Security::Tls).await.class(), "tls", "{host}");
        server.await.unwrap();
    }
}
