//! The certificate that the hub shows to an endpoint's server (mutual TLS). The key is written, never read back.

use serde::{Deserialize, Serialize};
use trunkline_connect::{ClientIdentity, IdentityError};
use trunkline_model::{FieldError, Secret, mask};

use super::place::empty_mask;
use super::secrets::{expose, wrap};

/// A certificate chain with its key, in PEM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientCertificate {
    /// The chain, that of the client first.
    pub certificate: String,
    /// The private key.
    #[serde(serialize_with = "expose", deserialize_with = "wrap")]
    pub key: Secret,
}

impl ClientCertificate {
    /// Puts the stored key in place of a mask that came back.
    #[must_use]
    pub(super) fn unmasked(mut self, before: Option<&Self>) -> Self {
        if let Some(before) = before.filter(|_| self.key.expose() == mask::MASK) {
            self.key = before.key.clone();
        }
        self
    }

    /// Names what is wrong with it. Pointers begin with `/tls`.
    pub fn check(&self) -> Vec<FieldError> {
        if self.key.expose() == mask::MASK {
            return vec![empty_mask("/tls/key")];
        }
        let faults = self.identity().err().unwrap_or_default();
        faults
            .into_iter()
            .map(|fault| FieldError::new(pointer(fault), "invalid", fault.to_string()))
            .collect()
    }

    /// Reads chain and key.
    ///
    /// # Errors
    /// Every part that is wrong.
    pub fn identity(&self) -> Result<ClientIdentity, Vec<IdentityError>> {
        ClientIdentity::from_pem(&self.certificate, self.key.expose())
    }
}

fn pointer(fault: IdentityError) -> &'static str {
    match fault {
        IdentityError::Certificate => "/tls/certificate",
        IdentityError::Key | IdentityError::Mismatch => "/tls/key",
    }
}
