//! Keys of scheme `token`: a shared secret sent in a header.

use crate::reader::Section;
use crate::sources::schemes::SchemeSettings;
use crate::syntax;

pub(crate) const KEYS: &[&str] = &["secret", "secrets", "header"];

const AUTHORIZATION: &str = "authorization";

/// Holds the keys of scheme `token`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSettings {
    /// `header`: lower-case name of the header with the token. Default `authorization`.
    pub header: String,
}

impl Default for TokenSettings {
    fn default() -> Self {
        Self { header: AUTHORIZATION.to_owned() }
    }
}

impl TokenSettings {
    /// Tells whether the token follows the word `Bearer`, as it does in `authorization` only.
    pub fn strips_bearer(&self) -> bool {
        self.header == AUTHORIZATION
    }
}

impl From<TokenSettings> for SchemeSettings {
    fn from(settings: TokenSettings) -> Self {
        Self::Token(settings)
    }
}

pub(crate) fn read(section: &mut Section<'_>) -> TokenSettings {
    let d = TokenSettings::default();
    TokenSettings { header: section.parsed("header", syntax::header_name).unwrap_or(d.header) }
}
