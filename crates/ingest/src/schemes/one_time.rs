//! One-time tokens: a call must bring a token that was made for its source and that no call was accepted with before. Beside
//! any scheme that has a secret, where the source asks for them.
//!
//! ```text
//! X-One-Time-Token: <unix seconds>.<nonce>.<MAC>
//! MAC = HMAC-SHA256(secret, "one-time-token.<source>.<unix seconds>.<nonce>"), hex or base64
//! ```
//!
//! Whoever holds the secret makes them; the hub needs to know none beforehand. A token is good `tolerance_s` around its time.
//! Spending it is part of the commit that stores the call: two calls with one token cannot both be stored, on any node, and a
//! call that could not be stored has not spent it. The same call sent again is a repeat.

use http::header::{HeaderMap, HeaderName};
use ring::hmac::HMAC_SHA256;
use trunkline_config::Secret;
use trunkline_model::Timestamp;

use super::decode::Candidate;
use super::digest::key_of;
use super::keys::MacKeys;
use super::signature::text_keys;
use super::window::{Window, digits};
use super::{InvalidScheme, Refusal, required};

/// Where the token is.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-one-time-token");

/// Checks the tokens of one source.
pub(crate) struct OneTimeTokens {
    source: String,
    keys: MacKeys,
    window: Window,
}

impl OneTimeTokens {
    pub(crate) fn new(
        source: &str,
        secrets: &[Secret],
        tolerance: std::time::Duration,
    ) -> Result<Self, InvalidScheme> {
        let keys = text_keys(HMAC_SHA256, secrets)?;
        Ok(Self { source: source.to_owned(), keys, window: Window::new(tolerance) })
    }

    /// Gives the name under which the token of a call is spent.
    pub(crate) fn check(&self, headers: &HeaderMap, now: Timestamp) -> Result<String, Refusal> {
        let token = required(headers, &HEADER)?;
        let malformed = || Refusal::MalformedHeader(HEADER);
        let mut parts = token.splitn(3, |b| *b == b'.');
        let (Some(time), Some(nonce), Some(mac)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(malformed());
        };
        let made_at = digits(time).map(Timestamp::from_secs).ok_or_else(malformed)?;
        let is_nonce = (16..=64).contains(&nonce.len())
            && nonce.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        if !is_nonce {
            return Err(malformed());
        }
        self.window.check(made_at, now)?;
        let signed = [b"one-time-token.", self.source.as_bytes(), b".", time, b".", nonce];
        let is_made_here = self.keys.verify(
            |context| signed.iter().for_each(|part| context.update(part)),
            || Candidate::from_hex(mac).into_iter().chain(Candidate::from_base64(mac)),
        );
        // Without the MAC, which can be spelled in several ways.
        if is_made_here {
            Ok(format!("one-time:{}", key_of(&[time, nonce])))
        } else {
            Err(Refusal::TokenMismatch)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::schemes::testing::{NOW, headers, hmac_base64, hmac_hex};

    const NONCE: &str = "0123456789abcdef";

    fn check(token: &str, now: Timestamp) -> Result<String, Refusal> {
        let secrets = [Secret::new("old"), Secret::new("new")];
        let tokens = OneTimeTokens::new("portal", &secrets, Duration::from_mins(5)).unwrap();
        tokens.check(&headers(&[("x-one-time-token", token)]), now)
    }

    #[test]
    fn tokens_are_of_a_source_a_time_and_a_secret() {
        let signed = format!("one-time-token.portal.1700000000.{NONCE}");
        let token = |mac: &str| format!("1700000000.{NONCE}.{mac}");
        let good = token(&hmac_hex(b"new", signed.as_bytes()));
        let spent = check(&good, NOW).unwrap();
        assert_eq!(check(&token(&hmac_base64(b"new", signed.as_bytes())), NOW).as_ref(), Ok(&spent));
        assert_eq!(check(&good.to_uppercase().replace("ABCDEF.", "abcdef."), NOW), Ok(spent));
        let other = hmac_hex(b"new", signed.replace("portal", "other").as_bytes());
        assert_eq!(check(&token(&other), NOW), Err(Refusal::TokenMismatch));
        assert_eq!(check(&good.replacen("1700000000", "1700000001", 1), NOW), Err(Refusal::TokenMismatch));
        assert_eq!(check(&good, Timestamp::from_secs(1_700_000_301)), Err(Refusal::Stale));
        assert_eq!(check(&good, Timestamp::from_secs(1_699_999_699)), Err(Refusal::InTheFuture));
        for bad in ["x", "1700000000.short.00", "now.0123456789abcdef.00", "1700000000.0123456789abcd f.00"] {
            assert_eq!(check(bad, NOW), Err(Refusal::MalformedHeader(HEADER)), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_token_makes_it_panic(token in "[ -~]{0,120}|1700000000\\.[a-z0-9]{16}\\.[0-9a-f]{64}") {
            prop_assert!(check(&token, NOW).is_err());
        }
    }
}
