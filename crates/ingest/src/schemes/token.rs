//! The scheme `token`: the caller sends a shared secret in a header, by default as `Authorization: Bearer …`.
//!
//! Nothing about the call itself is signed, so repeats are only known by an id that the caller sends.

use http::header::{AUTHORIZATION, HeaderName};
use ring::hmac::Tag;
use trunkline_config::Secret;

use super::keys::Blind;
use super::{Call, InvalidScheme, Refusal, Scheme, Verified, required, unsigned_id};

/// Compares a header with the source's tokens. Only seals of the tokens stay in memory.
pub struct Token {
    header: HeaderName,
    blind: Blind,
    seals: Box<[Tag]>,
}

impl Token {
    /// Takes any of `secrets` in `header`; in `authorization` with or without `Bearer` before it.
    pub fn new(header: HeaderName, secrets: &[Secret]) -> Result<Self, InvalidScheme> {
        if secrets.is_empty() || secrets.iter().any(|secret| secret.expose().is_empty()) {
            return Err(InvalidScheme::Missing);
        }
        let blind = Blind::fresh();
        let seals = secrets.iter().map(|secret| blind.seal(secret.expose().as_bytes())).collect();
        Ok(Self { header, blind, seals })
    }
}

impl Scheme for Token {
    fn verify(&self, call: &Call<'_>) -> Result<Verified, Refusal> {
        let value = required(call.headers, &self.header)?;
        let token = if self.header == AUTHORIZATION { strip_bearer(value) } else { value };
        // Every seal is tried, so that the time does not say which token a guess resembles.
        let known = self.seals.iter().fold(false, |known, seal| known | self.blind.opens(token, seal));
        if known {
            Ok(Verified { dedupe_key: unsigned_id(call.headers), claimed_at: None })
        } else {
            Err(Refusal::TokenMismatch)
        }
    }

    fn credential_header(&self) -> Option<&HeaderName> {
        Some(&self.header)
    }
}

fn strip_bearer(value: &[u8]) -> &[u8] {
    match value.split_at_checked(7) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case(b"bearer ") => rest.trim_ascii(),
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use trunkline_model::Timestamp;

    use super::*;

    #[allow(clippy::needless_pass_by_value, reason = "tables of cases read better")]
    fn check(header: HeaderName, value: &str, expect: Result<(), Refusal>) {
        let token =
            Token::new(header.clone(), &[Secret::new("old-token"), Secret::new("new-token")]).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(header, value.parse().unwrap());
        let result = token.verify(&Call::new(&headers, b"{}", Timestamp::default()));
        assert_eq!(result.map(drop), expect, "{value}");
    }

    #[test]
    fn any_live_token_is_taken() {
        check(AUTHORIZATION, "Bearer new-token", Ok(()));
        check(AUTHORIZATION, "bearer old-token", Ok(()));
        check(AUTHORIZATION, "old-token", Ok(()));
        check(AUTHORIZATION, "Basic old-token", Err(Refusal::TokenMismatch));
        check(AUTHORIZATION, "Bearer ", Err(Refusal::TokenMismatch));
        check(AUTHORIZATION, "Bearer old-toke", Err(Refusal::TokenMismatch));
        check(AUTHORIZATION, "Bearer old-token2", Err(Refusal::TokenMismatch));
        let own = HeaderName::from_static("x-portal-token");
        check(own.clone(), "new-token", Ok(()));
        check(own.clone(), "Bearer new-token", Err(Refusal::TokenMismatch));
        check(own.clone(), "", Err(Refusal::MalformedHeader(own)));
    }

    #[test]
    fn a_missing_header_is_named() {
        let token = Token::new(AUTHORIZATION, &[Secret::new("t")]).unwrap();
        let headers = HeaderMap::new();
        let call = Call::new(&headers, b"", Timestamp::default());
        assert_eq!(token.verify(&call), Err(Refusal::MissingHeader(AUTHORIZATION)));
        assert_eq!(Token::new(AUTHORIZATION, &[]).map(drop), Err(InvalidScheme::Missing));
    }
}
