//! The scheme `hmac`: a MAC over a template of id, timestamp and body, sent in a header. Fits most providers that sign
//! with a shared secret.
//!
//! How repeats are recognised:
//! - With an id header: by that id. If the template signs it, nobody can change it; if not, it is as good as the
//!   provider's word.
//! - Without one, but with a signed timestamp: by a digest of timestamp and body. Two calls with the same signed bytes
//!   are a repeat, whatever else they carry.
//! - With neither: not at all. Two equal bodies may well be two events, and losing one would be worse than taking one
//!   twice.

use std::time::Duration;

use http::header::HeaderName;
use ring::digest::{self, SHA256};
use ring::hmac::{Context, HMAC_SHA256, HMAC_SHA512};
use trunkline_config::{
    HmacAlgorithm, HmacSettings, KeyEncoding, Secret, SignatureEncoding, SignedPart, SignedTemplate,
};
use trunkline_model::Timestamp;

use super::decode::{self, Candidate};
use super::keys::MacKeys;
use super::window::{Window, any_time};
use super::{Call, InvalidScheme, Refusal, Scheme, Verified, header_name, id_text, required};

#[cfg(test)]
mod tests;

/// The most lines of the signature header that are looked at.
const MAX_LINES: usize = 4;

/// Verifies calls with a configurable MAC.
pub struct Hmac {
    header: HeaderName,
    prefix: Vec<u8>,
    encoding: SignatureEncoding,
    signed: SignedTemplate,
    signs_timestamp: bool,
    timestamp_header: Option<HeaderName>,
    id_header: Option<HeaderName>,
    keys: MacKeys,
    window: Window,
}

/// What the template's placeholders stand for in one call.
struct Fields<'a> {
    id: &'a [u8],
    timestamp: &'a [u8],
    body: &'a [u8],
}

impl Hmac {
    /// Prepares the keys and the template.
    pub fn new(
        settings: &HmacSettings,
        secrets: &[Secret],
        tolerance: Duration,
    ) -> Result<Self, InvalidScheme> {
        let keys: Vec<Vec<u8>> = secrets
            .iter()
            .map(|secret| decode_key(secret.expose(), settings.key_encoding))
            .collect::<Result<_, _>>()?;
        if keys.is_empty() {
            return Err(InvalidScheme::Missing);
        }
        let algorithm = match settings.algorithm {
            HmacAlgorithm::Sha256 => HMAC_SHA256,
            HmacAlgorithm::Sha512 => HMAC_SHA512,
        };
        Ok(Self {
            header: header_name(&settings.header)?,
            prefix: settings.prefix.clone().into_bytes(),
            encoding: settings.encoding,
            signed: settings.signed.clone(),
            signs_timestamp: settings.signed.contains(&SignedPart::Timestamp),
            timestamp_header: settings.timestamp_header.as_deref().map(header_name).transpose()?,
            id_header: settings.id_header.as_deref().map(header_name).transpose()?,
            keys: MacKeys::new(algorithm, keys.iter().map(Vec::as_slice)),
            window: Window::new(tolerance),
        })
    }

    fn candidate(&self, line: &[u8]) -> Option<Candidate> {
        let text = line.strip_prefix(&*self.prefix)?.trim_ascii();
        match self.encoding {
            SignatureEncoding::Hex => Candidate::from_hex(text),
            SignatureEncoding::Base64 => Candidate::from_base64(text),
        }
    }

    fn feed(&self, fields: &Fields<'_>, context: &mut Context) {
        for part in self.signed.parts() {
            context.update(match part {
                SignedPart::Literal(text) => text.as_bytes(),
                SignedPart::Id => fields.id,
                SignedPart::Timestamp => fields.timestamp,
                SignedPart::Body => fields.body,
            });
        }
    }

    fn claimed_at(&self, timestamp: &[u8], now: Timestamp) -> Result<Option<Timestamp>, Refusal> {
        let Some(name) = &self.timestamp_header else { return Ok(None) };
        let claimed_at = any_time(timestamp).ok_or_else(|| Refusal::MalformedHeader(name.clone()))?;
        self.window.check(claimed_at, now)?;
        Ok(Some(claimed_at))
    }
}

impl Scheme for Hmac {
    fn verify(&self, call: &Call<'_>) -> Result<Verified, Refusal> {
        let optional = |name: &Option<HeaderName>| match name {
            Some(name) => required(call.headers, name),
            None => Ok(&[][..]),
        };
        required(call.headers, &self.header)?;
        let timestamp = optional(&self.timestamp_header)?;
        let id = optional(&self.id_header)?;
        let id_key = self.id_header.as_ref().map(|name| id_text(id, name)).transpose()?;
        let claimed_at = self.claimed_at(timestamp, call.now)?;

        let fields = Fields { id, timestamp, body: call.body };
        let candidates = || {
            let lines = call.headers.get_all(&self.header).into_iter().take(MAX_LINES);
            lines.filter_map(|line| self.candidate(line.as_bytes()))
        };
        if !self.keys.verify(|context| self.feed(&fields, context), candidates) {
            let is_readable = candidates().next().is_some();
            let malformed = || Refusal::MalformedHeader(self.header.clone());
            return Err(if is_readable { Refusal::SignatureMismatch } else { malformed() });
        }
        let dedupe_key = match id_key {
            Some(id) => Some(id.to_owned()),
            None => self.signs_timestamp.then(|| digest_key(&fields)),
        };
        Ok(Verified { dedupe_key, claimed_at })
    }

    fn credential_header(&self) -> Option<&HeaderName> {
        None
    }
}

fn digest_key(fields: &Fields<'_>) -> String {
    let mut context = digest::Context::new(&SHA256);
    context.update(fields.timestamp);
    context.update(b".");
    context.update(fields.body);
    let mut key = String::with_capacity(7 + 64);
    key.push_str("sha256:");
    let mut hex_digits = [0; 64];
    hex::encode_to_slice(context.finish(), &mut hex_digits).expect("invariant: 32 bytes are 64 digits");
    key.extend(hex_digits.map(char::from));
    key
}

fn decode_key(text: &str, encoding: KeyEncoding) -> Result<Vec<u8>, InvalidScheme> {
    let bytes = match encoding {
        KeyEncoding::Utf8 => text.as_bytes().to_vec(),
        KeyEncoding::Hex => hex::decode(text.trim()).map_err(|_| InvalidScheme::NotHex)?,
        KeyEncoding::Base64 => decode::base64_secret(text.trim()).ok_or(InvalidScheme::NotBase64)?,
    };
    if bytes.is_empty() { Err(InvalidScheme::Missing) } else { Ok(bytes) }
}
