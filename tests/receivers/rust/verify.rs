//! Verifies webhooks signed by Standard Webhooks, versions v1 and v1a, with the crates `base64` and `ring`.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use ring::{hmac, signature};

/// How far a timestamp may be from now, either way, in seconds.
const TOLERANCE_S: u64 = 300;

/// A call as it arrived: three headers, empty where one is missing, and the body's bytes.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The header `webhook-id`.
    pub id: &'a str,
    /// The header `webhook-timestamp`.
    pub timestamp: &'a str,
    /// The header `webhook-signature`.
    pub signatures: &'a str,
    /// The body as it came over the wire.
    pub body: &'a [u8],
}

/// Why a call is not to be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// A header is missing or malformed.
    Headers,
    /// The timestamp is too old, or too far in the future.
    Timestamp,
    /// No signature fits.
    Signature,
}

/// Verifies a call. `secret` is `whsec_…`, or `whpk_…` for v1a; `now` is in Unix seconds.
///
/// # Errors
///
/// Says what is wrong with the call. A secret that is not base64 fits nothing.
pub fn verify(secret: &str, call: &Call<'_>, now: u64) -> Result<(), Refused> {
    // A full stop in the id would let the same bytes be read as another id, timestamp and body.
    let is_id =
        (1..=256).contains(&call.id.len()) && call.id.bytes().all(|b| b.is_ascii_graphic() && b != b'.');
    let is_digits =
        (1..=15).contains(&call.timestamp.len()) && call.timestamp.bytes().all(|b| b.is_ascii_digit());
    if !is_id || !is_digits || call.signatures.is_empty() {
        return Err(Refused::Headers);
    }
    let claimed: u64 = call.timestamp.parse().map_err(|_| Refused::Headers)?;
    if claimed.abs_diff(now) > TOLERANCE_S {
        return Err(Refused::Timestamp);
    }
    // Signed is the text of the headers, not a number read from it and printed again.
    let signed = [call.id.as_bytes(), b".", call.timestamp.as_bytes(), b".", call.body].concat();
    let fits = |entry: &str| fits(secret, &signed, entry).unwrap_or(false);
    if call.signatures.split(' ').any(fits) { Ok(()) } else { Err(Refused::Signature) }
}

/// Tells whether one entry of the header is a signature under this secret; `None` where one of them does not decode.
fn fits(secret: &str, signed: &[u8], entry: &str) -> Option<bool> {
    let (version, encoded) = entry.split_once(',')?;
    let given = BASE64.decode(encoded).ok()?;
    match (version, secret.strip_prefix("whpk_")) {
        ("v1", None) => {
            let key = BASE64.decode(secret.strip_prefix("whsec_").unwrap_or(secret)).ok()?;
            // Compares in constant time.
            Some(hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, &key), signed, &given).is_ok())
        }
        ("v1a", Some(key)) => {
            let key = signature::UnparsedPublicKey::new(&signature::ED25519, BASE64.decode(key).ok()?);
            Some(key.verify(signed, &given).is_ok())
        }
        _ => None,
    }
}
