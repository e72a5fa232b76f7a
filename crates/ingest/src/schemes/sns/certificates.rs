//! Amazon's signing certificates: which places are believed, and what has been fetched from them.
//!
//! The router fetches, through the guarded client, bounded in time, size and number; this remembers. Only what parses as a
//! certificate with an RSA key is remembered, at most [`MAX_KEPT`] of a source, each until it expires and no longer than
//! [`KEPT_FOR`], so that what Amazon withdraws is not believed for ever.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use trunkline_connect::RsaCertificate;
use trunkline_model::Timestamp;

/// The most certificates of one source.
const MAX_KEPT: usize = 8;
/// How long one is believed without being looked at again.
const KEPT_FOR: Duration = Duration::from_hours(24);

/// The certificates of one source, by URL.
#[derive(Debug, Default)]
pub struct Certificates(Mutex<HashMap<String, Known>>);

#[derive(Debug, Clone)]
struct Known {
    key: Arc<[u8]>,
    until: Timestamp,
}

impl Certificates {
    /// The public key of the certificate at `url`, if it is known and holds.
    pub(super) fn key(&self, url: &str, now: Timestamp) -> Option<Arc<[u8]>> {
        let known = self.0.lock();
        known.get(url).filter(|known| now < known.until).map(|known| Arc::clone(&known.key))
    }

    /// Remembers what was fetched from `url`; false when it is no certificate that holds now.
    pub(crate) fn learn(&self, url: &str, pem: &[u8], now: Timestamp) -> bool {
        let Some(certificate) = RsaCertificate::from_pem(pem) else { return false };
        let validity = certificate.validity();
        let (from, to) =
            (Timestamp::from_secs(validity.not_before), Timestamp::from_secs(validity.not_after));
        if now < from || now > to {
            return false;
        }
        let until = to.min(now.plus(KEPT_FOR));
        let mut known = self.0.lock();
        known.retain(|_, known| now < known.until);
        if known.len() >= MAX_KEPT
            && let Some(oldest) =
                known.iter().min_by_key(|(_, known)| known.until).map(|(url, _)| url.clone())
        {
            known.remove(&oldest);
        }
        known.insert(url.to_owned(), Known { key: certificate.public_key().into(), until });
        true
    }
}

/// Tells whether a URL leads to SNS itself: https, the scheme's own port, `sns.<region>.amazonaws.com` or `….com.cn`, nobody's
/// name and password.
pub(crate) fn is_amazons(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("https://") else { return false };
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or("");
    let host = authority.strip_suffix(":443").unwrap_or(authority);
    let host = host.strip_suffix(".cn").unwrap_or(host);
    let region = host.strip_prefix("sns.").and_then(|host| host.strip_suffix(".amazonaws.com"));
    url.len() <= 2048
        && url.bytes().all(|b| b.is_ascii_graphic() && b != b'\\')
        && region.is_some_and(|region| {
            region.len() >= 3 && region.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        })
}
