//! A MAC over the raw bytes in a header: what most providers' schemes are made of.

use http::header::{HeaderMap, HeaderName};
use ring::hmac::{Algorithm, HMAC_SHA256};
use trunkline_config::Secret;

use super::decode::Candidate;
use super::keys::MacKeys;
use super::{InvalidScheme, Refusal, required};

/// The most signatures of one call that are looked at, over all lines of the header.
const MAX_SIGNATURES: usize = 16;

/// How a signature is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Hex,
    Base64,
    /// Hexadecimal where that gives a whole SHA-256, else base64.
    Either,
}

/// Where a signature stands, how it is written, and with which keys it is made.
pub(super) struct Signature {
    header: HeaderName,
    prefixes: &'static [&'static [u8]],
    encoding: Encoding,
    keys: MacKeys,
}

impl Signature {
    /// HMAC-SHA256 keyed by the secrets' texts, without anything before it.
    pub(super) fn new(
        header: HeaderName,
        encoding: Encoding,
        secrets: &[Secret],
    ) -> Result<Self, InvalidScheme> {
        Ok(Self { header, prefixes: &[b""], encoding, keys: text_keys(HMAC_SHA256, secrets)? })
    }

    /// The same, after one of these; the first that fits counts.
    pub(super) fn with_prefixes(self, prefixes: &'static [&'static [u8]]) -> Self {
        Self { prefixes, ..self }
    }

    /// Tells whether any signature in the header is that of `parts`, one after the other. A header may hold several,
    /// separated by commas.
    pub(super) fn verify(&self, headers: &HeaderMap, parts: &[&[u8]]) -> Result<(), Refusal> {
        required(headers, &self.header)?;
        let candidates = || {
            let entries = headers
                .get_all(&self.header)
                .into_iter()
                .flat_map(|line| line.as_bytes().split(|b| *b == b','));
            entries.take(MAX_SIGNATURES).filter_map(|entry| self.candidate(entry.trim_ascii()))
        };
        if self.keys.verify(|context| parts.iter().for_each(|part| context.update(part)), candidates) {
            return Ok(());
        }
        let is_readable = candidates().next().is_some();
        Err(if is_readable {
            Refusal::SignatureMismatch
        } else {
            Refusal::MalformedHeader(self.header.clone())
        })
    }

    fn candidate(&self, entry: &[u8]) -> Option<Candidate> {
        let text = self.prefixes.iter().find_map(|prefix| entry.strip_prefix(*prefix))?;
        if text.is_empty() {
            return None;
        }
        match self.encoding {
            Encoding::Hex => Candidate::from_hex(text),
            Encoding::Either if text.len() == 64 => {
                Candidate::from_hex(text).or_else(|| Candidate::from_base64(text))
            }
            Encoding::Base64 | Encoding::Either => Candidate::from_base64(text),
        }
    }
}

/// Keys that are the secrets' texts.
pub(super) fn text_keys(algorithm: Algorithm, secrets: &[Secret]) -> Result<MacKeys, InvalidScheme> {
    if secrets.is_empty() || secrets.iter().any(|secret| secret.expose().is_empty()) {
        return Err(InvalidScheme::Missing);
    }
    Ok(MacKeys::new(algorithm, secrets.iter().map(|secret| secret.expose().as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schemes::testing::{headers, hmac_hex};

    #[test]
    fn any_of_several_signatures_fits() {
        let secrets = [Secret::new("old"), Secret::new("new")];
        let name = HeaderName::from_static("x-signature");
        let signature =
            Signature::new(name.clone(), Encoding::Hex, &secrets).unwrap().with_prefixes(&[b"v1="]);
        let check = |value: &str, expect: Result<(), Refusal>| {
            assert_eq!(
                signature.verify(&headers(&[("x-signature", value)]), &[b"bo", b"dy"]),
                expect,
                "{value}"
            );
        };
        let good = format!("v1={}", hmac_hex(b"new", b"body"));
        check(&good, Ok(()));
        check(&format!("v1=00ff, v0=1,{good}"), Ok(()));
        check(&format!("{}{good}", "v1=00,".repeat(MAX_SIGNATURES)), Err(Refusal::SignatureMismatch));
        check("v1=00ff", Err(Refusal::SignatureMismatch));
        check("v1=", Err(Refusal::MalformedHeader(name.clone())));
        check(&good[3..], Err(Refusal::MalformedHeader(name.clone())));
        check("", Err(Refusal::MalformedHeader(name)));
    }
}
