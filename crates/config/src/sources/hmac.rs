//! Keys of scheme `hmac`: a MAC over a template of id, timestamp and body, sent in a header. One set of
//! keys covers most providers that sign with a shared secret.

use crate::error::Problem;
use crate::reader::Section;
use crate::sources::schemes::SchemeSettings;
use crate::sources::template::{SignedPart, SignedTemplate};
use crate::syntax;

pub(crate) const KEYS: &[&str] = &[
    "secret",
    "secrets",
    "tolerance_s",
    "header",
    "algorithm",
    "encoding",
    "prefix",
    "signed",
    "timestamp_header",
    "id_header",
    "key_encoding",
];

/// Names the hash under the MAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HmacAlgorithm {
    /// `sha256`.
    Sha256,
    /// `sha512`.
    Sha512,
}

/// Names how the signature is written in its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureEncoding {
    /// `hex`, of either case.
    Hex,
    /// `base64`, standard alphabet.
    Base64,
}

/// Names how the secret's text becomes the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyEncoding {
    /// `utf8`: the text's own bytes.
    Utf8,
    /// `hex`: decoded from hexadecimal.
    Hex,
    /// `base64`: decoded from base64.
    Base64,
}

/// Holds the keys of scheme `hmac`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HmacSettings {
    /// `header`: lower-case name of the signature's header. Default `x-signature`.
    pub header: String,
    /// `algorithm`: `sha256` or `sha512`. Default `sha256`.
    pub algorithm: HmacAlgorithm,
    /// `encoding`: `hex` or `base64`. Default `hex`.
    pub encoding: SignatureEncoding,
    /// `prefix`: text before the signature in the header, such as `sha256=`. Default empty.
    pub prefix: String,
    /// `signed`: what is signed, such as `{timestamp}.{body}`. Default `{body}`.
    pub signed: SignedTemplate,
    /// `timestamp_header`: lower-case name of the header with the time in Unix seconds, held against
    /// `tolerance_s`. Default none.
    pub timestamp_header: Option<String>,
    /// `id_header`: lower-case name of the header with the id by which repeats are recognised. Default none.
    pub id_header: Option<String>,
    /// `key_encoding`: `utf8`, `hex` or `base64`. Default `utf8`.
    pub key_encoding: KeyEncoding,
}

impl Default for HmacSettings {
    fn default() -> Self {
        Self {
            header: "x-signature".to_owned(),
            algorithm: HmacAlgorithm::Sha256,
            encoding: SignatureEncoding::Hex,
            prefix: String::new(),
            signed: SignedTemplate::default(),
            timestamp_header: None,
            id_header: None,
            key_encoding: KeyEncoding::Utf8,
        }
    }
}

impl From<HmacSettings> for SchemeSettings {
    fn from(settings: HmacSettings) -> Self {
        Self::Hmac(settings)
    }
}

pub(crate) fn read(section: &mut Section<'_>) -> HmacSettings {
    let s = section;
    let d = HmacSettings::default();
    let algorithms = [("sha256", HmacAlgorithm::Sha256), ("sha512", HmacAlgorithm::Sha512)];
    let encodings = [("hex", SignatureEncoding::Hex), ("base64", SignatureEncoding::Base64)];
    let key_encodings =
        [("utf8", KeyEncoding::Utf8), ("hex", KeyEncoding::Hex), ("base64", KeyEncoding::Base64)];
    let headers = ["timestamp_header", "id_header"].map(|key| (key, !s.is_absent(key)));
    let signed_place = s.place("signed");
    let read = HmacSettings {
        header: s.parsed("header", syntax::header_name).unwrap_or(d.header),
        algorithm: s.choice("algorithm", &algorithms, d.algorithm),
        encoding: s.choice("encoding", &encodings, d.encoding),
        prefix: s.parsed("prefix", prefix).unwrap_or(d.prefix),
        signed: s.parsed("signed", template).unwrap_or(d.signed),
        timestamp_header: s.parsed("timestamp_header", syntax::header_name),
        id_header: s.parsed("id_header", syntax::header_name),
        key_encoding: s.choice("key_encoding", &key_encodings, d.key_encoding),
    };
    for ((key, given), part) in headers.into_iter().zip([SignedPart::Timestamp, SignedPart::Id]) {
        let name = if part == SignedPart::Id { "{id}" } else { "{timestamp}" };
        match (given, read.signed.contains(&part)) {
            (false, true) => {
                let problem =
                    Problem::new(format!("signs {name}, but {key} is not set"), format!("add {key}"));
                s.fault("signed", signed_place.clone(), problem);
            }
            (true, false) => {
                let problem = format!("does not sign {name}, so that anyone can change the header of {key}");
                let fix = format!("put {name} into the template if the sender signs it");
                s.warn("signed", signed_place.clone(), Problem::new(problem, fix));
            }
            _ => {}
        }
    }
    read
}

fn prefix(text: &str) -> Result<String, Problem> {
    if text.is_empty() { Ok(String::new()) } else { syntax::header_text(text) }
}

fn template(text: &str) -> Result<SignedTemplate, Problem> {
    text.parse().map_err(|error: crate::sources::template::TemplateError| {
        Problem::new(error.to_string(), "write for example \"{body}\" or \"{id}.{timestamp}.{body}\"")
    })
}
