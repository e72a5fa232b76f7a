//! TLS towards servers: whom we trust, and as whom we show ourselves. Used by the HTTP client, by `sinks`, and by `dispatch`
//! when an endpoint with a client certificate is saved or loaded.
//!
//! Only whole identities exist: every certificate of the chain parses, the key is usable, and it belongs to the first
//! certificate. Whether a certificate has expired is the server's to judge; [`Validity`] is for people. Neither `Debug`
//! nor an error shows the key.

use std::fmt;
use std::sync::Arc;

use ring::digest;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig as TlsConfig, RootCertStore};

use self::certificate::validity_of;
pub use self::certificate::{RsaCertificate, Validity};
use crate::client::ClientError;

mod certificate;

/// The most certificates of a chain.
pub const MAX_CHAIN: usize = 10;

/// Certificates of authorities that are trusted besides the public ones. Cheap to clone.
#[derive(Clone)]
pub struct Authorities(Arc<[CertificateDer<'static>]>);

impl Authorities {
    /// Reads 1 to [`MAX_CHAIN`] certificates; `None` when one of them cannot be trusted as an authority.
    pub fn from_pem(pem: &str) -> Option<Self> {
        let (certificates, _) = read_chain(pem)?;
        let mut roots = RootCertStore::empty();
        let all_fit = certificates.iter().all(|certificate| roots.add(certificate.clone()).is_ok());
        all_fit.then(|| Self(certificates.into()))
    }

    /// The certificates, in DER.
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.0
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorities").field("n", &self.0.len()).finish()
    }
}

/// What TLS to one server has of its own.
#[derive(Debug, Clone, Default)]
pub struct OwnTls {
    /// Shown to it.
    pub identity: Option<ClientIdentity>,
    /// Trusted besides the public authorities and those of the client.
    pub authorities: Option<Authorities>,
}

impl OwnTls {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.identity.is_none() && self.authorities.is_none()
    }

    /// Equal for equal ones.
    pub(crate) fn fingerprint(&self) -> [u8; digest::SHA256_OUTPUT_LEN] {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(&self.identity.as_ref().map(ClientIdentity::fingerprint).unwrap_or_default());
        for certificate in self.authorities.iter().flat_map(|authorities| authorities.0.iter()) {
            context.update(&(certificate.len() as u64).to_be_bytes());
            context.update(certificate);
        }
        let mut fingerprint = [0; digest::SHA256_OUTPUT_LEN];
        fingerprint.copy_from_slice(context.finish().as_ref());
        fingerprint
    }
}

/// TLS settings that trust the public authorities and `extra_roots`, and show `identity` to servers that ask for one.
///
/// # Errors
/// When an extra root is not usable.
pub fn client_tls(
    extra_roots: &[CertificateDer<'static>],
    identity: Option<&ClientIdentity>,
) -> Result<TlsConfig, ClientError> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for (index, root) in extra_roots.iter().enumerate() {
        roots.add(root.clone()).map_err(|source| ClientError::ExtraRoot { index, source })?;
    }
    let config = TlsConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(ClientError::Tls)?
        .with_root_certificates(roots);
    Ok(match identity {
        None => config.with_no_client_auth(),
        Some(identity) => {
            let shown = Arc::clone(&identity.0.shown);
            config.with_client_cert_resolver(shown)
        }
    })
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// A certificate chain with its private key. Cheap to clone; equal ones have equal fingerprints.
#[derive(Clone)]
pub struct ClientIdentity(Arc<Identity>);

struct Identity {
    shown: Arc<SingleCertAndKey>,
    validity: Validity,
    fingerprint: [u8; digest::SHA256_OUTPUT_LEN],
}

/// Why a certificate and a key are no identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// No PEM text with certificates.
    #[error("must be PEM text with 1 to {MAX_CHAIN} certificates, that of the client first")]
    Certificate,
    /// No PEM text with a key that can sign.
    #[error("must be PEM text with one unencrypted private key: RSA, P-256, P-384 or Ed25519")]
    Key,
    /// The key is another certificate's.
    #[error("does not belong to the first certificate")]
    Mismatch,
}

impl ClientIdentity {
    /// Reads a chain and a key from PEM text.
    ///
    /// # Errors
    /// Every part that is wrong, the certificate's first.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, Vec<IdentityError>> {
        let chain = read_chain(certificate);
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).ok();
        let signer =
            key.as_ref().and_then(|key| provider().key_provider.load_private_key(key.clone_key()).ok());
        let (Some((chain, validity)), Some(key), Some(signer)) = (&chain, &key, signer.clone()) else {
            let certificate = chain.is_none().then_some(IdentityError::Certificate);
            let key = signer.is_none().then_some(IdentityError::Key);
            return Err(certificate.into_iter().chain(key).collect());
        };
        let mut context = digest::Context::new(&digest::SHA256);
        for part in chain.iter().map(AsRef::as_ref).chain([key.secret_der()]) {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut fingerprint = [0; digest::SHA256_OUTPUT_LEN];
        fingerprint.copy_from_slice(context.finish().as_ref());
        let certified = CertifiedKey::new(chain.clone(), signer);
        certified.keys_match().map_err(|_| vec![IdentityError::Mismatch])?;
        let shown = Arc::new(SingleCertAndKey::from(certified));
        Ok(Self(Arc::new(Identity { shown, validity: *validity, fingerprint })))
    }

    /// When its own certificate, the first of the chain, holds.
    pub fn validity(&self) -> Validity {
        self.0.validity
    }

    pub(crate) fn fingerprint(&self) -> [u8; digest::SHA256_OUTPUT_LEN] {
        self.0.fingerprint
    }
}

impl fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientIdentity").field("validity", &self.0.validity).finish_non_exhaustive()
    }
}

fn read_chain(pem: &str) -> Option<(Vec<CertificateDer<'static>>, Validity)> {
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().ok()?;
    if !(1..=MAX_CHAIN).contains(&chain.len()) {
        return None;
    }
    let mut validities = chain.iter().map(|certificate| validity_of(certificate));
    let own = validities.next()??;
    validities.all(|validity| validity.is_some()).then_some((chain, own))
}

#[cfg(test)]
mod tests;
