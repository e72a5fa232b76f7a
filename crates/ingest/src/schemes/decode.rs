//! Turns received signature texts and configured secrets into bytes. Received ones stay on the stack.
//!
//! Both base64 alphabets are read, with or without padding; what is not canonical otherwise does not decode.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// Room for the longest signature (64 bytes) plus what the decoder wants to spare.
const ROOM: usize = 72;
/// 64 bytes in base64 with padding.
const MAX_BASE64: usize = 88;

fn engine_for(text: &[u8]) -> &'static GeneralPurpose {
    if text.iter().any(|b| matches!(b, b'-' | b'_')) { &URL_SAFE } else { &STANDARD }
}

/// Decodes a configured secret.
pub(super) fn base64_secret(text: &str) -> Option<Vec<u8>> {
    engine_for(text.as_bytes()).decode(text).ok()
}

/// A signature as received, decoded.
pub(super) struct Candidate {
    bytes: [u8; ROOM],
    len: usize,
}

impl Candidate {
    pub(super) fn from_base64(text: &[u8]) -> Option<Self> {
        if text.len() > MAX_BASE64 {
            return None;
        }
        let mut bytes = [0; ROOM];
        let len = engine_for(text).decode_slice(text, &mut bytes).ok()?;
        Some(Self { bytes, len })
    }

    pub(super) fn from_hex(text: &[u8]) -> Option<Self> {
        let mut bytes = [0; ROOM];
        let len = text.len() / 2;
        hex::decode_to_slice(text, bytes.get_mut(..len)?).ok()?;
        Some(Self { bytes, len })
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::needless_pass_by_value, reason = "tables of cases read better")]
    fn check(candidate: Option<Candidate>, expect: Option<&[u8]>) {
        assert_eq!(candidate.as_ref().map(Candidate::as_bytes), expect);
    }

    #[test]
    fn reads_every_usual_spelling_and_nothing_else() {
        check(Candidate::from_base64(b"+/+/AA=="), Some(&[0xfb, 0xff, 0xbf, 0]));
        check(Candidate::from_base64(b"+/+/AA"), Some(&[0xfb, 0xff, 0xbf, 0]));
        check(Candidate::from_base64(b"-_-_AA"), Some(&[0xfb, 0xff, 0xbf, 0]));
        check(Candidate::from_base64(b"-/AA"), None);
        check(Candidate::from_base64(b"+/+/AB=="), None);
        check(Candidate::from_base64(b"\xff\xff"), None);
        check(Candidate::from_base64(&[b'A'; 4000]), None);
        check(Candidate::from_base64(&[b'A'; 86]), Some(&[0; 64]));
        check(Candidate::from_hex(b"00fF"), Some(&[0, 255]));
        check(Candidate::from_hex(b"00f"), None);
        check(Candidate::from_hex(&[b'0'; 4000]), None);
    }
}
