//! What is read of certificates by hand: when one holds, and the RSA key in it (RFC 5280 §4.1).
//!
//! The TLS library judges the certificates of connections; this is for those that come as files: for people who want to know
//! when theirs ends, and for messages signed by a certificate that is fetched from a known place.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// When a certificate holds, in seconds since 1970 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// From when.
    pub not_before: i64,
    /// Until when.
    pub not_after: i64,
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OBJECT_ID: u8 = 0x06;
const VERSION: u8 = 0xa0;
/// `rsaEncryption`, 1.2.840.113549.1.1.1.
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];

/// A certificate with an RSA key. Who issued it is not looked at: whoever uses one knows where it came from.
#[derive(Debug, Clone)]
pub struct RsaCertificate {
    public_key: Vec<u8>,
    validity: Validity,
}

impl RsaCertificate {
    /// Reads the first certificate of a PEM text; `None` when it is none, or has a key of another kind.
    pub fn from_pem(pem: &[u8]) -> Option<Self> {
        let certificate = CertificateDer::from_pem_slice(pem).ok()?;
        let (validity, rest) = after_issuer(&certificate)?;
        let validity = read_validity(validity)?;
        let (_subject, rest) = element(rest, SEQUENCE)?;
        let (key_info, _) = element(rest, SEQUENCE)?;
        let (algorithm, key_info) = element(key_info, SEQUENCE)?;
        let (algorithm, _) = element(algorithm, OBJECT_ID)?;
        let (key, _) = element(key_info, BIT_STRING)?;
        // A key is whole bytes: no bits are unused.
        let public_key = key.strip_prefix(&[0])?.to_vec();
        (algorithm == RSA).then_some(Self { public_key, validity })
    }

    /// The key, as `RSAPublicKey` in DER.
    pub fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    /// When the certificate holds.
    pub fn validity(&self) -> Validity {
        self.validity
    }
}

/// Reads `Certificate.tbsCertificate.validity`.
pub(super) fn validity_of(certificate: &[u8]) -> Option<Validity> {
    read_validity(after_issuer(certificate)?.0)
}

/// The content of `tbsCertificate.validity`, and what comes after it.
fn after_issuer(certificate: &[u8]) -> Option<(&[u8], &[u8])> {
    let (certificate, _) = element(certificate, SEQUENCE)?;
    let (mut rest, _) = element(certificate, SEQUENCE)?;
    if rest.first() == Some(&VERSION) {
        (_, rest) = element(rest, VERSION)?;
    }
    // Serial number, signature algorithm and issuer come first.
    for tag in [INTEGER, SEQUENCE, SEQUENCE] {
        (_, rest) = element(rest, tag)?;
    }
    element(rest, SEQUENCE)
}

fn read_validity(validity: &[u8]) -> Option<Validity> {
    let (not_before, rest) = time(validity)?;
    let (not_after, _) = time(rest)?;
    Some(Validity { not_before, not_after })
}

/// The content of a DER element with this tag, and what comes after it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x83 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    (found == tag).then(|| rest.split_at_checked(length))?
}

/// A `Time`: `YYMMDDhhmmssZ` (the years 1950 to 2049) or `YYYYMMDDhhmmssZ`.
pub(super) fn time(der: &[u8]) -> Option<(i64, &[u8])> {
    const UTC_TIME: u8 = 0x17;
    const GENERALIZED_TIME: u8 = 0x18;
    let (n_digits, (text, rest)) = match element(der, UTC_TIME) {
        Some(found) => (12, found),
        None => (14, element(der, GENERALIZED_TIME)?),
    };
    let digits = text.strip_suffix(b"Z")?;
    if digits.len() != n_digits || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number * 10 + i64::from(byte - b'0'));
    let (year, fields) = match digits.len() {
        12 => {
            let (year, fields) = digits.split_at(2);
            let year = number(year);
            (if year < 50 { 2000 + year } else { 1900 + year }, fields)
        }
        14 => (number(&digits[..4]), &digits[4..]),
        _ => return None,
    };
    let parts: Vec<i64> = fields.chunks(2).map(number).collect();
    let [month @ 1..=12, day @ 1..=31, hour @ 0..=23, minute @ 0..=59, second @ 0..=60] = parts[..] else {
        return None;
    };
    Some((((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second, rest))
}

/// Days from 1970-01-01 to a date of the Gregorian calendar; years begin in March, so that leap days come last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468
}
